"""The head of an answer as bytes, and how its body is framed. Source: RFC 9112 §4 and §6."""

from collections.abc import Iterable
from enum import Enum, auto
from functools import lru_cache
from http import HTTPStatus

from msgspec import Struct

from .options import HttpOptions

Headers = tuple[tuple[bytes, bytes], ...]

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
LAST_CHUNK = b"0\r\n\r\n"
_STATUS_LINES = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus
}
_OWN_HEADERS = frozenset({b"connection", b"keep-alive", b"transfer-encoding"})
_CLOSE = b"Connection: close\r\n"
_MOST_REMEMBERED = 256
"""Heads of answers: who polls gets the same one again and again."""


class Framing(Enum):
    """How the end of a body is told."""

    NONE = auto()
    """There is no body, whatever the headers say."""
    LENGTH = auto()
    CHUNKED = auto()
    CLOSE = auto()
    """By the end of the connection: HTTP/1.0."""


class Start(Struct, frozen=True, gc=False):
    """What the application decided about an answer before its body."""

    status: int
    headers: Headers = ()
    length: int | None = None
    must_close: bool = False


def read_start(status: int, headers: Iterable[tuple[bytes, bytes]]) -> Start:
    """Sort out the headers that belong to the connection."""
    return _read_start(status, tuple(headers))


@lru_cache(_MOST_REMEMBERED)
def _read_start(status: int, headers: Headers) -> Start:
    kept = []
    length, must_close = None, False
    for header in headers:
        name = header[0].lower()
        if name not in _OWN_HEADERS:
            kept.append(header)
            if name == b"content-length":
                length = int(header[1])
        elif name == b"connection":
            must_close = is_close(header)
    return Start(status, tuple(kept), length, must_close)


def is_close(header: tuple[bytes, bytes]) -> bool:
    """Return whether a header ends the connection."""
    return header[0].lower() == b"connection" and header[1].lower() == b"close"


def connection_lines(options: HttpOptions) -> bytes:
    """Return the headers that offer to keep a connection."""
    if not options.keep_alive:
        return _CLOSE
    return b"Connection: keep-alive\r\nKeep-Alive: timeout=%d\r\n" % options.keep_alive_timeout_s


@lru_cache(_MOST_REMEMBERED)
def encode_head(start: Start, framing: Framing, keep_alive_lines: bytes | None) -> bytes:
    """Write the head of an answer; without `keep_alive_lines` it says that the connection ends.

    Raises ValueError for a header with a line break, which would let its maker forge an answer.
    """
    lines = [b"%b: %b\r\n" % header for header in start.headers]
    block = b"".join(lines)
    if block.count(b"\n") != len(lines) or block.count(b"\r") != len(lines) or b"\0" in block:
        raise ValueError("a header of an answer holds a line break")
    if framing is Framing.CHUNKED:
        block += b"Transfer-Encoding: chunked\r\n"
    return b"%b%b%b\r\n" % (status_line(start.status), keep_alive_lines or _CLOSE, block)


def status_line(status: int) -> bytes:
    """Return the first line of an answer."""
    return _STATUS_LINES.get(status) or b"HTTP/1.1 %d Unknown\r\n" % status


def refusal(status: int) -> bytes:
    """Return the whole answer to a request that cannot be understood; the connection ends after it."""
    line = status_line(status)
    if status == HTTPStatus.LENGTH_REQUIRED:
        return line + _CLOSE + b"Content-Length: 0\r\n\r\n"
    body = b"Error " + line[9:-2].replace(b" ", b": ", 1) + b"\n"
    head = b"Content-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\n\r\n" % len(body)
    return line + _CLOSE + head + body
