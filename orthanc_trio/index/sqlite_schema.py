"""The schema and its numbered migrations, `sql/NNNN_name.sql`.

`PRAGMA user_version` is the number of the last migration that ran. `PRAGMA application_id` tells our files
from those of others that bear the same name.
"""

import sqlite3
from importlib import resources

from ..model.errors import DatabaseError, IncompatibleDatabaseVersion
from .sqlite_connection import translated

APPLICATION_ID = 0x4F747254  # "OtrT"


def migrations() -> dict[int, str]:
    """Return the SQL of each migration by its number, in ascending order."""
    folder = resources.files(__package__) / "sql"
    files = [file for file in folder.iterdir() if file.name.endswith(".sql")]
    found = {int(file.name[:4]): file.read_text("utf-8") for file in files}
    assert len(found) == len(files), "two migrations with the same number"
    return dict(sorted(found.items()))


def migrate(connection: sqlite3.Connection) -> None:
    """Bring the database to the newest schema, each step all or nothing.

    Raises IncompatibleDatabaseVersion for a database of a newer version or of another program.
    """
    try:
        # The lock comes before the look: two processes may open a new index at the same moment.
        connection.execute("BEGIN IMMEDIATE")
        version = _check_version(connection)
        for number, sql in migrations().items():
            if number > version:
                _run_script(connection, sql)
                connection.execute(f"PRAGMA user_version = {number}")
                connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute("COMMIT")
    except sqlite3.Error as exc:
        raise DatabaseError(f"Cannot prepare the index: {translated(exc).details}") from exc


def _check_version(connection: sqlite3.Connection) -> int:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if tables and application != APPLICATION_ID:
        raise IncompatibleDatabaseVersion("The file of the index was written by another program")
    if version > max(migrations()):
        raise IncompatibleDatabaseVersion(f"The index has schema {version}, newer than this version knows")
    return int(version)


def _run_script(connection: sqlite3.Connection, sql: str) -> None:
    # Not `executescript`, which would commit what came before.
    statement = ""
    for line in sql.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            connection.execute(statement)
            statement = ""
