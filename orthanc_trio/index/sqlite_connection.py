"""Connections to the SQLite database, and the border where its errors become ours.

Every statement of the index goes through `Statements`, so no `sqlite3.Error` ever leaves these modules.
"""

import json
import os
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from ..allocation import allocate
from ..model.errors import DatabaseError, FullStorage, OrthancError
from ..model.resource import ResourceLevel
from .sqlite_keys import FUNCTIONS

T = TypeVar("T")

DATABASE_NAME = "index"
BUSY_TIMEOUT_S = 5.0
"""How long to wait for another process that holds the lock of the database."""

_CACHED_STATEMENTS = 256
_encode = msgspec.json.Encoder().encode
_MIB = 1 << 20
# Pages of 4 KiB. A checkpoint stalls one commit, so it should be rare; the log should stay in the cache.
_CHECKPOINT_PAGES = 4000
_LOG_BYTES = 32 + _CHECKPOINT_PAGES * (24 + 4096)
"""As large as the log gets before a checkpoint. Source: SQLite, "WAL-mode File Format"."""


LEVELS = {int(level): level for level in ResourceLevel}
"""The levels by number: a look-up is quicker than a call of the enumeration."""


def as_json(values: Iterable[object]) -> str:
    """Return a list as the argument of `json_each(?)`. Any text will do."""
    values = list(values)
    try:
        return _encode(values).decode()
    except UnicodeEncodeError:  # half of a surrogate pair, which only ASCII can tell of
        return json.dumps(values)


def translated(error: sqlite3.Error) -> OrthancError:
    """Return the error of ours that says what `error` says."""
    if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
        return FullStorage("The disk of the index is full")
    return DatabaseError(f"SQLite: {error}")


def open_writer(folder: Path, *, is_synchronous: bool) -> sqlite3.Connection:
    """Return the connection that writes, creating the folder and the file if needed.

    With `is_synchronous` each commit survives a loss of power; without, only the last ones can be lost.
    Raises DatabaseError.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise DatabaseError(f"Cannot create the folder of the index, {folder}: {_reason(exc)}") from exc
    return _open(
        folder,
        f"PRAGMA synchronous = {'FULL' if is_synchronous else 'NORMAL'}",
        f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}",
        f"PRAGMA journal_size_limit = {64 * _MIB}",
        f"PRAGMA cache_size = {-16 * 1024}",  # four times as much did not make it faster
    )


def allocate_log(writer: sqlite3.Connection, folder: Path) -> None:
    """Give the write-ahead log its room on the disk, as zeros, which SQLite takes for no frames.

    On a small or full disk nothing is done. Raises DatabaseError.
    """
    log = folder / f"{DATABASE_NAME}-wal"
    statements = Statements(writer)
    statements.run("BEGIN IMMEDIATE")  # so that nobody else makes it longer meanwhile
    try:
        with suppress(OSError), open(log, "r+b") as file:
            allocate(file.fileno(), _LOG_BYTES)
    finally:
        statements.run("ROLLBACK")


def open_reader(folder: Path) -> sqlite3.Connection:
    """Return a connection that cannot write. Raises DatabaseError."""
    return _open(folder, "PRAGMA query_only = ON", f"PRAGMA cache_size = {-16 * 1024}")


def _open(folder: Path, *settings: str) -> sqlite3.Connection:
    connection = None
    try:
        connection = sqlite3.connect(
            folder / DATABASE_NAME,
            timeout=BUSY_TIMEOUT_S,
            isolation_level=None,  # transactions begin and end where we say so
            check_same_thread=False,
            cached_statements=_CACHED_STATEMENTS,
        )
        (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
        if mode != "wal":
            raise DatabaseError(f"Cannot open the index in {folder}: no write-ahead log possible there")
        for setting in (f"PRAGMA mmap_size = {256 * _MIB}", "PRAGMA temp_store = MEMORY", *settings):
            connection.execute(setting)
        for name, (count, function) in FUNCTIONS.items():
            connection.create_function(name, count, function, deterministic=True)
    except (sqlite3.Error, DatabaseError) as exc:
        if connection is not None:
            connection.close()
        if isinstance(exc, DatabaseError):
            raise
        raise DatabaseError(f"Cannot open the index in {folder}: {exc}") from exc
    return connection


def _reason(error: OSError) -> str:
    return os.strerror(error.errno) if error.errno else str(error)


class Statements:
    """Runs statements of one connection. Raises DatabaseError or FullStorage, nothing of SQLite's own."""

    __slots__ = ("_execute",)

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._execute = connection.execute

    def run(self, sql: str, arguments: Sequence[Any] = ()) -> int:
        """Run a statement that changes something; return the row that it inserted, if it is an INSERT."""
        try:
            return self._execute(sql, arguments).lastrowid or 0
        except sqlite3.Error as exc:
            raise translated(exc) from exc

    def one(self, sql: str, arguments: Sequence[Any] = ()) -> Any:
        """Return the first row of the answer as a tuple, or None."""
        try:
            return self._execute(sql, arguments).fetchone()
        except sqlite3.Error as exc:
            raise translated(exc) from exc

    def all(self, sql: str, arguments: Sequence[Any] = ()) -> list[Any]:
        """Return all rows of the answer as tuples."""
        try:
            return self._execute(sql, arguments).fetchall()
        except sqlite3.Error as exc:
            raise translated(exc) from exc

    def each(self, sql: str, function: Callable[[Any], T]) -> list[T]:
        """Return what `function` makes of the first column of each row; only one row is held at a time."""
        try:
            return [function(value) for (value,) in self._execute(sql)]
        except sqlite3.Error as exc:
            raise translated(exc) from exc

    def column(self, sql: str, arguments: Sequence[Any] = ()) -> list[Any]:
        """Return the first column of the answer."""
        return [row[0] for row in self.all(sql, arguments)]
