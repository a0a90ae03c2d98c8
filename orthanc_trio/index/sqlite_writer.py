"""Group commit: one thread owns the connection that writes.

It takes whatever waits, runs each function in its own savepoint, commits once, and then wakes all callers.
A lone function is committed at once.
"""

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import suppress
from threading import Thread
from typing import Any, TypeVar

from outcome import Error, Outcome, capture

from ..model.errors import DatabaseError, OrthancError
from .sqlite_calls import Call, CallQueue
from .sqlite_connection import translated
from .sqlite_writing import SqliteTransaction
from .transaction import Transaction

T = TypeVar("T")
Group = Sequence[Call[Transaction, Any]]

MAX_GROUP = 64
"""The most functions that share a commit."""


class Writer:
    """Runs functions of a Transaction on `connection`, which it closes at its end. Made inside Trio."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._queue: CallQueue[Transaction] = CallQueue()
        # A daemon, as Trio's own threads: an event loop that crashed must not leave a process that hangs.
        self._thread = Thread(target=self._serve, name="index-writer", daemon=True)
        self._thread.start()

    async def run(self, function: Callable[[Transaction], T]) -> T:
        """Run `function` and return its result when the commit is done.

        Raises what `function` raises, and DatabaseError or FullStorage if the commit fails.
        """
        return await self._queue.run(function)

    def close(self) -> list[Thread]:
        """Accept nothing more. The thread, which is returned, ends when all that waits is done."""
        self._queue.close(1)
        return [self._thread]

    def _serve(self) -> None:
        while group := self._queue.take(MAX_GROUP):
            self._commit(group)
            self._queue.deliver(group)
        self._connection.close()

    def _commit(self, group: Group) -> None:
        """Set the result of each call of the group. Either all of them are durable or all have failed."""
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            for call in group:
                call.result = self._run_in_savepoint(call.function)
                if not self._connection.in_transaction:
                    self._fail(group, _cause(call.result))
                    return
            self._connection.execute("COMMIT")
        except sqlite3.Error as exc:
            self._fail(group, translated(exc))

    def _run_in_savepoint(self, function: Callable[[Transaction], T]) -> Outcome[T]:
        self._connection.execute("SAVEPOINT one")
        result = capture(self._apply, function)
        # A full disk makes SQLite roll back everything by itself, savepoints included.
        if self._connection.in_transaction:
            if isinstance(result, Error):
                self._connection.execute("ROLLBACK TO one")
            self._connection.execute("RELEASE one")
        return result

    def _apply(self, function: Callable[[Transaction], T]) -> T:
        transaction = SqliteTransaction(self._connection)
        result = function(transaction)
        transaction.finish()
        return result

    def _fail(self, group: Group, error: OrthancError) -> None:
        if self._connection.in_transaction:
            # If even this fails, BEGIN fails next time, and then it is tried again.
            with suppress(sqlite3.Error):
                self._connection.execute("ROLLBACK")
        for call in group:
            call.result = Error(type(error)(error.details))


def _cause(result: Outcome[Any]) -> OrthancError:
    if isinstance(result, Error) and isinstance(result.error, OrthancError):
        return result.error
    return DatabaseError("SQLite gave up the transaction")
