"""Websockets over plain TCP for an ASGI application. Source: RFC 6455.

What is read is rare and full of rules: that is wsproto's. What is sent is framed here: the frame of a server
is a header before the text, many leave in one write, and the common write waits for nothing.
The application's `receive` also answers pings and watches over the connection, so one must always be pending.
"""

import base64
import binascii
import hashlib
import logging
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

import trio
from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Event, Ping, TextMessage

from .asgi import App, Message
from .head import END, Head, parse_head
from .options import HttpOptions
from .response import status_line
from .scope import Address, make_scope, path_for_log
from .transport import ClientGone, Transport

TEXTS = "websocket.texts"
"""The extension of ASGI: a message with `texts`, a list of UTF-8 texts that leave in one write."""

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_VERSION = b"13"
_EXTENSIONS: dict[str, dict[str, str]] = {"websocket.http.response": {}, TEXTS: {}}
_TEXT, _BINARY = 0x81, 0x82
_NORMAL, _GOING_AWAY, _TOO_BIG, _INTERNAL_ERROR, _ABNORMAL = 1000, 1001, 1009, 1011, 1006
_MAX_MESSAGE_BYTES = 1024 * 1024
"""Of the client; there is no limit to what is sent."""
_PING_INTERVAL_S = 20.0
_MISSED_PINGS = 3
_LINGER_S = 2.0
_BURST = 16
"""Sends that may succeed at once in a row before other tasks get their turn."""

_log = logging.getLogger(__name__)


def frames(texts: Iterable[bytes]) -> bytes:
    """Return one text frame for each text. Source: RFC 6455 §5.2."""
    pieces: list[bytes] = []
    for text in texts:
        pieces.append(_header(_TEXT, len(text)))
        pieces.append(text)
    return b"".join(pieces)


def _header(opcode: int, size: int) -> bytes:
    if size < 126:
        return bytes((opcode, size))
    if size < 1 << 16:
        return bytes((opcode, 126)) + size.to_bytes(2, "big")
    return bytes((opcode, 127)) + size.to_bytes(8, "big")


class WebSocketServer:
    """Serves websockets for one application."""

    def __init__(self, app: App, options: HttpOptions) -> None:
        self._app = app
        self._options = options

    async def serve(self, transport: Transport, data: bytes, client: Address, server: Address) -> None:
        """Serve a connection of which `data` was read, with the head of a websocket. Closes it."""
        raw_head, _, held = data.partition(END)
        head = parse_head(raw_head + END, self._options)
        cycle = _Cycle(head, transport, self._options.request_timeout_s, held)
        try:
            refusal = _refusal_of(head)
            if refusal is not None:
                await cycle.write(refusal)
            else:
                await self._run(cycle, head, client, server)
            await cycle.linger()
        except ClientGone:
            pass
        finally:
            cycle.end()

    async def _run(self, cycle: "_Cycle", head: Head, client: Address, server: Address) -> None:
        scope = make_scope("websocket", head, client, server, _EXTENSIONS)
        scope["subprotocols"] = _tokens(_value(head, b"sec-websocket-protocol"))
        try:
            await self._app(scope, cycle.receive, cycle.send)
        except Exception:
            if cycle.is_lost:
                return
            _log.exception("a websocket was broken off: %s", path_for_log(head.target))
        await cycle.finish()


def _value(head: Head, name: bytes) -> bytes:
    return b",".join(value for key, value in head.headers if key == name)


def _tokens(value: bytes) -> list[str]:
    return [token.strip().decode("latin-1") for token in value.split(b",") if token.strip()]


def _refusal_of(head: Head) -> bytes | None:
    """Return the answer to a handshake that is none. Source: RFC 6455 §4.2."""
    if _value(head, b"sec-websocket-version") != _VERSION:
        return (
            status_line(426) + b"Connection: close\r\nSec-WebSocket-Version: 13\r\nContent-Length: 0\r\n\r\n"
        )
    try:
        nonce = base64.b64decode(_value(head, b"sec-websocket-key"), validate=True)
    except binascii.Error:
        nonce = b""
    if len(nonce) != 16 or head.method != "GET" or head.content_length or head.is_chunked:
        return status_line(400) + b"Connection: close\r\nContent-Length: 0\r\n\r\n"
    return None


