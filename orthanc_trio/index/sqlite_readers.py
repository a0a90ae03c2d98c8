"""Readers: a few threads, each with its own connection, take functions from one queue."""

import sqlite3
from collections.abc import Callable, Sequence
from threading import Thread
from typing import TypeVar

from outcome import capture

from ..calls import CallQueue
from ..model.errors import DatabaseError
from .sqlite_connection import translated
from .sqlite_reading import SqliteView
from .transaction import ReadTransaction

T = TypeVar("T")


class Readers:
    """Runs functions of a ReadTransaction, as many at a time as there are connections.

    The connections are closed at the end. Made inside Trio.
    """

    def __init__(self, connections: Sequence[sqlite3.Connection]) -> None:
        self._queue: CallQueue[ReadTransaction] = CallQueue(DatabaseError("The index is closed"))
        # Daemons: see Writer.
        self._threads = [
            Thread(target=self._serve, args=(connection,), name=f"index-reader-{number}", daemon=True)
            for number, connection in enumerate(connections)
        ]
        for thread in self._threads:
            thread.start()

    async def run(self, function: Callable[[ReadTransaction], T]) -> T:
        """Run `function` on a view that does not change while it runs."""
        return await self._queue.run(function)

    def close(self) -> list[Thread]:
        """Accept nothing more. The threads, which are returned, end when all that waits is done."""
        self._queue.close()
        return self._threads

    def _serve(self, connection: sqlite3.Connection) -> None:
        while calls := self._queue.take(1):
            calls[0].result = capture(apply, connection, calls[0].function)
            self._queue.deliver(calls)
        connection.close()


def apply(connection: sqlite3.Connection, function: Callable[[ReadTransaction], T]) -> T:
    """Run `function` on a view of `connection` that does not change. Raises DatabaseError."""
    try:
        connection.execute("BEGIN")
        try:
            return function(SqliteView(connection))
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
    except sqlite3.Error as exc:
        raise translated(exc) from exc
