"""How answers leave: the three kinds of answers as messages of ASGI."""

import os
from functools import lru_cache, partial

import trio

from ..extent import Extent
from .asgi import Message, Receive, Scope, Send
from .presence import while_present
from .wire import Answer, AnyAnswer, FileAnswer, StreamAnswer

_PART_BYTES = 1024 * 1024
NOSNIFF = (b"X-Content-Type-Options", b"nosniff")
_ZERO_COPY = "http.response.zerocopysend"
_NOT_MODIFIED = 304


async def send_answer(answer: Answer, send: Send) -> None:
    """Send an answer whose body is in memory."""
    await send(_start(answer, len(answer.body)))
    await send({"type": "http.response.body", "body": answer.body})


async def send_head(answer: AnyAnswer, send: Send) -> None:
    """Send the head of an answer to HEAD, and release the rest."""
    try:
        await send(_start(answer, _length_of(answer)))
        await send({"type": "http.response.body", "body": b""})
    finally:
        await discard(answer)


async def send_file(answer: FileAnswer, scope: Scope, send: Send, limiter: trio.CapacityLimiter) -> None:
    """Send a part of a file, by the kernel alone if the server can; closes the descriptor."""
    try:
        await send(_start(answer, _length_of(answer)))
        if answer.prefix:
            await send({"type": "http.response.body", "body": answer.prefix, "more_body": True})
        if _ZERO_COPY in scope.get("extensions", ()):
            part = {"file": answer.descriptor, "offset": answer.offset, "count": answer.size}
            await send({"type": _ZERO_COPY, **part, "more_body": bool(answer.suffix)})
            if answer.suffix:
                await send({"type": "http.response.body", "body": answer.suffix})
        else:
            await _send_parts(answer, send, limiter)
    finally:
        os.close(answer.descriptor)


async def _send_parts(answer: FileAnswer, send: Send, limiter: trio.CapacityLimiter) -> None:
    offset, remaining = answer.offset, answer.size
    while remaining:
        size = min(remaining, _PART_BYTES)
        part = await trio.to_thread.run_sync(os.pread, answer.descriptor, size, offset, limiter=limiter)
        if not part:
            raise EOFError("a file is shorter than the answer that announced it")
        await send({"type": "http.response.body", "body": part, "more_body": True})
        offset += len(part)
        remaining -= len(part)
    await send({"type": "http.response.body", "body": answer.suffix})


async def send_stream(
    answer: StreamAnswer, scope: Scope, receive: Receive, send: Send, limiter: trio.CapacityLimiter
) -> None:
    """Send chunks as they are made, until the client leaves; closes them. The head is sent at once.

    What the chunks raise passes, so that the server resets the connection.
    """
    can_send_files = _ZERO_COPY in scope.get("extensions", ())

    async def send_chunks() -> None:
        async for chunk in answer.chunks:
            if not isinstance(chunk, Extent):
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
            elif can_send_files:
                part = {"file": chunk.descriptor, "offset": chunk.offset, "count": chunk.size}
                await send({"type": _ZERO_COPY, "prefix": chunk.prefix, **part, "more_body": True})
            else:
                data = await trio.to_thread.run_sync(bytes, chunk, limiter=limiter)
                await send({"type": "http.response.body", "body": data, "more_body": True})

    try:
        await send(_start(answer, None))
        await send({"type": "http.response.body", "body": b"", "more_body": True})
        if await while_present(send_chunks, partial(_wait_gone, receive)):
            await send({"type": "http.response.body", "body": b""})
    finally:
        await _close_chunks(answer)


async def _wait_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _close_chunks(answer: StreamAnswer) -> None:
    aclose = getattr(answer.chunks, "aclose", None)
    if aclose is not None:
        await aclose()


async def discard(answer: AnyAnswer) -> None:
    """Release what an answer holds that will never be sent."""
    if isinstance(answer, FileAnswer):
        os.close(answer.descriptor)
    elif isinstance(answer, StreamAnswer):
        await _close_chunks(answer)


def _start(answer: AnyAnswer, length: int | None) -> Message:
    headers = _headers(answer.status, answer.media_type, answer.headers, length)
    return {"type": "http.response.start", "status": answer.status, "headers": headers}


@lru_cache(256)
def _headers(
    status: int, media_type: str | None, others: tuple[tuple[str, str], ...], length: int | None
) -> tuple[tuple[bytes, bytes], ...]:
    """Return the headers of an answer, which is a stream if it has no length."""
    headers = [] if media_type is None else [(b"Content-Type", media_type.encode("latin-1"))]
    headers += [(name.encode("latin-1"), value.encode()) for name, value in others]
    if length is not None:
        headers.append(NOSNIFF)
        # Of what is not sent because the client has it, the length would be that of the whole.
        if status != _NOT_MODIFIED:
            headers.append((b"Content-Length", b"%d" % length))
    return tuple(headers)


def _length_of(answer: AnyAnswer) -> int | None:
    match answer:
        case Answer():
            return len(answer.body)
        case FileAnswer():
            return len(answer.prefix) + answer.size + len(answer.suffix)
        case StreamAnswer():
            return None