class _Cycle:
    """One websocket: the `receive` and `send` of ASGI."""

    def __init__(self, head: Head, transport: Transport, timeout_s: float, held: bytes) -> None:
        self._key = _value(head, b"sec-websocket-key")
        self._transport = transport
        self._timeout_s = timeout_s
        self._protocol = Connection(ConnectionType.SERVER)
        self._incoming: list[Message] = [{"type": "websocket.connect"}]
        self._parts: list[Any] = []
        """Of a message that is not complete: all texts, or all bytes."""
        self._message_size = 0
        self._held = held
        self._writing = trio.Lock()
        self._burst = 0
        self._is_accepted = False
        self._is_answered = False
        """Whether the handshake was answered, one way or the other."""
        self._is_closed = False
        """Whether our close frame left, so that nothing may follow."""
        self._closed_code: int | None = None
        """With what the client has ended, None while it has not."""
        self.is_lost = False

    # From the client

    async def receive(self) -> Message:
        """Return the next message of the client, in the end `websocket.disconnect`."""
        while not self._incoming:
            if self._closed_code is not None:
                return {"type": "websocket.disconnect", "code": self._closed_code}
            await self._read_more()
        return self._incoming.pop(0)

    async def _read_more(self) -> None:
        try:
            data, self._held = self._held, b""
            await self._take(data or await self._read())
        except ClientGone:
            self.is_lost = True
            self._closed_code = _ABNORMAL

    async def _read(self) -> bytes:
        missed = 0
        while True:
            with trio.move_on_after(_PING_INTERVAL_S) as scope:
                await self._transport.wait_readable()
            if scope.cancelled_caught:
                missed += 1
                if missed >= _MISSED_PINGS:
                    raise ClientGone("the client does not answer")
                if self._is_accepted and not self._is_closed:
                    await self.write(self._protocol.send(Ping()))
            elif (data := self._transport.receive_nowait()) is not None:
                return data

    async def _take(self, data: bytes) -> None:
        if not data:
            raise ClientGone
        self._protocol.receive_data(data)
        for event in self._protocol.events():
            await self._handle(event)
            if self._closed_code is not None:
                return

    async def _handle(self, event: Event) -> None:
        match event:
            case TextMessage() | BytesMessage():
                await self._collect(event)
            case Ping() if not self._is_closed:
                await self.write(self._protocol.send(event.response()))
            case CloseConnection():
                # Also what wsproto makes of a frame that breaks the rules.
                self._closed_code = event.code
                if not self._is_closed:
                    await self._close(event.response())
            case _:
                pass

    async def _collect(self, frame: TextMessage | BytesMessage) -> None:
        self._message_size += len(frame.data)
        if self._message_size > _MAX_MESSAGE_BYTES:
            self._closed_code = _TOO_BIG
            if not self._is_closed:
                await self._close(CloseConnection(code=_TOO_BIG))
            return
        self._parts.append(frame.data)
        if not frame.message_finished:
            return
        parts, self._parts, self._message_size = self._parts, [], 0
        if isinstance(frame, TextMessage):
            self._incoming.append({"type": "websocket.receive", "text": "".join(parts)})
        else:
            self._incoming.append({"type": "websocket.receive", "bytes": b"".join(parts)})

    # To the client

    async def send(self, message: Message) -> None:
        """Send a message of the application. Raises ClientGone, an OSError, when the client has left."""
        match message["type"]:
            case "websocket.texts":
                await self._send_frames(_frames_of(message["texts"]))
            case "websocket.send":
                await self._send_frames(_frame_of(message))
            case "websocket.accept":
                await self._accept(message)
            case "websocket.close":
                await self._close_or_refuse(message)
            case "websocket.http.response.start":
                await self._refuse(message["status"], message.get("headers", ()))
            case "websocket.http.response.body":
                await self.write(message.get("body", b""))
            case other:
                raise RuntimeError(f"unexpected message {other}")

    async def _send_frames(self, data: bytes) -> None:
        if self._is_closed:
            self.is_lost = True
            raise ClientGone("the websocket is closed")
        await self.write(data)

    async def _accept(self, message: Message) -> None:
        digest = base64.b64encode(hashlib.sha1(self._key + _GUID, usedforsecurity=False).digest())
        headers = [*message.get("headers", ()), (b"Sec-WebSocket-Accept", digest)]
        if message.get("subprotocol"):
            headers.append((b"Sec-WebSocket-Protocol", message["subprotocol"].encode("latin-1")))
        self._is_accepted = self._is_answered = True
        await self.write(_head(101, [(b"Upgrade", b"websocket"), (b"Connection", b"Upgrade"), *headers]))

    async def _close_or_refuse(self, message: Message) -> None:
        if not self._is_answered:
            await self._refuse(403, [(b"Content-Length", b"0")])
        elif not self._is_closed:
            code, reason = message.get("code", _NORMAL), message.get("reason")
            await self._close(CloseConnection(code=code, reason=reason or None))

    async def _refuse(self, status: int, headers: Iterable[tuple[bytes, bytes]]) -> None:
        self._is_answered = True
        await self.write(_head(status, [(b"Connection", b"close"), *headers]))

    async def _close(self, close: CloseConnection) -> None:
        self._is_closed = True
        await self.write(self._protocol.send(close))

    async def finish(self) -> None:
        """Leave nothing open that the application left open."""
        if not self._is_answered:
            await self._refuse(500, [(b"Content-Length", b"0")])
        elif self._is_accepted and not self._is_closed:
            await self._close(CloseConnection(code=_INTERNAL_ERROR))

    async def write(self, data: bytes) -> None:
        """Send all of `data`, in good time. Raises ClientGone."""
        if self._writing.locked():
            async with self._writing:
                await self._write_rest(memoryview(data))
            return
        sent = self._send_nowait(data)
        self._burst += 1
        if sent < len(data):
            self._writing.acquire_nowait()
            try:
                await self._write_rest(memoryview(data)[sent:])
            finally:
                self._writing.release()
        elif self._burst >= _BURST:
            self._burst = 0
            await trio.lowlevel.checkpoint()

    async def _write_rest(self, rest: memoryview) -> None:
        with trio.move_on_after(self._timeout_s):
            while rest:
                await self._transport.wait_writable()
                rest = rest[self._send_nowait(rest) :]
            return
        self.is_lost = True
        raise ClientGone("the client is too slow")

    def _send_nowait(self, data: bytes | memoryview) -> int:
        try:
            return self._transport.send_nowait(data)
        except ClientGone:
            self.is_lost = True
            raise

    async def linger(self) -> None:
        """Let the client read what was sent and close in its turn, but not for long."""
        if self.is_lost:
            return
        with trio.move_on_after(_LINGER_S):
            while self._is_accepted and self._closed_code is None:
                await self._read_more()
            self._transport.shut_down()
            while self._transport.receive_nowait() != b"":
                await self._transport.wait_readable()

    def end(self) -> None:
        """Close the connection; one that is still open is told that the server goes away."""
        try:
            if self._is_accepted and not (self._is_closed or self.is_lost or self._writing.locked()):
                self._send_nowait(self._protocol.send(CloseConnection(code=_GOING_AWAY)))
        except ClientGone:
            pass
        finally:
            self._transport.close()


def _frames_of(texts: Sequence[bytes]) -> bytes:
    return frames(texts) if len(texts) == 1 else _shared_frames(tuple(texts))


_shared_frames = lru_cache(2)(frames)
"""Of news that many clients get at the same time."""


def _frame_of(message: Message) -> bytes:
    text = message.get("text")
    if text is not None:
        return frames([text.encode()])
    data: bytes = message["bytes"]
    return _header(_BINARY, len(data)) + data


def _head(status: int, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    lines = [b"%b: %b\r\n" % header for header in headers]
    block = b"".join(lines)
    if block.count(b"\n") != len(lines) or block.count(b"\r") != len(lines):
        raise ValueError("a header of an answer holds a line break")
    return b"%b%b\r\n" % (status_line(status), block)
