"""Read stored files once more. Source: the Orthanc Book, `/{level}/{id}/reconstruct`."""

from ...model.errors import BadFileFormat
from ...model.resource import ResourceLevel
from ...services.context import ServerContext
from ...services.reconstruction import Scope
from ..bodies import ReconstructBody, declared
from ..fields import Fields, decode_json
from ..routing import Doc, Routes
from ..wire import AnyAnswer, Request, text_answer

_DOC = Doc(body=ReconstructBody, answer="text/plain")

routes = Routes()


def _mount(level: ResourceLevel) -> None:
    @routes.post(f"/{level.collection}/{{id}}/reconstruct", doc=_DOC)
    async def reconstruct(context: ServerContext, request: Request, *, id: str) -> AnyAnswer:
        """Let the index say of a resource, of all below it and of its ancestors what their files say.

        With `ReconstructFiles` also the files get the present transcoding and compression; with
        `LimitToThisLevelMainDicomTags` only the main tags of the resource itself are read again.
        """
        await context.reconstruction.run(level, id, await _scope(request))
        return text_answer()


@routes.post("/tools/reconstruct", doc=_DOC)
async def reconstruct_all(context: ServerContext, request: Request) -> AnyAnswer:
    """Let the index say of all that is stored what the files say, as for one resource."""
    await context.reconstruction.run_all(await _scope(request))
    return text_answer()


@routes.post("/tools/invalidate-tags")
async def invalidate_tags(context: ServerContext, request: Request) -> AnyAnswer:
    """Forget the summaries of tags that versions before 1.9.1 kept. This server keeps none."""
    return text_answer()


async def _scope(request: Request) -> Scope:
    body = (await request.body()).strip()
    members = decode_json(body, BadFileFormat()) if body else {}
    if not isinstance(members, dict):
        raise BadFileFormat("The body must contain a JSON object")
    fields = Fields(declared(members, ReconstructBody))
    return Scope(
        has_files=fields.boolean("ReconstructFiles", False),
        is_one_level=fields.boolean("LimitToThisLevelMainDicomTags", False),
    )


for _level in ResourceLevel:
    _mount(_level)
