"""Reading from SQLite. Lists go into statements as one JSON text, so the number of queries is bounded."""

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import msgspec

from ..model.event import Change, ChangeType
from ..model.resource import (
    Attachment,
    Facts,
    LeafInstance,
    ResourceLevel,
    ResourceRef,
    SeriesPath,
    Statistics,
)
from .query import FindRequest, Key
from .sqlite_below import load_counts_below, load_values_below
from .sqlite_connection import LEVELS, Statements, as_json
from .sqlite_facts import attachment, load_attachments, load_facts, load_tags
from .sqlite_find import Select
from .sqlite_leaves import load_leaves, load_numbered, load_placed, load_series_paths
from .sqlite_totals import load_totals, statistics
from .transaction import ChangesPage, MainTags, MetadataItem, PlacedInstance, Row

T = TypeVar("T")

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)

_MAX_INTEGER = (1 << 63) - 1
_CHANGE_TYPES = {int(type): type for type in ChangeType}

# The resource of a row and all that is below it. Counting the levels keeps the search inside one index.
TREE = """
    WITH RECURSIVE tree (row, level, id) AS (
        SELECT row, level, id FROM resources WHERE row = ?
        UNION ALL
        SELECT child.row, tree.level + 1, child.id
        FROM tree JOIN resources AS child ON child.parent = tree.row
    )"""

# One row, since each row makes its reader take the interpreter lock again.
_IDS = """
    SELECT json_group_array(id)
    FROM (SELECT id FROM resources WHERE level = ? ORDER BY id LIMIT ? OFFSET ?)"""

_ANCESTORS = """
    WITH RECURSIVE chain (level, id, parent) AS (
        SELECT level, id, parent FROM resources WHERE row = ?
        UNION ALL
        SELECT up.level, up.id, up.parent FROM chain JOIN resources AS up ON up.row = chain.parent
    )
    SELECT level, id FROM chain ORDER BY level DESC"""

# From each label to the next greater one, so that a label borne by all resources costs as much as any other.
_LABELS_IN_USE = """
    WITH RECURSIVE chain (label) AS (
        SELECT min(label) FROM labels
        UNION ALL
        SELECT (SELECT min(label) FROM labels WHERE label > chain.label) FROM chain WHERE label IS NOT NULL
    )
    SELECT label FROM chain WHERE label IS NOT NULL"""

_OLDEST_PATIENT = """
    SELECT r.id FROM recycling CROSS JOIN resources AS r ON r.row = recycling.row
    WHERE r.id IS NOT ? ORDER BY recycling.turn LIMIT 1"""

_CHANGES = """
    SELECT c.seq, c.type, r.level, r.id, c.date
    FROM changes AS c CROSS JOIN resources AS r ON r.row = c.row
    WHERE c.seq > ? AND c.seq <= ? {types}
    ORDER BY c.seq {direction} LIMIT ?"""
_OF_TYPES = "AND c.type IN (SELECT value FROM json_each(?))"


_decode_ids = msgspec.json.Decoder(list[str]).decode

_MAX_ROWS = 1000
"""So many look-ups of a view are kept."""


