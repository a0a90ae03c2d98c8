"""Resources as answers: what a view shows is fetched for all of them at once, then encoded, and kept.

An encoding is kept with its description, which the library forgets when the resource changes; one with
requested tags until anything changes.
"""

from collections.abc import Sequence
from functools import lru_cache

import msgspec
import trio

from ..model.errors import BadRequest, UnknownDicomTag
from ..services.context import ServerContext
from ..services.library import Description
from .resource_json import Content, Found, Naming, View, resource_json, tag_format
from .wire import JSON, Answer, Request

_MAX_TAGS = 256
_MAX_KEPT = 8  # encodings of one resource
_MAX_VIEWS = 256
_AT_ONCE = 100  # encodings, of about 20 us each


def view_of_url(context: ServerContext, request: Request) -> View:
    """Return how the URL wants resources to be shown. Raises BadRequest for an unknown requested tag."""
    query = request.query
    if not query:
        return _USUAL
    text = query.get("requested-tags", query.get("requestedTags", ""))
    try:
        numbers = [context.indexed_tags.number(name) for name in text.split(";") if name]
    except UnknownDicomTag as error:
        raise BadRequest(f"Invalid requested-tags argument: Unknown DICOM tag {error.details}") from error
    return View(tag_format(request), tags=requested(numbers))


_USUAL = View()


def requested(numbers: Sequence[int]) -> tuple[int, ...]:
    """Return requested tags, each once. Raises BadRequest if there are too many."""
    unique = tuple(dict.fromkeys(numbers))
    if len(unique) > _MAX_TAGS:
        raise BadRequest(f"More than {_MAX_TAGS} requested tags")
    return unique


async def answer_one(context: ServerContext, description: Description, view: View) -> Answer:
    """Answer one resource."""
    [body] = await encode_all(context, [description], view)
    return Answer(body=body, media_type=JSON)


async def answer_all(context: ServerContext, descriptions: Sequence[Description], view: View) -> Answer:
    """Answer an array of resources of one level, or of any levels if the view requests no tags."""
    encoded = await encode_all(context, descriptions, view)
    return Answer(body=b"[" + b",".join(encoded) + b"]", media_type=JSON)


async def encode_all(context: ServerContext, descriptions: Sequence[Description], view: View) -> list[bytes]:
    """Return the JSON objects of resources, in their order."""
    # Requested tags come from ancestors, descendants and files too: they hold until anything changes.
    key = f"{_key(view)}@{context.library.generation}" if view.tags else _key(view)
    known = [description.encodings.get(key) for description in descriptions]
    encoded = [body for body in known if body is not None]
    if len(encoded) == len(known):
        return encoded
    missing = [one for one, body in zip(descriptions, known, strict=True) if body is None]
    naming = Naming(context.indexed_tags, context.metadata_names)
    made: dict[str, bytes] = {}
    shown = zip(missing, await _fetch(context, missing, view), strict=True)
    for number, (description, found) in enumerate(shown):
        if number % _AT_ONCE == _AT_ONCE - 1:
            await trio.lowlevel.checkpoint()  # let others have their turn
        body = msgspec.json.encode(resource_json(description, view, found, naming))
        made[description.facts.id] = body
        if Content.ATTACHMENTS not in view.content:  # which are not part of the description
            _keep(description, key, body)
    return [body or made[one.facts.id] for one, body in zip(descriptions, known, strict=True)]


async def _fetch(context: ServerContext, descriptions: Sequence[Description], view: View) -> list[Found]:
    """Return what the view shows beyond the descriptions."""
    ids = [description.facts.id for description in descriptions]
    tags = await context.requested_tags.values(descriptions, view.tags) if view.tags else {}
    attachments = (
        await context.index.read(lambda tx: tx.attachments_of(ids))
        if Content.ATTACHMENTS in view.content
        else {}
    )
    return [Found(tags.get(id), attachments.get(id, ())) for id in ids]


def _keep(description: Description, key: str, body: bytes) -> None:
    if len(description.encodings) >= _MAX_KEPT:
        description.encodings.clear()
    description.encodings[key] = body


@lru_cache(maxsize=_MAX_VIEWS)
def _key(view: View) -> str:
    """Return a text that stands for a view: its hash is known, that of a view costs a microsecond."""
    return repr(view)
