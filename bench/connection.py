"""One HTTP/1.1 connection on a blocking socket: only what a load client needs, so that it stays cheap.

Keep-alive, no pipelining. Bodies by Content-Length, in chunks, or until the connection closes.
"""

import socket
import time
from types import TracebackType
from typing import Any, Self

import msgspec
from msgspec import Struct

from .failure import BenchError, require

_RECEIVE_BYTES = 1 << 18
_MAX_HEAD_BYTES = 1 << 16
_CHUNKS_END = b"0\r\n\r\n"

_Body = bytearray
_Times = tuple[float, float]


class Answer(Struct, frozen=True):
    """One response; the times are those from sending the request to the first and last byte of the body."""

    status: int
    headers: dict[bytes, bytes]
    body: bytearray
    first_byte_s: float
    last_byte_s: float


class Connection:
    """A keep-alive connection to 127.0.0.1, opened at the first request and again after a close."""

    def __init__(self, port: int, timeout_s: float = 120) -> None:
        self._port = port
        self._timeout_s = timeout_s
        self._socket: socket.socket | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the socket. Safe to repeat."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def request(self, head: bytes, body: bytes = b"") -> Answer:
        """Send a prepared request (see `request_head`) and return the whole answer.

        Raises OSError and BenchError; the connection must then not be used again.
        """
        stream = self._socket or self._open()
        started = time.perf_counter()
        _send(stream, head, body)
        status, headers, rest = _receive_head(stream)
        payload, (first_at, last_at) = _receive_body(stream, headers, rest)
        if headers.get(b"connection", b"").lower() == b"close":
            self.close()
        return Answer(status, headers, payload, first_at - started, last_at - started)

    def get(self, path: str) -> bytearray:
        """Return the body of a GET. Raises BenchError unless the status is 200."""
        return _checked(path, self.request(request_head("GET", path)))

    def discard(self, path: str) -> tuple[int, float]:
        """GET `path`, throw the body away as it comes; return its length and the seconds until its last byte.

        Raises BenchError unless the status is 200 with a Content-Length.
        """
        stream = self._socket or self._open()
        started = time.perf_counter()
        _send(stream, request_head("GET", path), b"")
        status, headers, rest = _receive_head(stream)
        require(status == 200 and b"content-length" in headers, f"{path} answered {status}, {headers}")
        length = int(headers[b"content-length"])
        left, scratch = length - len(rest), bytearray(_RECEIVE_BYTES)
        while left:
            count = stream.recv_into(scratch, min(left, _RECEIVE_BYTES))
            require(count > 0, f"the server closed the connection {left} bytes before the end of {path}")
            left -= count
        return length, time.perf_counter() - started

    def get_json(self, path: str) -> Any:
        """Return the decoded JSON of a GET. Raises BenchError unless the status is 200."""
        return msgspec.json.decode(self.get(path))

    def post_json(self, path: str, value: Any) -> Any:
        """POST `value` and return the decoded JSON answer. Raises BenchError unless the status is 200."""
        body = msgspec.json.encode(value)
        return msgspec.json.decode(_checked(path, self.request(request_head("POST", path, len(body)), body)))

    def post(self, path: str, value: Any) -> None:
        """POST `value`. Raises BenchError unless the status is 200."""
        body = msgspec.json.encode(value)
        _checked(path, self.request(request_head("POST", path, len(body)), body))

    def _open(self) -> socket.socket:
        self._socket = socket.create_connection(("127.0.0.1", self._port), self._timeout_s)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self._socket


def request_head(method: str, path: str, length: int | None = None) -> bytes:
    """Return the head of a request; `length` in bytes of the body that follows, if any."""
    size = "" if length is None else f"Content-Length: {length}\r\n"
    return f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{size}\r\n".encode()


def _checked(path: str, answer: Answer) -> bytearray:
    if answer.status != 200:
        raise BenchError(f"{path} answered {answer.status}: {bytes(answer.body[:300])!r}")
    return answer.body


def _send(stream: socket.socket, head: bytes, body: bytes) -> None:
    sent = stream.sendmsg((head, body)) if body else stream.send(head)
    if sent < len(head):
        stream.sendall(head[sent:])
        sent = len(head)
    if sent < len(head) + len(body):
        stream.sendall(memoryview(body)[sent - len(head) :])


def _receive(stream: socket.socket) -> bytes:
    data = stream.recv(_RECEIVE_BYTES)
    if not data:
        raise BenchError("the server closed the connection in the middle of an answer")
    return data


def _receive_head(stream: socket.socket) -> tuple[int, dict[bytes, bytes], bytes]:
    data = b""
    while (end := data.find(b"\r\n\r\n")) < 0:
        if len(data) > _MAX_HEAD_BYTES:
            raise BenchError("the head of the answer is too long")
        data += _receive(stream)
    lines = data[:end].split(b"\r\n")
    headers = dict(_header(line) for line in lines[1:])
    return int(lines[0].split(b" ", 2)[1]), headers, data[end + 4 :]


def _header(line: bytes) -> tuple[bytes, bytes]:
    name, _, value = line.partition(b":")
    return name.lower(), value.strip()


def _receive_body(stream: socket.socket, headers: dict[bytes, bytes], rest: bytes) -> tuple[_Body, _Times]:
    """Return the body, and when its first and its last byte came."""
    if b"content-length" in headers:
        return _receive_sized(stream, rest, int(headers[b"content-length"]))
    is_chunked = headers.get(b"transfer-encoding", b"").lower() == b"chunked"
    pieces, times = _receive_pieces(stream, rest, _CHUNKS_END if is_chunked else None)
    return (_dechunked if is_chunked else bytearray)(b"".join(pieces)), times


def _receive_sized(stream: socket.socket, rest: bytes, length: int) -> tuple[_Body, _Times]:
    if length == len(rest):
        return bytearray(rest), (now := time.perf_counter(), now)
    rest = rest or _receive(stream)
    first_byte_at = time.perf_counter()
    body = bytearray(length)
    body[: len(rest)] = rest
    view, got = memoryview(body), len(rest)
    while got < length:
        count = stream.recv_into(view[got : got + _RECEIVE_BYTES])
        if not count:
            raise BenchError(f"the server closed the connection after {got} of {length} bytes")
        got += count
    return body, (first_byte_at, time.perf_counter())


def _receive_pieces(stream: socket.socket, rest: bytes, end: bytes | None) -> tuple[list[bytes], _Times]:
    """Receive until the stream ends with `end`, or until it closes. Joining is left for after the clock."""
    pieces = [rest or stream.recv(_RECEIVE_BYTES)]
    first_byte_at, tail = time.perf_counter(), pieces[0][-16:]
    while not (end and tail.endswith(end)):
        data = stream.recv(_RECEIVE_BYTES)
        if not data:
            require(end is None, "the server closed the connection before the last chunk")
            break
        pieces.append(data)
        tail = (tail + data[-16:])[-16:]
    return pieces, (first_byte_at, time.perf_counter())


def _dechunked(raw: bytes) -> bytearray:
    body, at = bytearray(), 0
    while True:
        end = raw.index(b"\r\n", at)
        size = int(raw[at:end].split(b";")[0], 16)
        if not size:
            return body
        body += memoryview(raw)[end + 2 : end + 2 + size]
        at = end + 4 + size
