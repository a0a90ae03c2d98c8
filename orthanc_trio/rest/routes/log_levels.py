"""How much is logged, by category. Source: the Orthanc Book, "Log"; `/tools/log-level-{category}`."""

from ...log import CATEGORIES, LEVELS, level_name, set_level
from ...model.errors import ParameterOutOfRange
from ...services.context import ServerContext
from ..routing import Doc, Routes
from ..text_body import word_body
from ..wire import AnyAnswer, Request, text_answer

_GET = Doc(answer="text/plain")
_PUT = Doc(body="text/plain", answer="text/plain")

routes = Routes()


def _mount(path: str, categories: tuple[str, ...]) -> None:
    @routes.get(path, doc=_GET)
    async def get_log_level(context: ServerContext, request: Request) -> AnyAnswer:
        """Answer `default`, `verbose` or `trace`: of several categories the one with the most lines."""
        return text_answer(level_name(*categories))

    @routes.put(path, doc=_PUT)
    async def put_log_level(context: ServerContext, request: Request) -> AnyAnswer:
        """Set `default`, `verbose` or `trace`, until the process ends."""
        name = await word_body(request)
        if name not in LEVELS:
            raise ParameterOutOfRange(f'Verbosity can be "default", "verbose" or "trace": {name}')
        set_level(LEVELS[name], *categories)
        return text_answer()


_mount("/tools/log-level", CATEGORIES)
for _category in CATEGORIES:
    _mount(f"/tools/log-level-{_category}", (_category,))
