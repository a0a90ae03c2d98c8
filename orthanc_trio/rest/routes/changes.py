"""The log of changes. Source: the Orthanc Book, `GET /changes`."""

import re
from collections.abc import Mapping

from msgspec import UNSET

from ...index.transaction import ChangesPage
from ...model.errors import ParameterOutOfRange
from ...model.event import ChangeType
from ...services.context import ServerContext
from ...services.feed import change_entry
from ..answers import ChangesAnswer
from ..routing import Argument, Doc, Routes
from ..wire import AnyAnswer, Request, json_answer, text_answer

_DEFAULT_LIMIT = 100
_TYPES = {type.wire_name: type for type in ChangeType}
_BEYOND = 10**18
_NEVER_LOGGED = ("Deleted", "NewChildInstance")
_NUMBER = re.compile(r"[+-]?[0-9]{1,18}")

_ARGUMENTS = (
    Argument("since", int, "Changes after this number."),
    Argument("to", int, "Changes up to this number."),
    Argument("limit", int, "How many at most."),
    Argument("type", str, "Types of changes, separated by semicolons."),
    Argument("last", bool, "The last change alone."),
)

routes = Routes()


@routes.get("/changes", hot=True, doc=Doc(query=_ARGUMENTS, answer=ChangesAnswer))
async def get_changes(context: ServerContext, request: Request) -> AnyAnswer:
    """Answer a page of the log, or its last entry with `?last`."""
    query = request.query
    if "last" in query:
        page = await context.library.changes(since=0, to=None, types=(), limit=1, from_end=True)
        return json_answer(page_answer(page, is_done=True))
    types = _types(query.get("type", ""))
    since, to, limit = _interval(query)
    page = await context.library.changes(
        since=max(0, since) if types is not None else _BEYOND,
        to=to,
        types=types or (),
        limit=max(0, limit),
        from_end=to is not None and since == 0,
    )
    return json_answer(page_answer(page, is_done=page.is_done or limit < 0))


@routes.delete("/changes", doc=Doc(answer="text/plain"))
async def delete_changes(context: ServerContext, request: Request) -> AnyAnswer:
    """Empty the log."""
    await context.library.clear_changes()
    return text_answer()


def page_answer(page: ChangesPage, *, is_done: bool) -> ChangesAnswer:
    """Return what is answered of a page; `First` is left out of an empty one."""
    return ChangesAnswer(
        changes=[change_entry(change) for change in page.changes],
        done=is_done,
        first=page.changes[0].seq if page.changes else UNSET,
        last=page.changes[-1].seq if page.changes else page.last_seq,
    )


def _interval(query: Mapping[str, str]) -> tuple[int, int | None, int]:
    """Return `since`, `to` and `limit`; if one of them is no number, Orthanc passes over all of them."""
    given = {name: query[name] for name in ("since", "to", "limit") if query.get(name)}
    is_blank = any(query.get(name) == "" for name in ("since", "to", "limit"))
    if is_blank or not all(_NUMBER.fullmatch(text) for text in given.values()):
        return 0, None, _DEFAULT_LIMIT
    to = int(given["to"]) if "to" in given else None
    return int(given.get("since", 0)), to, int(given.get("limit", _DEFAULT_LIMIT))


def _types(text: str) -> tuple[ChangeType, ...] | None:
    """Return the types that are asked for, empty for all; None for only such that are never logged."""
    names = text.removesuffix(";").split(";") if text else []
    unknown = next((name for name in names if name not in _TYPES and name not in _NEVER_LOGGED), None)
    if unknown is not None:
        raise ParameterOutOfRange(f"Invalid value for a change: {unknown}")
    types = tuple(_TYPES[name] for name in names if name in _TYPES)
    return types if types or not names else None
