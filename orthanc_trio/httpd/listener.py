"""The HTTP server: sockets that listen, connections that are served, and an orderly end."""

import errno
import logging
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

import trio

from ..model.errors import HttpPortInUse
from .asgi import App
from .connection import Connection
from .head import H2_PREFACE
from .options import HttpOptions
from .transport import SocketTransport
from .websocket import WebSocketServer

if TYPE_CHECKING:
    from .hypercorn_bridge import HypercornBridge

_BACKLOG = 1024
_PAUSE_S = 0.1
_EXPIRY_INTERVAL_S = 0.5
_OUT_OF_RESOURCES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})

_log = logging.getLogger(__name__)

Address = tuple[str, int]


async def serve(
    app: App,
    options: HttpOptions,
    *,
    stop: trio.Event,
    task_status: trio.TaskStatus[list[Address]] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve an ASGI application until `stop` is set; ready, with the addresses that are bound, at `started`.

    After `stop` nothing is accepted, idle connections are closed, and running requests have the grace period
    to end. A cancel ends everything at once. Raises HttpPortInUse; for TLS InternalError if Hypercorn is an
    unknown one.
    """
    server = _Server(app, options)
    with _open_listeners(options) as listeners:
        async with trio.open_nursery() as connections:
            async with trio.open_nursery() as acceptors:
                for listener in listeners:
                    acceptors.start_soon(server.accept, listener, connections)
                acceptors.start_soon(server.expire_connections)
                task_status.started([_address_of(listener.getsockname()) for listener in listeners])
                await stop.wait()
                acceptors.cancel_scope.cancel()
            for listener in listeners:
                listener.close()
            await server.stop()
            connections.cancel_scope.deadline = trio.current_time() + options.grace_s


@contextmanager
def _open_listeners(options: HttpOptions) -> Iterator[list[socket.socket]]:
    with ExitStack() as stack:
        addresses = options.addresses or ("0.0.0.0",)
        yield [stack.enter_context(_listen(address, options.port)) for address in addresses]


def _listen(address: str, port: int) -> socket.socket:
    is_ipv6 = ":" in address
    listener = socket.socket(socket.AF_INET6 if is_ipv6 else socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setblocking(False)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if is_ipv6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind((address, port))
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise HttpPortInUse(f"{address}, port {port}: {error.strerror}") from error
    return listener


def _address_of(name: tuple[str, int] | tuple[str, int, int, int]) -> Address:
    return name[0], name[1]


class _Server:
    """The connections of one server."""

    def __init__(self, app: App, options: HttpOptions) -> None:
        self._app = app
        self._options = options
        self._late_bridge: HypercornBridge | None = None
        if options.tls is not None:
            self._bridge  # noqa: B018  # an unknown Hypercorn is refused at the start
        self._websockets = WebSocketServer(app, options)
        self._room = trio.Semaphore(options.max_connections)
        self._connections: set[Connection] = set()

    async def stop(self) -> None:
        for connection in tuple(self._connections):
            connection.stop()
        if self._late_bridge is not None:
            await self._late_bridge.stop()

    @property
    def _bridge(self) -> "HypercornBridge":
        """Hypercorn, which costs memory: loaded for TLS, or when the first client speaks HTTP/2."""
        if self._late_bridge is None:
            from . import hypercorn_bridge

            self._late_bridge = hypercorn_bridge.HypercornBridge(self._app, self._options)
        return self._late_bridge

    async def expire_connections(self) -> None:
        while True:
            await trio.sleep(_EXPIRY_INTERVAL_S)
            for connection in tuple(self._connections):
                connection.expire(trio.current_time())

    async def accept(self, listener: socket.socket, connections: trio.Nursery) -> None:
        while True:
            await self._room.acquire()
            try:
                accepted, name = await self._accept_one(listener)
            except trio.Cancelled:
                self._room.release()
                raise
            connections.start_soon(self._run, accepted, _address_of(name))

    async def _accept_one(self, listener: socket.socket) -> tuple[socket.socket, tuple[str, int]]:
        while True:
            await trio.lowlevel.wait_readable(listener)
            try:
                return listener.accept()
            except BlockingIOError:
                continue
            except OSError as error:
                # A client that left before it was accepted is no event; a lack of files passes.
                if error.errno in _OUT_OF_RESOURCES:
                    _log.error("no connection can be accepted: %s", error.strerror)
                    await trio.sleep(_PAUSE_S)

    async def _run(self, accepted: socket.socket, client: Address) -> None:
        try:
            with accepted:
                await self._serve(accepted, client)
        except Exception:
            # A bug met by one client must not end the service of the others.
            _log.exception("a connection failed")
        finally:
            self._room.release()

    async def _serve(self, accepted: socket.socket, client: Address) -> None:
        accepted.setblocking(False)
        try:
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, self._options.no_delay)
            server = _address_of(accepted.getsockname())
        except OSError:
            return  # the client has left already
        if self._options.tls is not None:
            await self._bridge.serve_tls(_stream_of(accepted))
            return
        transport = SocketTransport(accepted)
        connection = Connection(self._app, transport, self._options, client=client, server=server)
        self._connections.add(connection)
        try:
            replay = await connection.serve()
        finally:
            self._connections.discard(connection)
        if replay is None:
            return
        if replay.startswith(H2_PREFACE):
            await self._bridge.serve_plain(_stream_of(accepted), replay)
        else:
            await self._websockets.serve(transport, replay, client, server)


def _stream_of(accepted: socket.socket) -> trio.SocketStream:
    return trio.SocketStream(trio.socket.from_stdlib_socket(accepted))
