"""Changing the SQLite index: one SqliteTransaction serves one function, inside its savepoint."""

import sqlite3
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from itertools import chain
from typing import Any

import msgspec

from ..model.event import Change, ChangeType
from ..model.resource import Attachment, ResourceLevel, ResourceRef, Statistics
from .sqlite_connection import LEVELS, as_json
from .sqlite_keys import enter_keys, remove_keys, replace_keys
from .sqlite_reading import EPOCH, MICROSECOND, TREE, SqliteReadTransaction
from .transaction import Deletion, Row

_METADATA_AT_ONCE = 24

_FILES_OF = """
    SELECT a.uuid, a.size, a.uncompressed_size
    FROM json_each(?) AS gone CROSS JOIN attachments AS a ON a.row = gone.value
    ORDER BY gone.key, a.type"""
_TABLES_OF_RESOURCES = ("metadata", "attachments", "labels", "changes", "recycling", "resources")

# Most instances come one after the other for the same patient, whose turn is then the last already.
_RENEW = """
    INSERT OR REPLACE INTO recycling (row) SELECT row FROM resources
    WHERE row = ?1 AND NOT is_protected
    AND row IS NOT (SELECT row FROM recycling ORDER BY turn DESC LIMIT 1)"""


@cache
def _set_metadata(count: int) -> str:
    # One statement for many rows: each statement gives the interpreter lock away and takes it back.
    return (
        f"INSERT INTO metadata (row, type, value) VALUES {', '.join(['(?, ?, ?)'] * count)}"
        " ON CONFLICT DO UPDATE SET value = excluded.value"
    )


