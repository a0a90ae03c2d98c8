"""The log of changes. Source: the Orthanc Book, `GET /changes`."""

from collections.abc import Mapping

from ...index.transaction import ChangesPage
from ...model.errors import ParameterOutOfRange
from ...model.event import ChangeType
from ...services.context import ServerContext
from ...services.feed import change_json
from ..routing import Routes
from ..wire import AnyAnswer, Request, json_answer, text_answer

_DEFAULT_LIMIT = 100
_TYPES = {type.wire_name: type for type in ChangeType}

routes = Routes()


@routes.get("/changes", hot=True)
async def get_changes(context: ServerContext, request: Request) -> AnyAnswer:
    """Answer a page of the log, or its last entry with `?last`."""
    query = request.query
    types = _types(query.get("type", ""))
    if "last" in query:
        page = await context.library.changes(since=0, to=None, types=types, limit=1, from_end=True)
        return json_answer(page_json(page, is_done=True))
    to = _number(query, "to", None)
    page = await context.library.changes(
        since=_number(query, "since", 0) or 0,
        to=to,
        types=types,
        limit=_number(query, "limit", _DEFAULT_LIMIT) or 0,
        from_end=to is not None and "since" not in query,
    )
    return json_answer(page_json(page, is_done=page.is_done))


@routes.delete("/changes")
async def delete_changes(context: ServerContext, request: Request) -> AnyAnswer:
    """Empty the log."""
    await context.library.clear_changes()
    return text_answer()


def page_json(page: ChangesPage, *, is_done: bool) -> dict[str, object]:
    """Return the JSON of a page; `First` is left out of an empty one."""
    changes = [change_json(change) for change in page.changes]
    first = {"First": page.changes[0].seq} if page.changes else {}
    last = page.changes[-1].seq if page.changes else page.last_seq
    return {"Changes": changes, "Done": is_done, **first, "Last": last}


def _number(query: Mapping[str, str], name: str, default: int | None) -> int | None:
    text = query.get(name)
    if text is None:
        return default
    return int(text) if text.isascii() and text.isdigit() else 0  # as Orthanc reads what is no number


def _types(text: str) -> tuple[ChangeType, ...]:
    names = [name for name in text.split(";") if name]
    unknown = next((name for name in names if name not in _TYPES), None)
    if unknown is not None:
        raise ParameterOutOfRange(f"Invalid value for a change: {unknown}")
    return tuple(_TYPES[name] for name in names)
