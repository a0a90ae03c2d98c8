"""Where a body ends: sans-I/O readers of the two framings. Source: RFC 9112 §6 and §7.

`take` is given what the socket gave, and returns the part that belongs to the body and the part that follows.
"""

import re
from enum import Enum, auto

_MAX_LINE = 4096
_MAX_TRAILERS = 16 * 1024
_SIZE = re.compile(rb"([0-9a-fA-F]{1,15})[ \t]*(?:;[^\r\n]*)?")


class BadBody(Exception):
    """A body whose framing is broken: nothing after it can be understood."""


class LengthBody:
    """A body of a known length."""

    __slots__ = ("is_complete", "remaining")

    def __init__(self, length: int) -> None:
        self.remaining = length
        self.is_complete = length == 0
        """Whether all was taken."""

    def taken(self, size: int) -> None:
        """Note that `size` bytes of the body were read by other means than `take`."""
        self.remaining -= size
        self.is_complete = self.remaining == 0

    def take(self, data: bytes) -> tuple[bytes, bytes]:
        """Split `data` into what belongs to the body and what follows."""
        end = self.remaining
        self.remaining = max(end - len(data), 0)
        self.is_complete = self.remaining == 0
        return data[:end], data[end:]


class _Next(Enum):
    SIZE = auto()
    LINE_END = auto()
    TRAILER = auto()


class ChunkedBody:
    """A body in chunks. Extensions and trailers are read and forgotten."""

    __slots__ = ("_chunk", "_held", "_next", "_trailers", "is_complete")

    def __init__(self) -> None:
        self._next = _Next.SIZE
        self._chunk = 0
        self._held = b""
        self._trailers = 0
        self.is_complete = False
        """Whether the last chunk and the trailers were taken."""

    @property
    def remaining(self) -> int:
        """The bytes that follow for certain; how many there are in all is not known."""
        return self._chunk

    def take(self, data: bytes) -> tuple[bytes, bytes]:
        """Split `data` into what it holds of the body and what follows. Raises BadBody."""
        data, self._held = self._held + data, b""
        pieces: list[bytes] = []
        position = 0
        while position < len(data) and not self.is_complete:
            if self._chunk:
                piece = data[position : position + self._chunk]
                pieces.append(piece)
                self._chunk -= len(piece)
                position += len(piece)
                continue
            end = data.find(b"\r\n", position)
            if end < 0:
                self._hold(data[position:])
                position = len(data)
            else:
                self._read_line(data[position:end])
                position = end + 2
        return b"".join(pieces), data[position:]

    def _hold(self, line: bytes) -> None:
        if len(line) > _MAX_LINE or (self._next is _Next.LINE_END and line != b"\r"):
            raise BadBody
        self._held = line

    def _read_line(self, line: bytes) -> None:
        if self._next is _Next.SIZE:
            self._read_size(line)
        elif self._next is _Next.LINE_END:
            if line:
                raise BadBody
            self._next = _Next.SIZE
        elif line:
            self._trailers += len(line)
            if b"\n" in line or b"\r" in line or self._trailers > _MAX_TRAILERS:
                raise BadBody
        else:
            self.is_complete = True

    def _read_size(self, line: bytes) -> None:
        match = _SIZE.fullmatch(line)
        if match is None or len(line) > _MAX_LINE:
            raise BadBody
        self._chunk = int(match[1], 16)
        self._next = _Next.LINE_END if self._chunk else _Next.TRAILER


Body = LengthBody | ChunkedBody
