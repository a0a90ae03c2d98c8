"""A receiver of webhooks on a real socket that does to each request what the test says."""

import hashlib
import hmac
import json
import socket
import struct
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any, NamedTuple

import trio

HOST = "127.0.0.1"
SECRET = "a secret of the test"


class Call(NamedTuple):
    """One request that came: header names in lower case."""

    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def event(self) -> dict[str, Any]:
        event: dict[str, Any] = json.loads(self.body)
        return event

    @property
    def delivery(self) -> str:
        return self.headers["x-orthanctrio-delivery"]

    def is_signed_with(self, secret: str) -> bool:
        """Check the signature as the documentation describes it, independently of the server's code."""
        timestamp = self.headers["x-orthanctrio-timestamp"]
        digest = hmac.digest(secret.encode(), timestamp.encode() + b"." + self.body, hashlib.sha256).hex()
        return self.headers.get("x-orthanctrio-signature") == f"sha256={digest}"


Action = Callable[[trio.SocketStream], Awaitable[bool]]
"""Treats a request; returns whether the connection goes on."""


async def _answer(stream: trio.SocketStream, *, status: int, headers: tuple[str, ...], body: bytes) -> bool:
    lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(body)}", *headers, "", ""]
    await stream.send_all("\r\n".join(lines).encode() + body)
    return True


def answer(status: int = 200, *headers: str, body: bytes = b"ok") -> Action:
    return partial(_answer, status=status, headers=headers, body=body)


async def hang(stream: trio.SocketStream) -> bool:
    """Say nothing until the caller leaves."""
    with suppress(trio.BrokenResourceError):
        while await stream.receive_some():
            pass
    return False


async def drip(stream: trio.SocketStream) -> bool:
    """Answer for ever, one byte now and then."""
    with suppress(trio.BrokenResourceError):
        await stream.send_all(b"HTTP/1.1 200 OK\r\nX: ")
        while True:
            await stream.send_all(b"x")
            await trio.sleep(0.05)
    return False


async def flood(stream: trio.SocketStream) -> bool:
    """Answer without end."""
    with suppress(trio.BrokenResourceError):
        await stream.send_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
        while True:
            await stream.send_all(bytes(1 << 16))
    return False


async def reset(stream: trio.SocketStream) -> bool:
    """Break off in the middle of the answer, with a reset."""
    await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Le")
    stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return False


async def babble(stream: trio.SocketStream) -> bool:
    """Answer something that is not HTTP."""
    await stream.send_all(b"220 mail.example.com ESMTP\r\n\r\n")
    return False


class Receiver:
    """Takes one action of `script` after the other; then `otherwise`."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.calls: list[Call] = []
        self.script: list[Action] = []
        self.otherwise: Action = answer()
        self._changed = trio.Event()

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}/hook?token=geheim"

    def names(self) -> list[str]:
        return [call.event["Type"] for call in self.calls]

    def counts(self) -> Counter[str]:
        """How often each event came, by its identifier."""
        return Counter(call.delivery for call in self.calls)

    async def until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            await self._changed.wait()

    async def calls_until(self, count: int) -> list[Call]:
        await self.until(lambda: len(self.calls) >= count)
        return self.calls

    async def serve(self, stream: trio.SocketStream) -> None:
        held = b""
        with suppress(trio.BrokenResourceError):
            async with stream:
                while True:
                    while b"\r\n\r\n" not in held:
                        held += (data := await stream.receive_some())
                        if not data:
                            return
                    head, _, held = held.partition(b"\r\n\r\n")
                    call = _call(head.decode("latin-1"))
                    size = int(call.headers["content-length"])
                    while len(held) < size:
                        held += (data := await stream.receive_some())
                        if not data:
                            return
                    self._note(call._replace(body=held[:size]))
                    held = held[size:]
                    action = self.script.pop(0) if self.script else self.otherwise
                    if not await action(stream):
                        return

    def _note(self, call: Call) -> None:
        self.calls.append(call)
        self._changed.set()
        self._changed = trio.Event()


def _call(head: str) -> Call:
    line, *rest = head.split("\r\n")
    headers = {name.lower(): value for name, value in (each.split(": ", 1) for each in rest)}
    return Call(line.split(" ")[1], headers, b"")


@asynccontextmanager
async def receiving(port: int = 0, *, tls: Any = None) -> AsyncIterator[Receiver]:
    """Run a receiver; at the end hang up on everybody."""
    listeners = await trio.open_tcp_listeners(port, host=HOST)
    receiver = Receiver(listeners[0].socket.getsockname()[1])
    async with trio.open_nursery() as nursery:
        if tls is None:
            await nursery.start(trio.serve_listeners, receiver.serve, listeners)
        else:

            async def serve_tls(stream: trio.SocketStream) -> None:
                with suppress(trio.BrokenResourceError):
                    await receiver.serve(trio.SSLStream(stream, tls, server_side=True, https_compatible=True))  # type: ignore[arg-type]

            await nursery.start(trio.serve_listeners, serve_tls, listeners)
        yield receiver
        nursery.cancel_scope.cancel()
