"""Stored files as answers: their content, whatever the form in which they are stored."""

from msgspec.structs import replace

from ..deflate import gzip_frame
from ..model.resource import Attachment, Compression
from ..services.context import ServerContext
from .encoding import accepts_gzip
from .ranges import Part
from .wire import Answer, AnyAnswer, FileAnswer, Request, StreamAnswer

_LARGEST_ANSWER = 1 << 20
"""A larger file that has to be inflated is sent piece by piece."""
_BINARY = "application/octet-stream"
_VARY = ("Vary", "Accept-Encoding")

Headers = tuple[tuple[str, str], ...]


async def content_answer(
    context: ServerContext,
    request: Request,
    id: str,
    attachment: Attachment,
    *,
    media_type: str,
    headers: Headers = (),
) -> AnyAnswer:
    """Answer the content of an attachment of the resource `id`.

    A file that is stored deflated goes out as it is to a client that takes gzip: the frame of that format is
    put around it. For others it is inflated. Raises InexistentFile, CorruptedFile.
    """
    if attachment.compression == Compression.NONE:
        return await stored_answer(context, id, attachment, media_type=media_type, headers=headers)
    headers = (*headers, _VARY)
    if accepts_gzip(request.headers):
        headers = (*headers, ("Content-Encoding", "gzip"))
        stored = await stored_answer(context, id, attachment, media_type=media_type, headers=headers)
        return _framed(stored, *gzip_frame(attachment.crc32, attachment.uncompressed_size))
    if attachment.uncompressed_size <= _LARGEST_ANSWER:
        content = await context.library.read_content(attachment)
        return Answer(body=content, media_type=media_type, headers=headers)
    length = ("Content-Length", str(attachment.uncompressed_size))
    chunks = context.library.stream_content(attachment)
    return StreamAnswer(chunks=chunks, media_type=media_type, headers=(*headers, length))


async def stored_answer(
    context: ServerContext, id: str, attachment: Attachment, *, media_type: str, headers: Headers = ()
) -> Answer | FileAnswer:
    """Answer an attachment of the resource `id` as it is stored. Raises InexistentFile."""
    opened = await context.library.open_file(id, attachment)
    if isinstance(opened, bytes):
        return Answer(body=opened, media_type=media_type, headers=headers)
    descriptor, offset = opened
    return FileAnswer(
        descriptor=descriptor, offset=offset, size=attachment.size, media_type=media_type, headers=headers
    )


async def part_answer(
    context: ServerContext, id: str, attachment: Attachment, part: Part, *, headers: Headers = ()
) -> AnyAnswer:
    """Answer a part of the content of an attachment of the resource `id`. Raises as `content_answer`."""
    size, last = attachment.uncompressed_size, part.offset + part.size - 1
    headers = (*headers, ("Content-Range", f"bytes {part.offset}-{last}/{size}"))
    if attachment.compression == Compression.NONE:
        whole = await stored_answer(context, id, attachment, media_type=_BINARY, headers=headers)
        if isinstance(whole, Answer):
            return replace(whole, status=206, body=whole.body[part.offset : last + 1])
        return replace(whole, status=206, offset=whole.offset + part.offset, size=part.size)
    chunks = context.library.stream_content(attachment, part.offset, part.size)
    length = ("Content-Length", str(part.size))
    return StreamAnswer(chunks=chunks, status=206, media_type=_BINARY, headers=(*headers, length))


def _framed(answer: Answer | FileAnswer, prefix: bytes, suffix: bytes) -> AnyAnswer:
    if isinstance(answer, Answer):
        return replace(answer, body=prefix + answer.body + suffix)
    return replace(answer, prefix=prefix, suffix=suffix)