class SqliteReadTransaction:
    """A ReadTransaction on one connection that is in a transaction. Each row as in `transaction.py`."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._sql = Statements(connection)

    def find(self, id: str) -> Row | None:
        """Return the row of an Orthanc identifier, whatever its level."""
        try:
            found = self._sql.one("SELECT row, level, parent FROM resources WHERE id = ?", (id,))
        except UnicodeEncodeError:  # half of a surrogate pair, which no identifier holds
            return None
        return Row(found[0], LEVELS[found[1]], found[2]) if found else None

    def find_all(self, ids: Sequence[str]) -> dict[str, Row]:
        """Return the rows of those of `ids` that exist."""
        places = ", ".join("?" * len(ids))
        found = self._sql.all(f"SELECT row, level, parent, id FROM resources WHERE id IN ({places})", ids)
        return {id: Row(row, LEVELS[level], parent) for row, level, parent, id in found}

    def ids(self, level: ResourceLevel, since: int = 0, limit: int | None = None) -> list[str]:
        """Return identifiers of a level, ascending."""
        (found,) = self._sql.one(_IDS, (int(level), _bounded(limit), _bounded(since)))
        return _decode_ids(found)

    def search(self, request: FindRequest) -> list[str]:
        """Return the identifiers of the resources that meet a request."""
        select = Select(request)
        (found,) = self._sql.one(*select.ids(request.since, request.limit))
        ids = _decode_ids(found)
        if select.has_few:
            end = None if request.limit is None else request.since + request.limit
            return sorted(ids)[request.since : end]
        return ids

    def count(self, request: FindRequest) -> int:
        """Return how many resources meet a request, on all pages."""
        (found,) = self._sql.one(*Select(request).count())
        return int(found)

    def values_below(self, ids: Sequence[str], level: ResourceLevel, key: Key) -> dict[str, list[str]]:
        """Return the values that the descendants of resources have at a level, by id."""
        return load_values_below(self._sql, ids, level, key)

    def counts_below(self, ids: Sequence[str], level: ResourceLevel) -> dict[str, int]:
        """Return how many descendants resources have at a level, by id."""
        return load_counts_below(self._sql, ids, level)

    def attachments_of(self, ids: Sequence[str]) -> dict[str, list[Attachment]]:
        """Return the attachments of many resources by id."""
        return load_attachments(self._sql, ids)

    def facts(self, id: str, level: ResourceLevel | None = None) -> Facts | None:
        """Return all about one resource."""
        found = load_facts(self._sql, [id])
        return found[0] if found and level in (None, found[0].level) else None

    def facts_of(self, ids: Sequence[str]) -> list[Facts]:
        """Return the facts of many resources, with a fixed number of queries."""
        return load_facts(self._sql, ids)

    def tags_of(self, ids: Sequence[str]) -> dict[str, MainTags]:
        """Return the tags of many resources, by id."""
        return load_tags(self._sql, ids)

    def descendants(self, id: str, level: ResourceLevel) -> list[str]:
        """Return the identifiers of the descendants at a lower level, ascending."""
        found = self.find(id)
        if found is None or found.level >= level:
            return []
        sql = f"{TREE} SELECT id FROM tree WHERE level = ? ORDER BY id"
        return self._sql.column(sql, (found.row, int(level)))

    def ancestors(self, id: str) -> list[ResourceRef]:
        """Return the chain of parents, from the bottom up."""
        found = self.find(id)
        if found is None or found.parent_row is None:
            return []
        chain = self._sql.all(_ANCESTORS, (found.parent_row,))
        return [ResourceRef(LEVELS[level], id) for level, id in chain]

    def series_paths(self, id: str) -> list[SeriesPath]:
        """Return the series at or below a resource, or the one that an instance belongs to."""
        found = self.find(id)
        return [] if found is None else load_series_paths(self._sql, found.row, found.level)

    def numbered(self, series: str) -> list[tuple[str, str | None]]:
        """Return the instances of a series with their InstanceNumber, by identifier."""
        return load_numbered(self._sql, series)

    def leaves(self, ids: Sequence[str]) -> list[LeafInstance]:
        """Return those of the instances that have a DICOM file, in one query."""
        return load_leaves(self._sql, ids)

    def placed(self, id: str) -> PlacedInstance | None:
        """Return all that an archive of one instance needs, in one query."""
        try:
            return load_placed(self._sql, id)
        except UnicodeEncodeError:  # as in `find`
            return None

    def metadata_item(self, row: int, type: int) -> MetadataItem | None:
        """Return one metadata of a resource."""
        found = self._sql.one("SELECT value, revision FROM metadata WHERE row = ? AND type = ?", (row, type))
        return None if found is None else MetadataItem(*found)

    def oldest_patient(self, spared: str | None = None) -> str | None:
        """Return the unprotected patient whose last instance came first."""
        found = self._sql.one(_OLDEST_PATIENT, (spared,))
        return found[0] if found else None

    def labels_in_use(self) -> list[str]:
        """Return each label that some resource bears, ascending."""
        return self._sql.column(_LABELS_IN_USE)

    def attachments(self, row: int) -> list[Attachment]:
        """Return the attachments of a resource, by number."""
        found = self._sql.all(
            "SELECT type, uuid, size, uncompressed_size, compression, md5, uncompressed_md5, crc32,"
            " revision FROM attachments WHERE row = ? ORDER BY type",
            (row,),
        )
        return [attachment(columns) for columns in found]

    def statistics(self) -> Statistics:
        """Return the totals, which are kept and not counted."""
        return statistics(
            self._sql.one(
                "SELECT patients, studies, series, instances, disk_size, uncompressed_size FROM statistics"
            )
        )

    def statistics_of(self, id: str, attachment_type: int | None = None) -> Statistics | None:
        """Return counts and sizes of a resource with all its descendants."""
        found = self.find(id)
        return None if found is None else load_totals(self._sql, found.row, found.level, attachment_type)

    def changes(
        self,
        *,
        since: int = 0,
        to: int | None = None,
        types: Iterable[ChangeType] = (),
        limit: int,
        from_end: bool = False,
    ) -> ChangesPage:
        """Return a page of the log of changes."""
        wanted = [int(type) for type in types]
        sql = _CHANGES.format(types=_OF_TYPES if wanted else "", direction="DESC" if from_end else "ASC")
        arguments = [_bounded(since), _MAX_INTEGER if to is None else _bounded(to)]
        # One more than asked for, to know whether there is more.
        found = self._sql.all(
            sql, (*arguments, *([as_json(wanted)] if wanted else []), min(limit, _MAX_INTEGER - 1) + 1)
        )
        page = found[:limit]
        return ChangesPage(
            changes=tuple(_change(row) for row in (reversed(page) if from_end else page)),
            is_done=len(found) <= limit,
            last_seq=self._last_seq(),
        )

    def _last_seq(self) -> int:
        found = self._sql.one("SELECT seq FROM sqlite_sequence WHERE name = 'changes'")
        return found[0] if found else 0

    def forgotten_files(self, limit: int) -> list[str]:
        """Return keys of files that still have to be deleted, oldest first."""
        return self._sql.column(
            "SELECT uuid FROM forgotten_files ORDER BY number LIMIT ?", (_bounded(limit),)
        )

    def known_files(self, keys: Sequence[str]) -> set[str]:
        """Return those of `keys` that an attachment bears."""
        return set(
            self._sql.column(
                "SELECT uuid FROM json_each(?) AS wanted CROSS JOIN attachments ON uuid = wanted.value",
                (as_json(keys),),
            )
        )

    def load_jobs(self, read: Callable[[bytes], T]) -> list[T]:
        """Return what `read` makes of each saved job record."""
        return self._sql.each("SELECT record FROM jobs", read)

    def load_plan(self, job_id: str) -> bytes | None:
        """Return the saved plan of a job."""
        found = self._sql.one("SELECT plan FROM plans WHERE job_id = ?", (job_id,))
        return found[0] if found else None

    def load_output(self, file: str) -> bytes | None:
        """Return a saved output of a job."""
        found = self._sql.one("SELECT data FROM outputs WHERE file = ?", (file,))
        return found[0] if found else None

    def output_uses(self) -> dict[str, float | None]:
        """Return when each saved output was used last."""
        return dict(self._sql.all("SELECT file, used_s FROM outputs"))

    def get_property(self, name: str) -> str | None:
        """Return a property of the whole index."""
        found = self._sql.one("SELECT value FROM properties WHERE name = ?", (name,))
        return found[0] if found else None


class SqliteView(SqliteReadTransaction):
    """A ReadTransaction in which nothing changes: a resource is looked up once."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        super().__init__(connection)
        self._rows: dict[str, Row | None] = {}

    def find(self, id: str) -> Row | None:
        """Return the row of an Orthanc identifier, whatever its level."""
        if id not in self._rows:
            if len(self._rows) == _MAX_ROWS:
                self._rows.clear()
            self._rows[id] = super().find(id)
        return self._rows[id]


def _bounded(number: int | None) -> int:
    # Numbers come from URLs, and SQLite has 64 bits. LIMIT -1 is no limit.
    return -1 if number is None else min(number, _MAX_INTEGER)


def _change(columns: Sequence[Any]) -> Change:
    seq, type, level, id, date = columns
    return Change(
        seq=seq,
        type=_CHANGE_TYPES[type],
        level=LEVELS[level],
        id=id,
        date=EPOCH + timedelta(microseconds=date),
    )
