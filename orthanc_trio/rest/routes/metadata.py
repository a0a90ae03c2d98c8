"""Metadata of resources. Source: the Orthanc Book, "Metadata", "Revisions"; `/{level}/{id}/metadata`."""

from msgspec.structs import replace

from ...model.errors import BadRequest
from ...model.resource import ResourceLevel
from ...services.context import ServerContext
from ...services.metadata import revision_of
from ...services.numbered_names import USER_NUMBERS
from ..arguments import EXPAND, IF_MATCH, IF_NONE_MATCH
from ..errors import empty_answer
from ..etag import etag, if_match, is_known
from ..level import require
from ..query import flag
from ..routing import Argument, Doc, Routes
from ..wire import AnyAnswer, Request, json_answer, nothing, text_answer

_NUMERIC = Argument("numeric", bool, "Numbers in place of names.")

routes = Routes()


def _mount(level: ResourceLevel) -> None:
    path = f"/{level.collection}/{{id}}/metadata"

    @routes.get(path, doc=Doc(query=(EXPAND, _NUMERIC), answer=("application/json",)))
    async def list_metadata(context: ServerContext, request: Request, *, id: str) -> AnyAnswer:
        values = dict(sorted((await require(context, level, id)).facts.metadata.items()))
        names = context.metadata_names
        is_numeric = "numeric" in request.query
        if flag(request, "expand"):
            shown = ((str(n) if is_numeric else names.name(n), value) for n, value in values.items())
            return json_answer(dict(sorted(shown)))
        return json_answer(list(values) if is_numeric else [names.name(number) for number in values])

    @routes.get(path + "/{name}", doc=Doc(headers=(IF_NONE_MATCH,), answer="text/plain"))
    async def get_metadata(context: ServerContext, request: Request, *, id: str, name: str) -> AnyAnswer:
        item = await context.metadata.read(level, id, context.metadata_names.number(name))
        if item is None:
            return nothing(request)
        revision = revision_of(item)
        if is_known(request, revision):
            return empty_answer(304, etag(revision))
        return replace(text_answer(item.value), headers=(etag(revision),))


def _mount_changes(level: ResourceLevel) -> None:
    path = f"/{level.collection}/{{id}}/metadata/{{name}}"

    @routes.put(path, doc=Doc(headers=(IF_MATCH,), body="text/plain", answer="text/plain"))
    async def put_metadata(context: ServerContext, request: Request, *, id: str, name: str) -> AnyAnswer:
        number = context.metadata_names.number(name)
        if number not in USER_NUMBERS:
            return empty_answer(403)
        value = _text(await request.body())
        revision = await context.metadata.write(id, number, value, if_match(request))
        return replace(text_answer(), headers=(etag(revision),))

    @routes.delete(path, doc=Doc(headers=(IF_MATCH,), answer="text/plain"))
    async def delete_metadata(context: ServerContext, request: Request, *, id: str, name: str) -> AnyAnswer:
        number = context.metadata_names.number(name)
        if number not in USER_NUMBERS:
            return empty_answer(403)
        await context.metadata.remove(id, number, if_match(request))
        return text_answer()


def _text(body: bytes) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        raise BadRequest("The value of a metadata must be text in UTF-8") from error


for _level in ResourceLevel:
    _mount(_level)
    _mount_changes(_level)