class SqliteTransaction(SqliteReadTransaction):
    """A Transaction on the connection of the writer. Its user calls `finish` before the commit."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        super().__init__(connection)
        self._refs: dict[int, ResourceRef] = {}
        self._totals = [0, 0, 0, 0, 0, 0]  # not yet in the table: by level, then the two sizes

    def finish(self) -> None:
        """Write what the transaction has only noted."""
        if any(self._totals):
            self._sql.run(
                "UPDATE statistics SET patients = patients + ?, studies = studies + ?, series = series + ?,"
                " instances = instances + ?, disk_size = disk_size + ?,"
                " uncompressed_size = uncompressed_size + ?",
                self._totals,
            )
            self._totals = [0, 0, 0, 0, 0, 0]

    def statistics(self) -> Statistics:
        """Return the totals, with what this transaction did."""
        self.finish()
        return super().statistics()

    def find(self, id: str) -> Row | None:
        """Return the row of an Orthanc identifier, whatever its level."""
        found = super().find(id)
        if found is not None:
            self._refs[found.row] = ResourceRef(found.level, id)
        return found

    def create(
        self,
        level: ResourceLevel,
        id: str,
        parent_row: int | None,
        tags: Mapping[str, str],
        patient_tags: Mapping[str, str] | None = None,
    ) -> int:
        """Insert a resource and return its row."""
        row = self._sql.run(
            "INSERT INTO resources (level, id, parent, tags, patient_tags) VALUES (?, ?, ?, ?, ?)",
            (
                int(level),
                id,
                parent_row,
                msgspec.json.encode(tags),
                None if patient_tags is None else msgspec.json.encode(patient_tags),
            ),
        )
        for statement in enter_keys(level, row, tags, patient_tags):
            self._sql.run(*statement)
        self._totals[level - 1] += 1
        self._refs[row] = ResourceRef(level, id)
        return row

    def set_metadata(self, row: int, values: Mapping[int, str]) -> None:
        """Set or replace metadata."""
        self.set_metadata_of({row: values})

    def set_metadata_of(self, values: Mapping[int, Mapping[int, str]]) -> None:
        """Set or replace metadata of several rows."""
        items = [(row, int(type), value) for row, each in values.items() for type, value in each.items()]
        for start in range(0, len(items), _METADATA_AT_ONCE):
            part = items[start : start + _METADATA_AT_ONCE]
            self._sql.run(_set_metadata(len(part)), list(chain.from_iterable(part)))

    def revise_metadata(self, row: int, type: int, value: str) -> int:
        """Set or replace one metadata and return its new revision."""
        (revision,) = self._sql.column(
            "INSERT INTO metadata (row, type, value) VALUES (?, ?, ?)"
            " ON CONFLICT DO UPDATE SET value = excluded.value, revision = revision + 1 RETURNING revision",
            (row, type, value),
        )
        return int(revision)

    def remove_metadata(self, row: int, type: int) -> None:
        """Remove one metadata, if it is there."""
        self._sql.run("DELETE FROM metadata WHERE row = ? AND type = ?", (row, type))

    def add_label(self, row: int, label: str) -> None:
        """Give a resource a label."""
        self._sql.run("INSERT OR IGNORE INTO labels (row, label) VALUES (?, ?)", (row, label))

    def remove_label(self, row: int, label: str) -> None:
        """Take a label off a resource."""
        self._sql.run("DELETE FROM labels WHERE row = ? AND label = ?", (row, label))

    def set_tags(
        self, row: int, tags: Mapping[str, str], patient_tags: Mapping[str, str] | None = None
    ) -> None:
        """Replace the main DICOM tags of a resource."""
        copied = None if patient_tags is None else msgspec.json.encode(patient_tags)
        self._sql.run(
            "UPDATE resources SET tags = ?, patient_tags = ? WHERE row = ?",
            (msgspec.json.encode(tags), copied, row),
        )
        found = self._sql.one("SELECT level FROM resources WHERE row = ?", (row,))
        if found is not None:
            for statement in replace_keys(LEVELS[found[0]], row, tags, patient_tags):
                self._sql.run(*statement)

    def set_protected(self, row: int, is_protected: bool) -> None:
        """Protect a patient from recycling, or no longer."""
        self._sql.run("UPDATE resources SET is_protected = ? WHERE row = ?", (int(is_protected), row))
        self._sql.run("DELETE FROM recycling WHERE row = ?", (row,))
        self.renew(row)

    def renew(self, row: int) -> None:
        """Make a patient the last to be recycled, unless it is protected."""
        self._sql.run(_RENEW, (row,))

    def attach(self, row: int, attachment: Attachment) -> None:
        """Add an attachment. Raises DatabaseError if the row has one of the type."""
        self._sql.run(
            "INSERT INTO attachments VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                row,
                int(attachment.type),
                attachment.uuid,
                attachment.size,
                attachment.uncompressed_size,
                int(attachment.compression),
                attachment.md5,
                attachment.uncompressed_md5,
                attachment.crc32,
                attachment.revision,
            ),
        )
        self._totals[4] += attachment.size
        self._totals[5] += attachment.uncompressed_size

    def detach(self, row: int, type: int) -> None:
        """Remove an attachment, if it is there, and queue its file."""
        found = self._sql.all(
            "DELETE FROM attachments WHERE row = ? AND type = ? RETURNING uuid, size, uncompressed_size",
            (row, type),
        )
        self._queue(found)

    def delete(self, id: str) -> Deletion | None:
        """Remove a resource with its descendants and the ancestors left empty."""
        found = self.find(id)
        if found is None:
            return None
        tree = self._sql.all(f"{TREE} SELECT row, level, id FROM tree ORDER BY level DESC, id", (found.row,))
        ancestors = self._chain(found)
        while ancestors and not self._has_other_child(ancestors[0], tree[-1][0]):
            tree.append(ancestors.pop(0))
        files = self._forget([row for row, _, _ in tree])
        for _, level, _ in tree:
            self._totals[level - 1] -= 1
        return Deletion(
            removed=tuple(_ref(resource) for resource in tree),
            files=files,
            remaining_ancestor=_ref(ancestors[0]) if ancestors else None,
            surviving_rows=tuple(row for row, _, _ in ancestors),
        )

    def _chain(self, resource: Row) -> list[Any]:
        """Return (row, level, id) of the ancestors, from the bottom up."""
        ancestors: list[Any] = []
        parent = resource.parent_row
        while parent is not None:
            row, level, id, parent = self._sql.one(
                "SELECT row, level, id, parent FROM resources WHERE row = ?", (parent,)
            )
            ancestors.append((row, level, id))
        return ancestors

    def _has_other_child(self, parent: Any, child_row: int) -> bool:
        sql = "SELECT 1 FROM resources WHERE parent = ? AND row <> ? LIMIT 1"
        return self._sql.one(sql, (parent[0], child_row)) is not None

    def _forget(self, rows: Sequence[int]) -> tuple[str, ...]:
        """Drop all that belongs to `rows`, queue their files, and return the keys of these."""
        gone = (as_json(rows),)
        files = self._sql.all(_FILES_OF, gone)
        for statement in remove_keys(*gone):
            self._sql.run(*statement)
        for table in _TABLES_OF_RESOURCES:
            self._sql.run(f"DELETE FROM {table} WHERE row IN (SELECT value FROM json_each(?))", gone)
        return self._queue(files)

    def _queue(self, files: Sequence[Any]) -> tuple[str, ...]:
        """Queue files that no row bears any more, (uuid, size, uncompressed size), and return their keys."""
        keys = tuple(uuid for uuid, _, _ in files)
        self._sql.run(
            "INSERT OR IGNORE INTO forgotten_files (uuid) SELECT value FROM json_each(?) ORDER BY key",
            (as_json(keys),),
        )
        self._totals[4] -= sum(size for _, size, _ in files)
        self._totals[5] -= sum(size for _, _, size in files)
        return keys

    def log_change(self, type: ChangeType, row: int, date: datetime) -> Change:
        """Append to the log of changes."""
        ref = self._refs.get(row) or self._ref_of(row)
        seq = self._sql.run(
            "INSERT INTO changes (type, row, date) VALUES (?, ?, ?)",
            (int(type), row, (date - EPOCH) // MICROSECOND),
        )
        return Change(seq=seq, type=type, level=ref.level, id=ref.id, date=date)

    def _ref_of(self, row: int) -> ResourceRef:
        found = self._sql.one("SELECT row, level, id FROM resources WHERE row = ?", (row,))
        assert found is not None, "a change of a resource that does not exist"
        return self._refs.setdefault(row, _ref(found))

    def clear_changes(self) -> None:
        """Empty the log; the numbering goes on."""
        self._sql.run("DELETE FROM changes")

    def files_deleted(self, keys: Sequence[str]) -> None:
        """Take keys off the queue of `forgotten_files`."""
        self._sql.run(
            "DELETE FROM forgotten_files WHERE uuid IN (SELECT value FROM json_each(?))", (as_json(keys),)
        )

    def save_jobs(self, records: Mapping[str, bytes], removed: Sequence[str] = ()) -> None:
        """Insert or replace job records; drop `removed` with their plans."""
        for id, record in records.items():
            self._sql.run(
                "INSERT INTO jobs (id, record) VALUES (?, ?)"
                " ON CONFLICT DO UPDATE SET record = excluded.record",
                (id, record),
            )
        for id in removed:
            self._sql.run("DELETE FROM jobs WHERE id = ?", (id,))
            self.save_plan(id, None)

    def save_plan(self, job_id: str, plan: bytes | None) -> None:
        """Save or drop the plan of a job."""
        if plan is None:
            self._sql.run("DELETE FROM plans WHERE job_id = ?", (job_id,))
        else:
            self._sql.run(
                "INSERT INTO plans (job_id, plan) VALUES (?, ?)"
                " ON CONFLICT DO UPDATE SET plan = excluded.plan",
                (job_id, plan),
            )

    def save_output(self, file: str, data: bytes | None) -> None:
        """Save or drop a small file that a job leaves."""
        if data is None:
            self._sql.run("DELETE FROM outputs WHERE file = ?", (file,))
        else:
            self._sql.run("INSERT OR REPLACE INTO outputs (file, data) VALUES (?, ?)", (file, data))

    def note_output_use(self, file: str, used_s: float) -> None:
        """Set when a saved output was used last."""
        self._sql.run("UPDATE outputs SET used_s = ? WHERE file = ?", (used_s, file))

    def set_property(self, name: str, value: str) -> None:
        """Set a property of the whole index."""
        self._sql.run(
            "INSERT INTO properties (name, value) VALUES (?, ?)"
            " ON CONFLICT DO UPDATE SET value = excluded.value",
            (name, value),
        )


def _ref(resource: Any) -> ResourceRef:
    _, level, id = resource
    return ResourceRef(LEVELS[level], id)
