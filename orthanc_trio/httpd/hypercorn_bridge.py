"""What our own connections do not speak (TLS, HTTP/2) goes to Hypercorn, one connection each.

`TCPServer` is private to Hypercorn, so its shape is checked at the start. Three of its habits are mended: it
never gives up a client that stops reading; it hides from the application that the client has left; and its
news of that comes in the middle of the last send, which made Quart cancel that very send, so that after
`Connection: close` the connection stayed open.
"""

import inspect
import logging
import math

import trio
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.config import Config
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import ConnectionState

from ..model.errors import InternalError
from .asgi import App, Message, Receive, Scope, Send
from .options import HttpOptions
from .response import is_close
from .transport import ClientGone

_EXPECTED_PARAMETERS = ["self", "app", "config", "context", "state", "stream"]
_MAX_FRAME_BYTES = 1024 * 1024
_PING_INTERVAL_S = 20.0

_log = logging.getLogger(__name__)


def check_hypercorn() -> None:
    """Raise InternalError if the installed Hypercorn is not the one that this module knows."""
    found = list(inspect.signature(TCPServer.__init__).parameters)
    if found != _EXPECTED_PARAMETERS or not inspect.iscoroutinefunction(TCPServer.run):
        raise InternalError(f"this version of Hypercorn is not supported: TCPServer takes {found}")


class HandedStream(trio.abc.Stream):
    """A stream for Hypercorn: first replays what was read already, then gives slow clients up."""

    def __init__(self, stream: trio.abc.Stream, replay: bytes, timeout_s: float) -> None:
        self._stream = stream
        self._replay = replay
        self._timeout_s = timeout_s
        self.is_lost = False
        """Whether a send failed: Hypercorn does not tell."""

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Return what was read before, then what comes."""
        if self._replay:
            data, self._replay = self._replay[:max_bytes], self._replay[max_bytes or len(self._replay) :]
            await trio.lowlevel.checkpoint()
            return data
        return bytes(await self._stream.receive_some(max_bytes))

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send `data`. Raises BrokenResourceError if the client has left or is too slow."""
        try:
            with trio.fail_after(self._timeout_s):
                await self._stream.send_all(data)
        except (trio.TooSlowError, trio.BrokenResourceError, trio.ClosedResourceError) as error:
            self.is_lost = True
            raise trio.BrokenResourceError from error

    async def wait_send_all_might_not_block(self) -> None:
        """Wait for room."""
        await self._stream.wait_send_all_might_not_block()

    async def aclose(self) -> None:
        """Close the connection, within the time limit."""
        with trio.move_on_after(self._timeout_s):
            await self._stream.aclose()


class PlainStream(HandedStream):
    """A TCP connection whose first bytes were read already. Hypercorn knows it by its `socket`."""

    def __init__(self, stream: trio.SocketStream, replay: bytes, timeout_s: float) -> None:
        super().__init__(stream, replay, timeout_s)
        self.socket = stream.socket


class TlsStream(HandedStream):
    """A TLS connection. Hypercorn knows it by its `do_handshake`."""

    def __init__(self, stream: trio.SSLStream[trio.SocketStream], timeout_s: float) -> None:
        super().__init__(stream, b"", timeout_s)
        self._tls = stream
        self.transport_stream = stream.transport_stream

    async def do_handshake(self) -> None:
        """Shake hands. Raises BrokenResourceError."""
        await self._tls.do_handshake()

    def selected_alpn_protocol(self) -> str | None:
        """Return what the handshake chose."""
        protocol: str | None = self._tls.selected_alpn_protocol()
        return protocol


