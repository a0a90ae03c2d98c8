"""One plain HTTP/1.1 connection: its requests in order, each awaited in the connection's own task.

No task, nursery or deadline belongs to a request: while none runs, the connection notes when it expires, and
its owner looks at that now and then; while one runs, the channel guards each wait for the client.
"""

import logging
import math

import trio

from .asgi import App, Scope
from .channel import Channel
from .exchange import Exchange
from .head import END, H2_PREFACE, BadHead, Head, overlong_status, parse_head
from .options import HttpOptions
from .response import connection_lines, refusal
from .scope import Address, make_scope, path_for_log
from .transport import ClientGone, Transport

_LINGER_S = 2.0
_LINGER_BYTES = 16 * 1024 * 1024
_EXTENSIONS: dict[str, dict[str, str]] = {"http.response.zerocopysend": {}}

_log = logging.getLogger(__name__)


class Connection:
    """Serves one client until either side has had enough."""

    def __init__(
        self, app: App, transport: Transport, options: HttpOptions, *, client: Address, server: Address
    ) -> None:
        self._app = app
        self._transport = transport
        self._options = options
        self._client = client
        self._server = server
        self._channel = Channel(transport, options.request_timeout_s)
        self._scope = trio.CancelScope()
        self._exchange: Exchange | None = None
        self._expires_at = math.inf
        self._patience_s = options.patience_s
        self._now = trio.lowlevel.current_clock().current_time
        self._keep_alive_lines = connection_lines(options)
        self._last: tuple[bytes, Head, Scope] | None = None
        """The last head, since who polls sends the same bytes again and again: they are parsed once."""

    def stop(self) -> None:
        """End the connection: at once if no request runs, else after the answer."""
        if self._exchange is None:
            self._scope.cancel()
        else:
            self._exchange.end_connection()

    def expire(self, now: float) -> None:
        """End the connection if it has waited too long for a request; to be called regularly."""
        if now >= self._expires_at:
            self._scope.cancel()

    async def serve(self) -> bytes | None:
        """Answer requests until the connection is closed, and return None.

        A request for another protocol ends this one: the bytes that were read of it are returned, and the
        transport stays open. A cancel in the middle of an answer resets the connection.
        """
        handed_over = None
        try:
            with self._scope:
                handed_over = await self._serve()
        finally:
            if handed_over is None:
                self._end()
        return handed_over

    def _end(self) -> None:
        if self._exchange is None:
            self._transport.close()
        else:
            self._transport.abort()

    async def _serve(self) -> bytes | None:
        try:
            while (data := await self._read_head()) is not None:
                if data == H2_PREFACE:
                    return data + self._channel.held
                head, scope = self._parse(data)
                if head.is_websocket:
                    return data + self._channel.held
                if not await self._answer(head, scope):
                    break
        except ClientGone:
            pass
        except BadHead as refused:
            await self._refuse(refused.status)
        return None

    def _parse(self, data: bytes) -> tuple[Head, Scope]:
        if self._last is None or self._last[0] != data:
            head = parse_head(data, self._options)
            self._last = data, head, make_scope("http", head, self._client, self._server, _EXTENSIONS)
        _, head, scope = self._last
        # An application may keep and change what it is given.
        return head, {**scope, "headers": head.headers.copy()}

    async def _read_head(self) -> bytes | None:
        channel = self._channel
        self._expires_at = self._now() + self._patience_s
        has_begun = False
        while True:
            held = channel.held.lstrip(b"\r\n")
            end = held.find(END)
            if end >= 0:
                break
            if len(held) > self._options.max_head_bytes:
                raise BadHead(overlong_status(held, self._options))
            if held and not has_begun:
                has_begun = True
                self._expires_at = self._now() + self._options.request_timeout_s
            data = await channel.read_unhurried()
            if not data:
                return None
            channel.held = held + data
        self._expires_at = math.inf
        channel.held = held[end + 4 :]
        return held[: end + 4]

    async def _answer(self, head: Head, scope: Scope) -> bool:
        """Answer one request; return whether another one may follow."""
        keeps = head.keep_alive and self._options.keep_alive
        exchange = self._exchange = Exchange(
            head,
            self._channel,
            keep_alive_lines=self._keep_alive_lines if keeps else None,
            max_drained_bytes=self._options.max_drained_bytes,
        )
        try:
            await self._app(scope, exchange.receive, exchange.send)
        except Exception:
            if not self._channel.is_lost:
                _log.exception("an answer was broken off: %s %s", head.method, path_for_log(head.target))
        if not exchange.is_complete:
            await self._answer_failure(exchange)
        can_go_on = exchange.is_over or await self._finish(exchange)
        self._exchange = None
        return can_go_on

    async def _answer_failure(self, exchange: Exchange) -> None:
        if exchange.is_started or self._channel.is_lost:
            raise ClientGone("the rest of an answer cannot be made")
        await exchange.fail()

    async def _finish(self, exchange: Exchange) -> bool:
        if not exchange.must_close and await exchange.drain():
            return True
        if exchange.has_unread_body or self._channel.held:
            await self._linger()
        return False

    async def _refuse(self, status: int) -> None:
        self._expires_at = math.inf
        try:
            await self._channel.send(refusal(status))
            await self._linger()
        except ClientGone:
            self._transport.abort()

    async def _linger(self) -> None:
        """Say that nothing more will come, and read what does, so that no reset destroys the answer."""
        self._transport.shut_down()
        read = 0
        with trio.move_on_after(_LINGER_S):
            while read < _LINGER_BYTES and (data := await self._channel.read()):
                read += len(data)
