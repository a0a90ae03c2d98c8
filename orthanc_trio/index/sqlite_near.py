"""Reading in the thread of the event loop, for look-ups that cost less than a hop to another thread.

A hop costs 65 to 90 us, a look-up by an index 5 to 30 us. SQLite counts its own steps and gives up beyond the
budget, and it never waits for a lock, so the loop is not held up by what turns out to be more. What is not
bounded is reading pages that nobody has read before, a few for each look-up.
"""

import sqlite3
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from outcome import Error, Outcome, capture

from ..model.errors import DatabaseError
from .sqlite_readers import apply
from .transaction import ReadTransaction

T = TypeVar("T")

MAX_STEPS = 4000
"""Steps of SQLite's virtual machine for one function: about 100 us."""
_PERIOD = 500  # steps between two looks at what is left


class NearReader:
    """Runs functions of a ReadTransaction at once, on a connection that only one thread uses."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._left = 0
        connection.execute("PRAGMA busy_timeout = 0")
        connection.set_progress_handler(self._is_too_much, _PERIOD)

    def run(self, function: Callable[[ReadTransaction], T]) -> Outcome[T] | None:
        """Return the outcome of `function`; None if it takes too long, or the database cannot be read now."""
        self._left = MAX_STEPS // _PERIOD
        result = capture(apply, self._connection, function)
        if isinstance(result, Error) and isinstance(result.error, DatabaseError):
            self._end()
            return None
        return result

    def _is_too_much(self) -> bool:
        # SQLite counts the steps of a statement over all its runs, so the first look may come at once.
        self._left -= 1
        return self._left < 0

    def _end(self) -> None:
        """End a transaction whose end was too much as well."""
        self._left = MAX_STEPS
        with suppress(sqlite3.Error):
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")

    def close(self) -> None:
        """Close the connection; whatever is run later gives None."""
        self._connection.close()
