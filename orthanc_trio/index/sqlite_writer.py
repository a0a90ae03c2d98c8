"""Group commit: whoever has its turn on the connection that writes runs all functions that wait.

Each runs in its own savepoint; they are committed once, then all callers get their results. A lone function
is committed at once. Tasks hand their functions to the thread of the writer. A thread that is not that of the
event loop runs its own in place, together with those that wait: that saves two wake-ups of threads.
"""

import sqlite3
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from threading import Lock, Thread
from typing import Any, Generic, Protocol, TypeVar

from outcome import Error, Outcome, capture

from ..calls import CallQueue
from ..model.errors import DatabaseError, OrthancError
from .sqlite_connection import translated
from .sqlite_writing import SqliteTransaction
from .transaction import Transaction

T = TypeVar("T")

_CLOSED = "The index is closed"
MAX_GROUP = 64
"""The most functions of tasks that share a commit."""


class _Waiting(Protocol):
    """A function that waits for its turn, and the place of its result."""

    function: Callable[[Transaction], Any]
    result: Outcome[Any]


Group = Sequence[_Waiting]


class _ThreadCall(Generic[T]):
    """The function of a thread that waits."""

    __slots__ = ("function", "is_done", "result")

    def __init__(self, function: Callable[[Transaction], T]) -> None:
        self.function = function
        self.result: Outcome[T]
        self.is_done = False


class Writer:
    """Runs functions of a Transaction on `connection`, which it closes at its end. Made inside Trio."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._queue: CallQueue[Transaction] = CallQueue(DatabaseError(_CLOSED))
        self._turn = Lock()
        self._thread_calls: deque[_ThreadCall[Any]] = deque()
        self._is_closed = False
        # A daemon, as Trio's own threads: an event loop that crashed must not leave a process that hangs.
        self._thread = Thread(target=self._serve, name="index-writer", daemon=True)
        self._thread.start()

    async def run(self, function: Callable[[Transaction], T]) -> T:
        """Run `function` and return its result when the commit is done.

        Raises what `function` raises, and DatabaseError or FullStorage if the commit fails.
        """
        return await self._queue.run(function)

    def run_here(self, function: Callable[[Transaction], T]) -> T:
        """Do the same in the calling thread, which it blocks."""
        call = _ThreadCall(function)
        self._thread_calls.append(call)
        with self._turn:
            if self._is_closed:
                raise DatabaseError(_CLOSED)
            if not call.is_done:
                self._commit_with(())
        return call.result.unwrap()

    def close(self) -> list[Thread]:
        """Accept nothing more. The thread, which is returned, ends when all that waits is done."""
        self._queue.close()
        return [self._thread]

    def _serve(self) -> None:
        while group := self._queue.take(MAX_GROUP):
            with self._turn:
                self._commit_with(group)
            self._queue.deliver(group)
        with self._turn:
            self._is_closed = True
            self._connection.close()

    def _commit_with(self, group: Group) -> None:
        """Commit `group` together with what other threads wait for."""
        waiting = self._thread_calls
        calls = [waiting.popleft() for _ in range(len(waiting))]
        self._commit([*group, *calls])
        for call in calls:
            call.is_done = True

    def _commit(self, group: Group) -> None:
        """Set the result of each call of the group. Either all of them are durable or all have failed."""
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            for call in group:
                run = self._run_in_savepoint if len(group) > 1 else self._run_alone
                call.result = run(call.function)
                if not self._connection.in_transaction:
                    self._fail(group, _cause(call.result))
                    return
            self._connection.execute("COMMIT" if len(group) > 1 or _succeeded(group[0]) else "ROLLBACK")
        except sqlite3.Error as exc:
            self._fail(group, translated(exc))

    def _run_alone(self, function: Callable[[Transaction], T]) -> Outcome[T]:
        return capture(self._apply, function)

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


def _succeeded(call: _Waiting) -> bool:
    return not isinstance(call.result, Error)


def _cause(result: Outcome[Any]) -> OrthancError:
    if isinstance(result, Error) and isinstance(result.error, OrthancError):
        return result.error
    return DatabaseError("SQLite gave up the transaction")
