"""The tables of what is searched most, one per level: main tags in columns, in capital letters, with indexes.

Beside two of them are the trigrams of some columns, for searches by what is within a text. The tables and
`KEYS` must agree: `sql/0003_search.sql` and `sql/0004_texts.sql` make and fill them for what was there.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence

from msgspec import Struct

from ..dicom.match import fits, fold
from ..model.resource import ResourceLevel
from .query import as_float, as_integer

PATIENT_COLUMNS = {
    "0010,0020": "patient_id",
    "0010,0010": "patient_name",
    "0010,0030": "patient_birth_date",
}


class TextTable(Struct, frozen=True):
    """The table of trigrams of some columns of a table of keys."""

    name: str
    columns: tuple[str, ...]

    def add(self, keys: str) -> str:
        """Return the statement that adds the trigrams of a row that is in the table `keys`."""
        columns = ", ".join(self.columns)
        return f"INSERT INTO {self.name} (rowid, {columns}) SELECT row, {columns} FROM {keys} WHERE row = ?"

    def remove(self, keys: str, where: str) -> str:
        """Return the statement that removes the trigrams of rows that are still in the table `keys`."""
        columns = ", ".join(self.columns)
        return (
            f"INSERT INTO {self.name} ({self.name}, rowid, {columns})"
            f" SELECT 'delete', row, {columns} FROM {keys} WHERE {where}"
        )


class KeyTable(Struct, frozen=True):
    """The table of one level; the columns of its own tags, and of those of the patient that it copies."""

    name: str
    own: dict[str, str]
    patient: dict[str, str] = {}
    texts: TextTable | None = None

    @property
    def insert(self) -> str:
        """The statement that adds a row."""
        columns = ("row", *self.own.values(), *self.patient.values())
        places = ", ".join("?" * len(columns))
        return f"INSERT INTO {self.name} ({', '.join(columns)}) VALUES ({places})"


KEYS = {
    ResourceLevel.PATIENT: KeyTable(
        "patient_keys", PATIENT_COLUMNS, texts=TextTable("patient_texts", ("patient_id", "patient_name"))
    ),
    ResourceLevel.STUDY: KeyTable(
        "study_keys",
        {
            "0020,000d": "study_instance_uid",
            "0008,0050": "accession_number",
            "0008,0020": "study_date",
            "0008,1030": "study_description",
        },
        PATIENT_COLUMNS,
        TextTable("study_texts", ("accession_number", "study_description", "patient_id", "patient_name")),
    ),
    ResourceLevel.SERIES: KeyTable(
        "series_keys",
        {"0020,000e": "series_instance_uid", "0008,0060": "modality", "0008,103e": "series_description"},
    ),
    ResourceLevel.INSTANCE: KeyTable("instance_keys", {"0008,0018": "sop_instance_uid"}),
}
Statement = tuple[str, Sequence[object]]
"""One statement with its arguments."""


def enter_keys(
    level: ResourceLevel, row: int, tags: Mapping[str, str], patient_tags: Mapping[str, str] | None
) -> Iterator[Statement]:
    """Yield the statements that enter a new resource into the tables of its level."""
    table = KEYS[level]
    own = (_folded(tags.get(tag)) for tag in table.own)
    copied = (_folded((patient_tags or {}).get(tag)) for tag in table.patient)
    yield table.insert, (row, *own, *copied)
    if table.texts is not None:
        yield table.texts.add(table.name), (row,)


def replace_keys(
    level: ResourceLevel, row: int, tags: Mapping[str, str], patient_tags: Mapping[str, str] | None
) -> Iterator[Statement]:
    """Yield the statements that enter a resource again, whose tags are others now."""
    yield from _remove(KEYS[level], "row = ?", (row,))
    yield from enter_keys(level, row, tags, patient_tags)


def remove_keys(rows: str) -> Iterator[Statement]:
    """Yield the statements that remove resources of any level; `rows` is a JSON array of their rows."""
    for table in KEYS.values():
        yield from _remove(table, "row IN (SELECT value FROM json_each(?))", (rows,))


def _remove(table: KeyTable, where: str, arguments: Sequence[object]) -> Iterator[Statement]:
    if table.texts is not None:
        yield table.texts.remove(table.name, where), arguments
    yield f"DELETE FROM {table.name} WHERE {where}", arguments


def _folded(value: str | None) -> str | None:
    return None if value is None else fold(value)


def _number(value: str | None, *, is_integer: bool) -> float | None:
    if value is None:
        return None
    return as_integer(value) if is_integer else as_float(value)


FUNCTIONS: dict[str, tuple[int, Callable[..., str | float | None]]] = {
    "folded": (1, _folded),
    "fits": (2, lambda pattern, value: value is not None and fits(pattern, value)),
    "as_integer": (1, lambda value: _number(value, is_integer=True)),
    "as_float": (1, lambda value: _number(value, is_integer=False)),
}
"""Functions that SQL may call on every connection: number of arguments, and what they do."""
