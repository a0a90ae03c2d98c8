"""The index in a SQLite database: one thread that writes, a few that read."""

import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar

import trio
from outcome import Outcome

from ..model.errors import DatabaseError, OrthancError
from .index import Index
from .sqlite_connection import allocate_log, open_reader, open_writer
from .sqlite_near import NearReader
from .sqlite_readers import Readers
from .sqlite_schema import migrate
from .sqlite_writer import Writer
from .transaction import ReadTransaction, Transaction

T = TypeVar("T")

CLOSE_TIMEOUT_S = 60.0
"""The longest time that closing waits for functions that are under way."""


@asynccontextmanager
async def open_sqlite_index(folder: Path, *, is_synchronous: bool, readers: int = 4) -> AsyncIterator[Index]:
    """Open the index in the file `index` of `folder`, and make or migrate it first if needed.

    `is_synchronous`: each commit survives a loss of power. At most `readers` functions read at a time.
    Closes when all functions that were given to it are done.
    Raises IncompatibleDatabaseVersion, or DatabaseError with the reason.
    """
    limiter = trio.CapacityLimiter(1)
    connect = partial(_connect, folder, is_synchronous=is_synchronous, readers=readers)
    writing, near, *reading = await trio.to_thread.run_sync(connect, limiter=limiter)
    index = SqliteIndex(Writer(writing), Readers(reading), NearReader(near))
    try:
        yield index
    finally:
        await index.close()


def _connect(folder: Path, *, is_synchronous: bool, readers: int) -> list[sqlite3.Connection]:
    """Return the connections: that of the writer, the near one, and those of the readers."""
    opened = [open_writer(folder, is_synchronous=is_synchronous)]
    try:
        migrate(opened[0])
        if is_synchronous:
            allocate_log(opened[0], folder)
        opened.append(open_reader(folder))
        opened.extend(open_reader(folder) for _ in range(readers))
    except OrthancError:
        for connection in opened:
            connection.close()
        raise
    return opened


class SqliteIndex:
    """An Index on a SQLite database."""

    def __init__(self, writer: Writer, readers: Readers, near: NearReader) -> None:
        self._writer = writer
        self._near = near
        self._readers = readers

    async def read(self, function: Callable[[ReadTransaction], T], *, is_quick: bool = False) -> T:
        """Run `function` on a consistent view. Raises DatabaseError if the index is closed."""
        if is_quick:
            await trio.lowlevel.checkpoint_if_cancelled()
            result = self._near.run(function)
            if result is not None:
                return result.unwrap()
        return await self._readers.run(function)

    def read_at_once(self, function: Callable[[ReadTransaction], T]) -> Outcome[T] | None:
        """Run `function` in the thread of the event loop. See `Index.read_at_once`."""
        return self._near.run(function)

    async def write(self, function: Callable[[Transaction], T]) -> T:
        """Run `function` and return its result when it is committed. See `Index.write`."""
        return await self._writer.run(function)

    def write_here(self, function: Callable[[Transaction], T]) -> T:
        """Run `function` in the calling thread. See `Index.write_here`."""
        return self._writer.run_here(function)

    async def close(self) -> None:
        """Finish all that is under way, then close. The log of the database is merged into its file."""
        limiter = trio.CapacityLimiter(1)
        with trio.CancelScope(shield=True, deadline=trio.current_time() + CLOSE_TIMEOUT_S) as scope:
            self._near.close()
            # The writer last: the last connection to close merges the write-ahead log into the database.
            for part in (self._readers, self._writer):
                for thread in part.close():
                    await trio.to_thread.run_sync(thread.join, limiter=limiter, abandon_on_cancel=True)
        if scope.cancelled_caught:
            raise DatabaseError("The index did not close in time")
