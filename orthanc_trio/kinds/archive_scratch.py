"""Room for what a thread reads, used again for each file.

To get fresh memory from the system for every file costs a tenth of the time in which it is packed.
"""

import os
import threading

from ..model.errors import InternalError
from .archive_member import Readable

_MOST_BYTES = 2 << 20
"""So much does each thread keep at most."""


class _Room(threading.local):
    def __init__(self) -> None:
        self._bytes = bytearray()

    def of(self, size: int) -> memoryview:
        if len(self._bytes) < size:
            self._bytes = bytearray(size)
        return memoryview(self._bytes)[:size]


_room = _Room()


def read_briefly(blob: Readable, offset: int = 0, size: int | None = None) -> bytes | memoryview:
    """Return up to `size` bytes from `offset`, which last until the same thread reads here again. Blocks.

    Raises InexistentFile, InternalError.
    """
    place = blob.descriptor()
    if place is None:
        return blob.read(offset, size)
    descriptor, first = place
    try:
        there = max(0, os.fstat(descriptor).st_size - first - offset)
        wanted = there if size is None else min(size, there)
        if wanted > _MOST_BYTES:
            return blob.read(offset, size)
        room = _room.of(wanted)
        return room[: os.preadv(descriptor, [room], first + offset)]
    except OSError as exc:
        raise InternalError(f"Error while accessing the filesystem: {exc.strerror}") from exc
    finally:
        os.close(descriptor)
