"""One request and its answer: the `receive` and `send` of ASGI over a channel.

The socket is read only when the application asks, and each send returns when the kernel has taken the bytes,
so neither direction piles up in memory.
"""

import trio

from .asgi import Message
from .body import BadBody, Body, ChunkedBody, LengthBody
from .channel import Channel
from .head import Head
from .response import CONTINUE, FAILURE, LAST_CHUNK, Framing, Start, open_answer
from .transport import ClientGone

_PIECE_BYTES = 1024 * 1024
"""A body of known length arrives in pieces of this size, each received in place: no byte is copied twice."""
_MAX_PIPELINED_BYTES = 64 * 1024
_HALF_CLOSE_GRACE_S = 0.5
_JOINED_BYTES = 64 * 1024
"""How much of a body is copied behind its head, to leave in one send with it."""

_NO_BODY = LengthBody(0)
"""Of most requests: it is complete, and stays so."""


class Exchange:
    """The state of one request-response cycle."""

    def __init__(
        self, head: Head, channel: Channel, *, keep_alive_lines: bytes | None, max_drained_bytes: int
    ) -> None:
        self._head = head
        self._channel = channel
        self._keep_alive_lines = keep_alive_lines
        self._max_drained_bytes = max_drained_bytes
        self._body: Body = _NO_BODY
        if head.is_chunked:
            self._body = ChunkedBody()
        elif head.content_length:
            self._body = LengthBody(head.content_length)
        self._is_body_told = False
        self._is_body_broken = False
        self._must_continue = head.expects_continue
        self._start: Start | None = None
        self._framing = Framing.NONE
        self._remaining = 0
        self.is_started = False
        """Whether a byte of the answer left."""
        self.is_complete = False
        """Whether all of the answer left."""

    # The request

    async def receive(self) -> Message:
        """Return the next part of the body; then, when the client leaves, `http.disconnect`."""
        if self._is_body_broken:
            return {"type": "http.disconnect"}
        if self._is_body_told:
            if not self.is_complete:
                await self._until_gone()
            return {"type": "http.disconnect"}
        try:
            piece = b"" if self._body.is_complete else await self._read_piece()
        except (ClientGone, BadBody):
            self._is_body_broken = True
            return {"type": "http.disconnect"}
        self._is_body_told = self._body.is_complete
        return {"type": "http.request", "body": piece, "more_body": not self._is_body_told}

    async def _read_piece(self) -> bytes | bytearray:
        channel = self._channel
        if self._must_continue:
            self._must_continue = False
            if not channel.held and not self.is_started:
                await channel.send(CONTINUE)
        body = self._body
        if isinstance(body, LengthBody):
            if body.remaining > len(channel.held):
                return await self._read_large_piece(body)
            piece, channel.held = body.take(channel.held)
            return piece
        while True:
            data = await channel.read()
            if not data:
                raise ClientGone
            piece, channel.held = body.take(data)
            if piece or body.is_complete:
                return piece

    async def _read_large_piece(self, body: LengthBody) -> bytearray:
        piece = bytearray(min(body.remaining, _PIECE_BYTES))
        with memoryview(piece) as room:
            await self._channel.read_into(room)
        body.taken(len(piece))
        return piece

    async def _until_gone(self) -> None:
        channel = self._channel
        transport = channel.transport
        try:
            while True:
                if len(channel.held) > _MAX_PIPELINED_BYTES:
                    await trio.sleep_forever()
                data = transport.receive_nowait()
                if data:
                    channel.held += data
                elif data is None:
                    await transport.wait_readable()
                else:
                    break
        except ClientGone:
            channel.is_lost = True
            return
        # Perhaps only the sending side was closed: an answer that is nearly ready still goes out.
        await trio.sleep(_HALF_CLOSE_GRACE_S)
        channel.is_lost = True

    @property
    def is_over(self) -> bool:
        """Whether nothing is left to be read or sent, and the next request may come."""
        return self._keep_alive_lines is not None and self.is_complete and self._body.is_complete

    async def drain(self) -> bool:
        """Read the rest of the body away; return whether the connection can go on."""
        if self._is_body_hopeless:
            return False
        drained = 0
        try:
            while not self._body.is_complete and drained <= self._max_drained_bytes:
                drained += len(await self._read_piece())
        except (ClientGone, BadBody):
            return False
        return self._body.is_complete

    @property
    def _is_body_hopeless(self) -> bool:
        """Whether what is left of the body is too long to read away, or will perhaps never come."""
        is_long = self._body.remaining > self._max_drained_bytes
        return is_long or self._is_body_broken or self._must_continue

    @property
    def has_unread_body(self) -> bool:
        """Whether the client may still be sending."""
        return not self._body.is_complete

    # The answer

    def end_connection(self) -> None:
        """Say in the answer, if it is not too late, that the connection ends."""
        self._keep_alive_lines = None

    @property
    def must_close(self) -> bool:
        """Whether the answer said that the connection ends."""
        return self._keep_alive_lines is None

    async def send(self, message: Message) -> None:
        """Send a message of the application. Raises ClientGone, an OSError, when the client has left."""
        match message["type"]:
            case "http.response.body":
                body = message.get("body", b"")
                await self._send_body(body, is_last=not message.get("more_body", False))
            case "http.response.start":
                if self._start is not None:
                    raise RuntimeError("an answer was started twice")
                self._start = Start(message["status"], tuple(message.get("headers", ())))
            case "http.response.zerocopysend":
                await self._send_file(message)
            case other:
                raise RuntimeError(f"unexpected message {other}")

    async def fail(self) -> None:
        """Send the answer to an application that could not make one."""
        self._start = FAILURE
        await self._send_body(b"", is_last=True)

    async def _send_body(self, body: bytes, *, is_last: bool) -> None:
        head = b"" if self.is_started else self._begin(len(body) if is_last else None)
        tail = b""
        if self.is_complete:
            raise RuntimeError("a body goes on after its end")
        if self._framing is Framing.NONE:
            body = b""
        elif self._framing is Framing.LENGTH:
            self._count(len(body), is_last=is_last)
        elif self._framing is Framing.CHUNKED:
            lead, tail = _chunk_frame(len(body), is_last=is_last)
            head += lead
        if len(body) <= _JOINED_BYTES:
            if data := head + body + tail:
                await self._channel.send(data)
        else:
            await self._channel.send(head + body[:_JOINED_BYTES], more=True)
            await self._channel.send(memoryview(body)[_JOINED_BYTES:], more=tail != b"")
            if tail:
                await self._channel.send(tail)
        self.is_complete = is_last

    async def _send_file(self, message: Message) -> None:
        """Send a part of a file; in front of it `prefix`, which ASGI does not know of."""
        count: int = message["count"]
        head, tail, prefix = b"", b"", message.get("prefix", b"")
        size, is_last = len(prefix) + count, not message.get("more_body", False)
        if not self.is_started:
            head = self._begin(size if is_last else None)
        if self._framing is Framing.NONE:
            prefix, count = b"", 0
        elif self._framing is Framing.LENGTH:
            self._count(size, is_last=is_last)
        elif self._framing is Framing.CHUNKED:
            lead, tail = _chunk_frame(size, is_last=is_last)
            head += lead
        if head or prefix:
            await self._channel.send(head + prefix, more=count > 0)
        await self._channel.send_file(message["file"], message.get("offset", 0), count)
        if tail:
            await self._channel.send(tail, more=not is_last)
        self.is_complete = is_last

    def _begin(self, whole_length: int | None) -> bytes:
        start, head = self._start, self._head
        if start is None:
            raise RuntimeError("a body came before its answer was started")
        if self._is_body_hopeless:
            self._keep_alive_lines = None
        opening = open_answer(
            start, head.method, self._keep_alive_lines, is_http_11=head.is_http_11, size=whole_length
        )
        if opening.must_close:
            self._keep_alive_lines = None
        self._framing, self._remaining = opening.framing, opening.length
        self.is_started = True
        return opening.data

    def _count(self, size: int, *, is_last: bool) -> None:
        self._remaining -= size
        if self._remaining < 0 or (is_last and self._remaining):
            raise RuntimeError("a body has not the length that its answer announced")


def _chunk_frame(size: int, *, is_last: bool) -> tuple[bytes, bytes]:
    """Return what goes in front of `size` bytes of a body in chunks, and behind them."""
    end = LAST_CHUNK if is_last else b""
    return (b"%x\r\n" % size, b"\r\n" + end) if size else (b"", end)
