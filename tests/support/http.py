"""HTTP over raw bytes: a client that hides nothing, servers on free ports, a connection made of memory."""

import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import trio

from orthanc_trio.httpd.asgi import App
from orthanc_trio.httpd.listener import serve
from orthanc_trio.httpd.options import HttpOptions
from orthanc_trio.httpd.transport import ClientGone
from orthanc_trio.rest.app import mount
from orthanc_trio.rest.auth import AccessOptions, access_policy
from orthanc_trio.rest.front import DoorOptions
from orthanc_trio.rest.routing import Routes

HOST = "127.0.0.1"


class Reply(NamedTuple):
    status: int
    reason: str
    headers: dict[str, str]
    """Names in lower case."""
    body: bytes


class RawClient:
    """One connection; reads answers, or whatever comes."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self.stream = stream
        self._held = b""

    async def send(self, data: bytes) -> None:
        await self.stream.send_all(data)

    async def get(self, path: str, *headers: str) -> Reply:
        await self.send(request_bytes("GET", path, *headers))
        return await self.read_reply()

    async def post(self, path: str, body: bytes, *headers: str) -> Reply:
        await self.send(request_bytes("POST", path, *headers, body=body))
        return await self.read_reply()

    async def read_reply(self, *, has_body: bool = True) -> Reply:
        head = await self._read_until(b"\r\n\r\n")
        status_line, *lines = head.decode("latin-1").split("\r\n")
        _, status, reason = status_line.split(" ", 2)
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
        body = await self._read_body(headers) if has_body else b""
        return Reply(int(status), reason, headers, body)

    async def _read_body(self, headers: dict[str, str]) -> bytes:
        if "content-length" in headers:
            return await self.read_exactly(int(headers["content-length"]))
        if headers.get("transfer-encoding") != "chunked":
            return await self.read_to_end()
        pieces = []
        while size := int(await self._read_until(b"\r\n"), 16):
            pieces.append(await self.read_exactly(size))
            assert await self.read_exactly(2) == b"\r\n"
        assert await self._read_until(b"\r\n") == b""
        return b"".join(pieces)

    async def _read_until(self, end: bytes) -> bytes:
        while end not in self._held:
            self._held += await self._read_some()
        found, _, self._held = self._held.partition(end)
        return found

    async def read_head(self) -> str:
        """Return the lines of the head of an answer, each with its end."""
        return (await self._read_until(b"\r\n\r\n")).decode("latin-1") + "\r\n"

    async def read_frame(self) -> tuple[int, bytes]:
        """Return the opcode and the payload of a frame of a websocket."""
        first, length = await self.read_exactly(2)
        assert first & 0x80, "the server sends whole messages"
        if length >= 126:
            length = int.from_bytes(await self.read_exactly(2 if length == 126 else 8), "big")
        return first & 0x0F, await self.read_exactly(length)

    async def read_line(self) -> bytes:
        return await self._read_until(b"\r\n")

    async def read_exactly(self, size: int) -> bytes:
        while len(self._held) < size:
            self._held += await self._read_some()
        found, self._held = self._held[:size], self._held[size:]
        return found

    async def _read_some(self) -> bytes:
        data = bytes(await self.stream.receive_some(65536))
        if not data:
            raise EOFError(f"the connection ended after {self._held!r}")
        return data

    async def read_to_end(self) -> bytes:
        """Return all that comes until the end of the stream. Raises BrokenResourceError on a reset."""
        data, self._held = self._held, b""
        while piece := await self.stream.receive_some(65536):
            data += piece
        return data


def request_bytes(method: str, path: str, *headers: str, body: bytes | None = None) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: test", *headers]
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + (body or b"")


class Served:
    """A server that runs; `stop` ends it in good order."""

    def __init__(self, port: int, stop: trio.Event) -> None:
        self.port = port
        self.stop = stop

    @asynccontextmanager
    async def client(self) -> AsyncIterator[RawClient]:
        async with await trio.open_tcp_stream(HOST, self.port) as stream:
            yield RawClient(stream)

    @asynccontextmanager
    async def tls_client(self, certificate: Path) -> AsyncIterator[RawClient]:
        stream = await trio.open_tcp_stream(HOST, self.port)
        context = trusting(certificate)
        async with trio.SSLStream(stream, context, server_hostname="localhost", https_compatible=True) as tls:
            yield RawClient(tls)

    async def ask(self, data: bytes) -> bytes:
        """Send bytes on a connection of their own and return all that comes until its end."""
        async with self.client() as client:
            await client.send(data)
            return await client.read_to_end()


@asynccontextmanager
async def serving(app: App, **options: Any) -> AsyncIterator[Served]:
    """Serve an application on a free port; at the end without grace."""
    settings = HttpOptions(**{"addresses": (HOST,), **options})
    stop = trio.Event()

    async def run(task_status: trio.TaskStatus[Any]) -> None:
        await serve(app, settings, stop=stop, task_status=task_status)

    async with trio.open_nursery() as server:
        [(_, port)] = await server.start(run)
        yield Served(port, stop)
        server.cancel_scope.cancel()


def door(
    routes: Routes, *, access: AccessOptions | None = None, options: DoorOptions | None = None, **more: Any
) -> App:
    """Make the door of a server that has these routes only; `blueprint` and `context` may be given."""
    module = SimpleNamespace(routes=routes, **{name: more[name] for name in more if name == "blueprint"})
    policy = access_policy(access or AccessOptions())
    return mount(more.get("context"), [module], access=policy, options=options or DoorOptions())


def make_certificate(folder: Path) -> Path:
    """Make a PEM file with the key and the self-signed certificate of `localhost`."""
    path = folder / "certificate.pem"
    key = folder / "key.pem"
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    kind = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    command = ["openssl", "req", *kind, *names, "-keyout", str(key), "-out", str(path)]
    subprocess.run(command, check=True, capture_output=True)
    path.write_text(path.read_text() + key.read_text())
    return path


def server_tls(certificate: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    return context


def trusting(certificate: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(certificate))


class MemoryTransport:
    """A connection made of memory, so that its time can be that of a test clock. The test is the client."""

    def __init__(self) -> None:
        self.sent = bytearray()
        self.sends = 0
        self.room: float = float("inf")
        """How much the client will still take."""
        self.is_shut_down = False
        self.is_closed = False
        self.is_aborted = False
        self._incoming = bytearray()
        self._is_ended = False
        self._is_reset = False
        self._changed = trio.lowlevel.ParkingLot()

    def feed(self, data: bytes) -> None:
        self._incoming += data
        self._changed.unpark_all()

    def end(self) -> None:
        self._is_ended = True
        self._changed.unpark_all()

    def reset(self) -> None:
        self._is_reset = True
        self._changed.unpark_all()

    def make_room(self, size: float) -> None:
        self.room += size
        self._changed.unpark_all()

    def take_sent(self) -> bytes:
        data = bytes(self.sent)
        self.sent.clear()
        return data

    def receive_nowait(self) -> bytes | None:
        self._check()
        if self._incoming:
            data = bytes(self._incoming[:65536])
            del self._incoming[:65536]
            return data
        return b"" if self._is_ended else None

    def receive_into_nowait(self, room: memoryview) -> int | None:
        self._check()
        count = min(len(room), len(self._incoming))
        room[:count] = self._incoming[:count]
        del self._incoming[:count]
        return count if count or self._is_ended else None

    def send_nowait(self, data: bytes | memoryview, *, more: bool = False) -> int:
        self._check()
        size = int(min(self.room, len(data)))
        self.room -= size
        self.sends += 1
        self.sent += data[:size]
        self._changed.unpark_all()
        return size

    def send_file_nowait(self, descriptor: int, offset: int, count: int) -> int | None:
        raise AssertionError("files go to sockets")

    async def wait_readable(self) -> None:
        while not (self._incoming or self._is_ended or self._is_reset):
            await self._changed.park()
        await trio.lowlevel.checkpoint()

    async def wait_writable(self) -> None:
        while not (self.room or self._is_reset):
            await self._changed.park()
        await trio.lowlevel.checkpoint()

    async def wait_sent(self, end: bytes) -> None:
        """Return when what was sent ends so."""
        while not self.sent.endswith(end):
            await self._changed.park()

    def shut_down(self) -> None:
        self.is_shut_down = True

    def close(self) -> None:
        self.is_closed = True

    def abort(self) -> None:
        self.is_aborted = True

    def _check(self) -> None:
        if self._is_reset:
            raise ClientGone
