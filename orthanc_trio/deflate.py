"""Raw deflate streams (RFC 1951): the form in which files are stored compressed.

With its CRC-32 and its size at hand such a stream is a member of a ZIP as it is, and the body of a gzip file
(RFC 1952) between ten bytes in front and eight behind. No file, no thread.
"""

from collections.abc import Callable
from struct import Struct as Layout

from isal import igzip_lib, isal_zlib

Buffer = bytes | bytearray | memoryview

# The level of archives, see `zipfmt`.
_LEVEL = 2
_STEP = 256 << 10
_GZIP_HEADER = b"\x1f\x8b\x08\0\0\0\0\0\0\xff"
_GZIP_TRAILER = Layout("<2L")
_MAX_32 = 0xFFFFFFFF


class BrokenStream(Exception):
    """A stream that is none, or ends early."""


def deflate(data: Buffer) -> bytes:
    """Return the stream of `data`. Releases the GIL."""
    return isal_zlib.compress(data, _LEVEL, -isal_zlib.MAX_WBITS)


def crc32(data: Buffer) -> int:
    """Return the CRC-32 of `data`. Releases the GIL."""
    return isal_zlib.crc32(data)


class Deflater:
    """Makes the stream of what comes in pieces; `crc` and `size` are those of the input until now."""

    def __init__(self) -> None:
        self._deflater = isal_zlib.compressobj(_LEVEL, isal_zlib.DEFLATED, -isal_zlib.MAX_WBITS)
        self.crc = 0
        self.size = 0

    def add(self, data: Buffer) -> bytes:
        """Take the next piece of the input; return what of the stream is ready."""
        self.crc = isal_zlib.crc32(data, self.crc)
        self.size += len(data)
        return self._deflater.compress(data)

    def end(self) -> bytes:
        """Return the rest of the stream."""
        return self._deflater.flush()


class Inflater:
    """Reads a stream from its beginning to its end, and holds no more of it than its window.

    `read(offset, size)` returns bytes of the stream, fewer only at its end.
    """

    def __init__(self, read: Callable[[int, int], bytes]) -> None:
        self._read = read
        self._offset = 0
        self._inflater = igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_DEFLATE)

    def next(self, size: int) -> bytes:
        """Return the next bytes, fewer than `size` only at the end. Raises BrokenStream."""
        pieces: list[bytes] = []
        while size > 0 and not self._inflater.eof:
            piece = self._inflate(size)
            size -= len(piece)
            pieces.append(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _inflate(self, size: int) -> bytes:
        data = b""
        if self._inflater.needs_input:
            data = self._read(self._offset, _STEP)
            if not data:
                raise BrokenStream("the stream ends early")
            self._offset += len(data)
        try:
            return self._inflater.decompress(data, size)
        except igzip_lib.error as exc:  # type: ignore[misc]  # its stub calls the class an instance
            raise BrokenStream("the stream is none") from exc


def gzip_frame(crc: int, size: int) -> tuple[bytes, bytes]:
    """Return what makes the stream of `size` bytes a gzip file: in front of it, and behind it."""
    return _GZIP_HEADER, _GZIP_TRAILER.pack(crc, size & _MAX_32)