class HypercornBridge:
    """Serves the same application through Hypercorn."""

    def __init__(self, app: App, options: HttpOptions) -> None:
        check_hypercorn()
        self._app = app
        self._options = options
        self._config = _make_config(options)
        self._context = WorkerContext(None)

    async def stop(self) -> None:
        """Close the idle connections, and the others after their answer."""
        await self._context.terminated.set()

    async def serve_plain(self, stream: trio.SocketStream, replay: bytes) -> None:
        """Serve a connection of which `replay` was read. Closes it."""
        await self._serve(PlainStream(stream, replay, self._options.request_timeout_s))

    async def serve_tls(self, stream: trio.SocketStream) -> None:
        """Serve a connection that begins with a TLS handshake. Closes it."""
        tls = self._options.tls
        assert tls is not None
        wrapped = trio.SSLStream(stream, tls, server_side=True, https_compatible=True)
        await self._serve(TlsStream(wrapped, self._options.request_timeout_s))

    async def _serve(self, stream: PlainStream | TlsStream) -> None:
        app = _Mended(self._app, self._options, stream)
        server = TCPServer(
            ASGIWrapper(app),  # type: ignore[arg-type]  # Hypercorn's types name each message
            self._config,
            self._context,
            ConnectionState({}),
            stream,  # type: ignore[arg-type]  # it has all that TCPServer uses
        )
        await server.run()


def _make_config(options: HttpOptions) -> Config:
    config = Config()
    config.accesslog = None
    config.errorlog = _log
    config.include_date_header = False
    config.include_server_header = False
    config.keep_alive_timeout = options.patience_s
    config.keep_alive_max_requests = 2**62
    config.h11_max_incomplete_size = options.max_head_bytes
    config.h2_max_header_list_size = options.max_head_bytes
    config.ssl_handshake_timeout = options.request_timeout_s
    config.websocket_max_message_size = _MAX_FRAME_BYTES
    config.websocket_ping_interval = _PING_INTERVAL_S
    return config


class _Mended:
    """The application as Hypercorn sees it."""

    def __init__(self, app: App, options: HttpOptions, stream: HandedStream) -> None:
        self._app = app
        self._options = options
        self._stream = stream

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application for one request or websocket."""
        cycle = _Cycle(scope, receive, send, self._options, self._stream)
        try:
            await self._app(scope, cycle.receive, cycle.send)
        except Exception:
            if not cycle.is_lost:
                _log.exception("an answer was broken off: %r", scope["path"])
            # Hypercorn answers 500, or ends the connection if the answer has begun.


class _Cycle:
    """One request through Hypercorn."""

    def __init__(
        self, scope: Scope, receive: Receive, send: Send, options: HttpOptions, stream: HandedStream
    ) -> None:
        self._receive = receive
        self._send = send
        self._stream = stream
        self._is_http_1 = scope["type"] == "http" and scope["http_version"].startswith("1")
        self._is_http = scope["type"] == "http"
        self._options = options
        self._has_body = self._is_http
        self._is_answered = False
        self._is_disconnected = False

    @property
    def is_lost(self) -> bool:
        """Whether the client has left."""
        return self._stream.is_lost or self._is_disconnected

    async def receive(self) -> Message:
        """Return the next message, for a body in good time; never the end of what was answered in full."""
        with trio.move_on_after(self._options.request_timeout_s if self._has_body else math.inf):
            message = await self._receive()
            self._note(message)
            if self._is_disconnected and self._is_answered:
                await trio.sleep_forever()
            return message
        self._is_disconnected = True
        return {"type": "http.disconnect"}

    def _note(self, message: Message) -> None:
        self._has_body = self._has_body and message.get("more_body", False)
        if message["type"].endswith(".disconnect"):
            self._is_disconnected = True

    async def send(self, message: Message) -> None:
        """Send one message. Raises ClientGone, which Hypercorn does not."""
        if self._stream.is_lost:
            raise ClientGone
        if message["type"] == "http.response.start" and self._is_http_1:
            message = {**message, "headers": self._with_connection(message.get("headers", ()))}
        if message["type"] == "http.response.body" and not message.get("more_body", False):
            self._is_answered = True
        await self._send(message)

    def _with_connection(self, headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        if not self._options.keep_alive or any(is_close(header) for header in headers):
            return [*headers, (b"Connection", b"close")]
        timeout = b"timeout=%d" % self._options.keep_alive_timeout_s
        return [(b"Connection", b"keep-alive"), (b"Keep-Alive", timeout), *headers]
