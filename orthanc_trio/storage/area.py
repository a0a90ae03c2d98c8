"""Where bytes live: the seam that every storage backend implements.

A StorageArea is blocking and is used only inside `Storage.run`, which is one hop to a storage thread; a
caller does all that belongs together (parse, hash, write) in that one hop.

Storing has two phases, so that a crash can never leave a file that no row of the index knows:
`create` (or `receive`) leaves a durable, readable, *unsettled* file; when the row is committed the file is
`settle`d. After a crash `unsettled()` lists the candidates, and whoever owns the index settles or deletes
each.
"""

from collections.abc import Callable, Iterable
from typing import Protocol, TypeVar

import trio

T = TypeVar("T")


class Blob(Protocol):
    """The bytes behind one key. Raises InexistentFile on use if the key was deleted."""

    size: int

    def read(self, offset: int = 0, size: int | None = None) -> bytes:
        """Return up to `size` bytes from `offset` (all that follows by default). Blocks."""
        ...

    def descriptor(self) -> tuple[int, int] | None:
        """Open the local file that holds the bytes: (file descriptor, offset of the first byte), or None.

        The caller closes the descriptor; it stays readable even if the key is deleted meanwhile. Blocks.
        """
        ...


class Receiver(Protocol):
    """A file that is being received in pieces, for bodies too large for memory. Blocks."""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Append `data`. Raises FileStorageCannotWrite."""
        ...

    def read(self, offset: int, size: int) -> bytes:
        """Return bytes that were written already."""
        ...

    def descriptor(self) -> int | None:
        """Return the descriptor of the local file while it is open (owned by the receiver), or None."""
        ...

    def commit(self) -> int:
        """Make the file durable under its key, unsettled, and return its size."""
        ...

    def discard(self) -> None:
        """Forget the file. Does nothing after `commit`; safe to repeat."""
        ...


class StorageArea(Protocol):
    """Files by key. Keys are UUIDs in lower case that the caller makes; a key is written once."""

    def create(self, key: str, data: bytes | bytearray | memoryview) -> None:
        """Write a whole file, durably if the area synchronises, unsettled.

        Leaves nothing behind on failure. Raises FullStorage (disk full) or FileStorageCannotWrite.
        """
        ...

    def receive(self, key: str) -> Receiver:
        """Begin a file whose bytes come in pieces."""
        ...

    def settle(self, keys: Iterable[str]) -> None:
        """Mark files as known to the index. Safe to repeat; unknown keys are passed over."""
        ...

    def unsettled(self) -> list[str]:
        """Return the keys of the files that are not settled, also those of an earlier process."""
        ...

    def open(self, key: str, size: int) -> Blob:
        """Return the blob of a key, settled or not. `size` is what the index says. Reads nothing yet."""
        ...

    def delete(self, key: str) -> None:
        """Remove a file, settled or not. A key that does not exist is passed over."""
        ...


class Storage:
    """The asynchronous face of a StorageArea: runs functions of it on storage threads."""

    def __init__(self, area: StorageArea, *, threads: int) -> None:
        self._area = area
        self.limiter = trio.CapacityLimiter(threads)

    async def run(self, function: Callable[[StorageArea], T]) -> T:
        """Run `function` of the area in a storage thread and return its result.

        Not abandoned on cancel: a write that began always ends, one way or the other.
        """
        return await trio.to_thread.run_sync(function, self._area, limiter=self.limiter)
