"""Bytes of unknown length on their way in: in memory while they are few, else in the storage area."""

import errno
import hashlib
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio
from msgspec import Struct

from ..storage.area import Receiver, Storage, StorageArea
from ..storage.key import new_key

_DISCARD_S = 5.0

Buffer = bytes | bytearray | memoryview


class Received(Struct, frozen=True):
    """A file that lies in the storage area, complete but not committed, and its MD5 in hexadecimal."""

    key: str
    receiver: Receiver
    size: int
    md5: str

    def discard(self) -> None:
        """Leave nothing behind. Does nothing once the file is committed; safe to repeat. Blocks."""
        self.receiver.discard()


Collected = Buffer | Received


class Spool:
    """Collects pieces and keeps at most `memory_bytes` of them in memory. Blocks: for storage threads."""

    def __init__(self, area: StorageArea, memory_bytes: int) -> None:
        self._area = area
        self._memory_bytes = memory_bytes
        self._buffer = bytearray()
        self._digest = hashlib.md5(usedforsecurity=False)
        self._key = ""
        self._receiver: Receiver | None = None
        self.size = 0

    def write(self, data: Buffer) -> None:
        """Append `data`. Raises FullStorage, FileStorageCannotWrite."""
        self.size += len(data)
        if self._receiver is not None:
            self._forward(self._receiver, data)
        else:
            self._buffer += data
            if self.size > self._memory_bytes:
                self._spill()

    def _spill(self) -> None:
        self._key = new_key()
        self._receiver = self._area.receive(self._key)
        self._forward(self._receiver, self._buffer)
        self._buffer = bytearray()

    def _forward(self, receiver: Receiver, data: Buffer) -> None:
        self._digest.update(data)
        receiver.write(data)

    def finish(self) -> Collected:
        """Return what was collected; a `Received` is now the caller's to store or to discard."""
        if self._receiver is None:
            return self._buffer
        return Received(self._key, self._receiver, self.size, self._digest.hexdigest())

    def discard(self) -> None:
        """Leave nothing behind. Does nothing once the file is committed; safe to repeat."""
        if self._receiver is not None:
            self._receiver.discard()


class CollectedFile(io.RawIOBase):
    """Collected bytes as a file that can be read from anywhere. Blocks."""

    def __init__(self, data: Collected) -> None:
        self._data = data
        self._size = size_of(data)
        self._position = 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Return the position in bytes from the start."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a position. Raises OSError before the start."""
        origin = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        if origin + offset < 0:
            raise OSError(errno.EINVAL, "Negative position")  # as a file does
        self._position = origin + offset
        return self._position

    def readinto(self, buffer: "bytearray | memoryview") -> int:  # type: ignore[override]
        """Fill `buffer` and return how many bytes there were."""
        piece = piece_of(self._data, self._position, len(buffer))
        buffer[: len(piece)] = piece
        self._position += len(piece)
        return len(piece)


def size_of(data: Collected) -> int:
    """Return how many bytes were collected."""
    return data.size if isinstance(data, Received) else len(data)


def piece_of(data: Collected, offset: int, size: int) -> Buffer:
    """Return up to `size` bytes from `offset`. Blocks."""
    if isinstance(data, Received):
        return data.receiver.read(offset, size)
    return memoryview(data)[offset : offset + size]


async def discard(storage: Storage, file: Received | Spool) -> None:
    """Remove what a file left in the storage area, unless it is committed. Shielded, for at most 5 s."""
    with trio.CancelScope(shield=True, deadline=trio.current_time() + _DISCARD_S):
        await storage.run(lambda _: file.discard())


@asynccontextmanager
async def owned(storage: Storage, data: Collected) -> AsyncIterator[None]:
    """See to it that on leaving `data` is committed or gone."""
    try:
        yield
    finally:
        if isinstance(data, Received):
            await discard(storage, data)
