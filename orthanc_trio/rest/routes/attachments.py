"""Attachments: `/{level}/{id}/attachments`. Source: the Orthanc Book, "Attachments", "Revisions".

Ranges are those of RFC 9110, which serves more of them than Orthanc does.
"""

from collections.abc import Awaitable, Callable

import msgspec

from ...model.resource import Attachment, AttachmentType, Compression, ResourceLevel
from ...services.attachments import revision_of
from ...services.context import ServerContext
from ...services.numbered_names import USER_NUMBERS
from ..arguments import FILENAME, FULL, IF_MATCH, IF_NONE_MATCH, RANGE
from ..disposition import content_disposition
from ..errors import empty_answer
from ..etag import etag, if_match, is_known
from ..ranges import part_asked_for
from ..routing import Doc, Routes
from ..stored_file import content_answer, part_answer, stored_answer
from ..wire import Answer, AnyAnswer, Request, json_answer, nothing, text_answer

_MD5_OPERATIONS = frozenset(("compressed-md5", "md5", "verify-md5"))
_OPERATIONS = (
    *("compress", "compressed-data", "compressed-md5", "compressed-size", "data", "info"),
    *("is-compressed", "md5", "size", "uncompress", "verify-md5"),
)
_BYTES = "application/octet-stream"
_EMPTY = Doc(answer="application/json")
_VIEW = Doc(
    query=(FILENAME,),
    headers=(IF_NONE_MATCH, RANGE),
    answer=("application/json", _BYTES, "text/plain"),
)
_DONE = Answer(body=b"{}", media_type="application/json")

Show = Callable[[ServerContext, Request, str, Attachment], Awaitable[AnyAnswer]]

routes = Routes()


def _mount(level: ResourceLevel) -> None:
    path = f"/{level.collection}/{{id}}/attachments"

    @routes.get(path, doc=Doc(query=(FULL,), answer="application/json"))
    async def list_attachments(context: ServerContext, request: Request, *, id: str) -> AnyAnswer:
        found = await context.attachments.all_of(level, id)
        names = {context.attachment_names.name(each.type): int(each.type) for each in found}
        return json_answer(dict(sorted(names.items())) if "full" in request.query else list(names))

    @routes.put(path + "/{name}", doc=Doc(headers=(IF_MATCH,), body=_BYTES, answer="application/json"))
    async def put_attachment(context: ServerContext, request: Request, *, id: str, name: str) -> AnyAnswer:
        number = context.attachment_names.number(name)
        if number not in USER_NUMBERS:
            return empty_answer(403)
        length = request.headers.get("content-length")
        revision = await context.attachments.store(
            id,
            number,
            request.chunks(),
            content_length=int(length) if length else None,
            expected=if_match(request),
        )
        return msgspec.structs.replace(_DONE, headers=(etag(revision),))

    @routes.delete(path + "/{name}", doc=Doc(headers=(IF_MATCH,), answer="text/plain"))
    async def delete_attachment(context: ServerContext, request: Request, *, id: str, name: str) -> AnyAnswer:
        number = context.attachment_names.number(name)
        if number not in USER_NUMBERS and number != AttachmentType.DICOM_AS_JSON:
            return empty_answer(403)
        await context.attachments.remove(id, number, if_match(request))
        return text_answer()


def _mount_changes(level: ResourceLevel) -> None:
    path = f"/{level.collection}/{{id}}/attachments/{{name}}"

    @routes.post(path + "/compress", doc=_EMPTY)
    async def compress(context: ServerContext, request: Request, *, id: str, name: str) -> AnyAnswer:
        return await _recode(context, level, id, name, Compression.DEFLATE)

    @routes.post(path + "/uncompress", doc=_EMPTY)
    async def uncompress(context: ServerContext, request: Request, *, id: str, name: str) -> AnyAnswer:
        return await _recode(context, level, id, name, Compression.NONE)

    @routes.post(path + "/verify-md5", doc=_EMPTY)
    async def verify(context: ServerContext, request: Request, *, id: str, name: str) -> AnyAnswer:
        number = context.attachment_names.number(name)
        is_intact = await context.attachments.is_intact(level, id, number)
        return _DONE if is_intact else nothing(request)


