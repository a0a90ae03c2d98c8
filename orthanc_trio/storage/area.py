"""Where bytes live: the seam that every storage backend implements.

A StorageArea is blocking and is used only inside `Storage.run`, which is one hop to a storage thread; a
caller does all that belongs together (parse, hash, write, enter into the index) in that one hop.

Storing has two phases, so that a crash can never leave a file that no row of the index knows:
`create` (or `receive`) leaves a durable, readable, *unsettled* file; when the row is committed the file is
`settle`d. After a crash `unsettled()` lists the candidates, and whoever owns the index settles or deletes
each.
"""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Thread
from typing import Protocol, TypeVar

import trio
from outcome import capture

from ..calls import CallQueue
from ..model.errors import InternalError

T = TypeVar("T")

_CLOSE_S = 10.0


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

    def copy(self, blob: Blob, offset: int) -> None:
        """Append what `blob` holds from `offset` on; the kernel copies where both are local files.

        Raises InexistentFile, CorruptedFile for the blob, FullStorage, FileStorageCannotWrite.
        """
        ...

    def descriptor(self) -> int | None:
        """Return the descriptor of the local file while it is open (owned by the receiver), or None."""
        ...

    def commit(self) -> int:
        """Make the file durable under its key, unsettled, and return its size. Safe to repeat."""
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

    def commit_all(self, receivers: Sequence[Receiver]) -> None:
        """Do `commit` of several receivers of this area: the disk is waited for once. Raises as `commit`.

        After an error some of them may be committed; those that are not can be discarded.
        """
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

    def read_near(self, key: str, size: int) -> bytes | None:
        """Return a small file of `size` bytes, settled or not, if it is in memory: no disk is waited for.

        None if it is not, if that cannot be told here, or if there is no such file: `open` tells which.
        """
        ...

    def delete(self, key: str) -> None:
        """Remove a file, settled or not. A key that does not exist is passed over."""
        ...


class Storage:
    """The asynchronous face of a StorageArea: runs functions of it on storage threads. Made inside Trio.

    At most `threads` functions run at a time, and as many of `run_long`.
    """

    def __init__(self, area: StorageArea, *, threads: int) -> None:
        self._area = area
        self._queue: CallQueue[StorageArea] = CallQueue(InternalError("The storage area is closed"))
        self._threads: list[Thread] = []
        self._most_threads = threads
        self._at_work = 0
        self._long = trio.CapacityLimiter(threads)
        self._beside = ThreadPoolExecutor(threads, thread_name_prefix="storage-beside")

    async def run(self, function: Callable[[StorageArea], T]) -> T:
        """Run `function` of the area in a storage thread and return its result.

        Not abandoned on cancel: a write that began always ends, one way or the other. Raises InternalError
        when the storage is closed.
        """
        self._at_work += 1
        try:
            if self._at_work > len(self._threads) < self._most_threads:
                self._start_thread()
            return await self._queue.run(function)
        finally:
            self._at_work -= 1

    @property
    def idle_threads(self) -> int:
        """How many more calls of `run` would not have to wait."""
        return max(0, self._most_threads - self._at_work)

    @property
    def idle_long_threads(self) -> int:
        """How many more calls of `run_long` would not have to wait."""
        return int(self._long.available_tokens)

    def run_here(self, function: Callable[[StorageArea], T]) -> T:
        """Run `function` in the calling thread; in the event loop only what uses nothing but `read_near`."""
        return function(self._area)

    async def run_long(self, function: Callable[[StorageArea], T]) -> T:
        """Do the same with a function that may take long, and may ask `trio.from_thread.check_cancelled`."""
        return await trio.to_thread.run_sync(function, self._area, limiter=self._long)

    def begin(self, function: Callable[[], T]) -> Future[T]:
        """Start a computation in a thread beside the storage threads; these may wait for its result.

        It must be short, since closing waits for it.
        """
        return self._beside.submit(function)

    async def close(self) -> None:
        """Finish what is under way, for at most 10 s, and accept nothing more."""
        limiter = trio.CapacityLimiter(1)
        self._beside.shutdown(wait=False)
        self._queue.close()
        with trio.CancelScope(shield=True, deadline=trio.current_time() + _CLOSE_S):
            for thread in self._threads:
                await trio.to_thread.run_sync(thread.join, limiter=limiter, abandon_on_cancel=True)

    def _start_thread(self) -> None:
        # A daemon, as Trio's own threads: an event loop that crashed must not leave a process that hangs.
        number = len(self._threads)
        thread = Thread(target=self._serve, name=f"storage-{number}", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _serve(self) -> None:
        while calls := self._queue.take(1):
            calls[0].result = capture(calls[0].function, self._area)
            self._queue.deliver(calls)
