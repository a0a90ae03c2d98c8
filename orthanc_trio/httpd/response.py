"""The head of an answer as bytes, and how its body is framed. Source: RFC 9112 §4 and §6."""

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


FAILURE = Start(500, ((b"Connection", b"close"),))
"""Of an application that could not make an answer."""


class Opening(Struct, frozen=True, gc=False):
    """The head of an answer as it leaves, and what it says of the rest."""

    data: bytes
    framing: Framing
    length: int
    """Of the body, where the framing is LENGTH."""
    must_close: bool
    """Whether the connection ends after the answer."""


@lru_cache(_MOST_REMEMBERED)
def open_answer(
    start: Start, method: str, keep_alive_lines: bytes | None, *, is_http_11: bool, size: int | None
) -> Opening:
    """Write the head of the answer to a request; `size` is that of its body, None if that is not known.

    Without `keep_alive_lines` the head says that the connection ends. Raises ValueError for a header with a
    line break, which would let its maker forge an answer.
    """
    kept, length, must_close = _sorted_out(start.headers)
    framing = Framing.LENGTH
    if method == "HEAD" or start.status < 200 or start.status in (204, 304):
        framing = Framing.NONE
    elif length is None and size is not None:
        kept, length = [*kept, (b"Content-Length", b"%d" % size)], size
    elif length is None:
        framing = Framing.CHUNKED if is_http_11 else Framing.CLOSE
    if must_close or framing is Framing.CLOSE:
        keep_alive_lines = None
    data = _encoded(start.status, kept, framing, keep_alive_lines)
    return Opening(data, framing, length or 0, keep_alive_lines is None)


def _sorted_out(headers: Headers) -> tuple[list[tuple[bytes, bytes]], int | None, bool]:
    """Return the headers that do not belong to the connection, the length, and whether to close."""
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
    return kept, length, must_close


def is_close(header: tuple[bytes, bytes]) -> bool:
    """Return whether a header ends the connection."""
    return header[0].lower() == b"connection" and header[1].lower() == b"close"


def connection_lines(options: HttpOptions) -> bytes:
    """Return the headers that offer to keep a connection."""
    if not options.keep_alive:
        return _CLOSE
    return b"Connection: keep-alive\r\nKeep-Alive: timeout=%d\r\n" % options.keep_alive_timeout_s


def _encoded(
    status: int, headers: list[tuple[bytes, bytes]], framing: Framing, keep_alive_lines: bytes | None
) -> bytes:
    lines = [b"%b: %b\r\n" % header for header in headers]
    block = b"".join(lines)
    if block.count(b"\n") != len(lines) or block.count(b"\r") != len(lines) or b"\0" in block:
        raise ValueError("a header of an answer holds a line break")
    if framing is Framing.CHUNKED:
        block += b"Transfer-Encoding: chunked\r\n"
    return b"%b%b%b\r\n" % (status_line(status), keep_alive_lines or _CLOSE, block)


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