async def _recode(
    context: ServerContext, level: ResourceLevel, id: str, name: str, compression: Compression
) -> AnyAnswer:
    await context.attachments.recode(level, id, context.attachment_names.number(name), compression)
    return _DONE


def _mount_view(level: ResourceLevel, suffix: str, show: Show) -> None:
    @routes.get(f"/{level.collection}/{{id}}/attachments/{{name}}{suffix}", doc=_VIEW)
    async def view(context: ServerContext, request: Request, *, id: str, name: str) -> AnyAnswer:
        number = context.attachment_names.number(name)
        attachment = await context.attachments.one_of(level, id, number)
        revision = revision_of(attachment)
        if is_known(request, revision):
            return empty_answer(304, etag(revision))
        answer = await show(context, request, id, attachment)
        return msgspec.structs.replace(answer, headers=(etag(revision), *answer.headers))


async def _data(context: ServerContext, request: Request, id: str, attachment: Attachment) -> AnyAnswer:
    size, (_, tag) = attachment.uncompressed_size, etag(revision_of(attachment))
    part = part_asked_for(request, tag, size)
    if part is not None:
        return await part_answer(context, id, attachment, part)
    media_type = context.attachment_names.media_type(attachment.type)
    headers = _data_headers(request, attachment)
    return await content_answer(context, request, id, attachment, media_type=media_type, headers=headers)


async def _stored(context: ServerContext, request: Request, id: str, attachment: Attachment) -> AnyAnswer:
    """Answer the bytes as they are stored: the content itself, or a raw deflate stream (RFC 1951)."""
    bare = msgspec.structs.replace(
        attachment, uncompressed_size=attachment.size, compression=Compression.NONE
    )
    _, tag = etag(revision_of(attachment))
    part = part_asked_for(request, tag, attachment.size)
    if part is not None:
        return await part_answer(context, id, bare, part)
    media_type = _BYTES
    if attachment.compression == Compression.NONE:
        media_type = context.attachment_names.media_type(attachment.type)
    headers = _data_headers(request, attachment)
    return await stored_answer(context, id, bare, media_type=media_type, headers=headers)


def _data_headers(request: Request, attachment: Attachment) -> tuple[tuple[str, str], ...]:
    filename = request.query.get("filename", attachment.uuid)
    return *content_disposition(filename), ("Accept-Ranges", "bytes")


def _text(value: Callable[[Attachment], object]) -> Show:
    async def show(context: ServerContext, request: Request, id: str, attachment: Attachment) -> AnyAnswer:
        return text_answer(str(value(attachment)))

    return show


def _md5(value: Callable[[Attachment], str]) -> Show:
    async def show(context: ServerContext, request: Request, id: str, attachment: Attachment) -> AnyAnswer:
        return text_answer(value(attachment)) if value(attachment) else nothing(request)

    return show


async def _info(context: ServerContext, request: Request, id: str, attachment: Attachment) -> AnyAnswer:
    return json_answer(
        {
            "CompressedMD5": attachment.md5,
            "CompressedSize": attachment.size,
            "ContentType": int(attachment.type),
            "UncompressedMD5": attachment.uncompressed_md5,
            "UncompressedSize": attachment.uncompressed_size,
            "Uuid": attachment.uuid,
        }
    )


async def _operations(context: ServerContext, request: Request, id: str, attachment: Attachment) -> AnyAnswer:
    hidden = frozenset() if attachment.md5 else _MD5_OPERATIONS
    return json_answer([operation for operation in _OPERATIONS if operation not in hidden])


_VIEWS: dict[str, Show] = {
    "": _operations,
    "/data": _data,
    "/compressed-data": _stored,
    "/size": _text(lambda attachment: attachment.uncompressed_size),
    "/compressed-size": _text(lambda attachment: attachment.size),
    "/md5": _md5(lambda attachment: attachment.uncompressed_md5),
    "/compressed-md5": _md5(lambda attachment: attachment.md5),
    "/is-compressed": _text(lambda attachment: int(attachment.compression != Compression.NONE)),
    "/info": _info,
}

for _level in ResourceLevel:
    _mount(_level)
    _mount_changes(_level)
    for _suffix, _show in _VIEWS.items():
        _mount_view(_level, _suffix, _show)
