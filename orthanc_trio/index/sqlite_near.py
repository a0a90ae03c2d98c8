"""Reading in the thread of the event loop, for look-ups that cost less than a hop to another thread.

A hop costs 65 to 90 us, a look-up by an index 5 to 30 us. SQLite counts its own steps and gives up beyond the
budget, and it never waits for a lock, so the loop is not held up by what turns out to be more. What is not
bounded is reading pages that nobody has read before, a few for each look-up.
"""

import sqlite3
from collections.abc import Callable
from typing import TypeVar

from outcome import Error, Outcome, capture

from ..model.errors import DatabaseError
from .sqlite_readers import apply
from .transaction import ReadTransaction

T = TypeVar("T")

MAX_STEPS = 4000
"""Steps of SQLite's virtual machine for one statement: about 100 us."""


class NearReader:
    """Runs functions of a ReadTransaction at once, on a connection that only one thread uses."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        connection.execute("PRAGMA busy_timeout = 0")
        connection.set_progress_handler(lambda: 1, MAX_STEPS)

    def run(self, function: Callable[[ReadTransaction], T]) -> Outcome[T] | None:
        """Return the outcome of `function`; None if it takes too long, or the database cannot be read now."""
        result = capture(apply, self._connection, function)
        if isinstance(result, Error) and isinstance(result.error, DatabaseError):
            return None
        return result

    def close(self) -> None:
        """Close the connection; whatever is run later gives None."""
        self._connection.close()
