"""The index in memory: a real backend that forgets everything when it is closed."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from threading import Lock
from typing import TypeVar

import trio
from outcome import Outcome, capture

from ..model.errors import DatabaseError
from .index import Index
from .memory_reading import MemoryReadTransaction
from .memory_state import MemoryState
from .memory_writing import MemoryTransaction
from .transaction import ReadTransaction, Transaction

T = TypeVar("T")


@asynccontextmanager
async def open_memory_index() -> AsyncIterator[Index]:
    """Open an empty index that lives as long as the context."""
    index = MemoryIndex()
    try:
        yield index
    finally:
        index.close()


class MemoryIndex:
    """An Index in this process. Functions run where they are called, one at a time."""

    def __init__(self) -> None:
        self._turn = Lock()
        self._state: MemoryState | None = MemoryState()

    async def read(
        self,
        function: Callable[[ReadTransaction], T],
        *,
        is_quick: bool = False,  # noqa: ARG002  # nothing is slow here
    ) -> T:
        """Run `function`. Raises DatabaseError if the index is closed."""
        await trio.lowlevel.checkpoint()
        return self._read(function)

    def read_at_once(self, function: Callable[[ReadTransaction], T]) -> Outcome[T]:
        """Run `function`."""
        return capture(self._read, function)

    def _read(self, function: Callable[[ReadTransaction], T]) -> T:
        with self._turn:
            return function(MemoryReadTransaction(self._opened()))

    async def write(self, function: Callable[[Transaction], T]) -> T:
        """Run `function`; if it raises, take back what it did. A cancel comes before it or not at all."""
        await trio.lowlevel.checkpoint()
        return self.write_here(function)

    def write_here(self, function: Callable[[Transaction], T]) -> T:
        """Do the same without a checkpoint, in any thread."""
        with self._turn:
            state = self._opened()
            with state.all_or_nothing():
                return function(MemoryTransaction(state))

    def close(self) -> None:
        """Forget everything."""
        self._state = None

    def _opened(self) -> MemoryState:
        if self._state is None:
            raise DatabaseError("The index is closed")
        return self._state
