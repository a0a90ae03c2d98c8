"""Many websocket subscribers in one process: `python -m bench.subscribers PORT COUNT`.

They only count. A websocket library would take longer over a message than the server that sends it, so the
frames are read here from plain sockets. A line of standard input is answered with a line of JSON; when it
ends, they end.
"""

import os
import selectors
import socket
import sys
import time

import msgspec
from msgspec import Struct

from .failure import require

_RECEIVE_BYTES = 1 << 16
_OPCODE_TEXT, _OPCODE_CLOSE, _OPCODE_PING = 0x1, 0x8, 0x9
_PONG = 0x8A
_LENGTHS = {126: 2, 127: 8}
_HANDSHAKE = (
    "GET /events HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)


class Count(Struct):
    """What has arrived: messages in all, the fewest and the most of one subscriber, when the last came."""

    subscribers: int
    messages: int
    fewest: int
    most: int
    closed: int
    last_at_s: float
    """On the system-wide monotonic clock."""


class Subscriber:
    """One connection: counts complete text messages, answers pings."""

    def __init__(self, port: int) -> None:
        self.messages = 0
        self.is_closed = False
        self.first: bytes | None = None
        self.socket = socket.create_connection(("127.0.0.1", port), 30)
        self.socket.sendall(_HANDSHAKE.format(port=port).encode())
        self._pending = bytearray()
        while (end := self._pending.find(b"\r\n\r\n")) < 0:
            self._fill()
        require(self._pending.startswith(b"HTTP/1.1 101"), f"no websocket: {bytes(self._pending[:80])!r}")
        del self._pending[: end + 4]
        self._take_frames()
        while self.first is None:
            self.receive()

    def receive(self) -> None:
        """Read what is there and count it."""
        self._fill()
        self._take_frames()

    def _fill(self) -> None:
        data = self.socket.recv(_RECEIVE_BYTES)
        self.is_closed = self.is_closed or not data
        require(bool(data) or self.first is not None, "the websocket was closed before its first message")
        self._pending += data

    def _take_frames(self) -> None:
        pending, at = self._pending, 0
        while (bounds := _frame(pending, at)) is not None:
            start, end = bounds
            self._handle(pending[at], pending, start, end)
            at = end
        del pending[:at]

    def _handle(self, first: int, pending: bytearray, start: int, end: int) -> None:
        opcode, is_final = first & 0x0F, first & 0x80
        if opcode in (0, _OPCODE_TEXT):
            self.messages += 1 if is_final else 0
            self.first = self.first or bytes(pending[start:end])
        elif opcode == _OPCODE_PING:  # the mask of a client's frame may be zero
            self.socket.sendall(bytes((_PONG, 0x80 | (end - start))) + bytes(4) + pending[start:end])
        elif opcode == _OPCODE_CLOSE:
            self.is_closed = True


def _frame(pending: bytearray, at: int) -> tuple[int, int] | None:
    """Return where the payload of the frame at `at` begins and ends; None if it is not complete."""
    if len(pending) < at + 2:
        return None
    length = pending[at + 1]
    start = at + 2
    if length in _LENGTHS:
        start += _LENGTHS[length]
        length = int.from_bytes(pending[at + 2 : start], "big")
    return (start, start + length) if len(pending) >= start + length and len(pending) >= start else None


def _count(subscribers: list[Subscriber], last_at_s: float) -> Count:
    messages = [one.messages for one in subscribers]
    closed = sum(one.is_closed for one in subscribers)
    return Count(len(messages), sum(messages), min(messages), max(messages), closed, last_at_s)


def _serve(subscribers: list[Subscriber]) -> None:
    """Count until standard input ends; every line of it asks for a report."""
    selector = selectors.DefaultSelector()
    commands = sys.stdin.fileno()
    selector.register(commands, selectors.EVENT_READ)
    for one in subscribers:
        selector.register(one.socket, selectors.EVENT_READ, one)
    last_at_s = time.monotonic()
    while True:
        for key, _ in selector.select():
            if key.data is None:
                if not os.read(commands, 1024):
                    return
                print(msgspec.json.encode(_count(subscribers, last_at_s)).decode(), flush=True)
                continue
            key.data.receive()
            last_at_s = time.monotonic()
            if key.data.is_closed:
                selector.unregister(key.fileobj)


def main() -> None:
    """Subscribe, report once (the first messages are the snapshots), and serve."""
    port, count = map(int, sys.argv[1:])
    subscribers: list[Subscriber] = []
    try:
        subscribers.extend(Subscriber(port) for _ in range(count))
    except OSError as error:
        sys.exit(f"{len(subscribers)} of {count} subscribers were let in, then: {error}")
    for one in subscribers:
        require(msgspec.json.decode(one.first or b"")["Type"] == "Snapshot", "no snapshot came first")
        one.messages = 0
    print(msgspec.json.encode(_count(subscribers, time.monotonic())).decode(), flush=True)
    _serve(subscribers)


if __name__ == "__main__":
    main()
