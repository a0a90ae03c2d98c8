"""The tables of what is searched most, one per level: main tags in columns, in capital letters, with indexes.

The tables and `KEYS` must agree: `sql/0003_search.sql` makes and fills them for resources that were there.
"""

from collections.abc import Callable, Mapping

from msgspec import Struct

from ..dicom.match import fits, fold
from ..model.resource import ResourceLevel
from .query import as_float, as_integer

PATIENT_COLUMNS = {
    "0010,0020": "patient_id",
    "0010,0010": "patient_name",
    "0010,0030": "patient_birth_date",
}


class KeyTable(Struct, frozen=True):
    """The table of one level; the columns of its own tags, and of those of the patient that it copies."""

    name: str
    own: dict[str, str]
    patient: dict[str, str] = {}

    @property
    def insert(self) -> str:
        """The statement that adds or replaces a row."""
        columns = ("row", *self.own.values(), *self.patient.values())
        places = ", ".join("?" * len(columns))
        return f"INSERT OR REPLACE INTO {self.name} ({', '.join(columns)}) VALUES ({places})"


KEYS = {
    ResourceLevel.PATIENT: KeyTable("patient_keys", PATIENT_COLUMNS),
    ResourceLevel.STUDY: KeyTable(
        "study_keys",
        {
            "0020,000d": "study_instance_uid",
            "0008,0050": "accession_number",
            "0008,0020": "study_date",
            "0008,1030": "study_description",
        },
        PATIENT_COLUMNS,
    ),
    ResourceLevel.SERIES: KeyTable(
        "series_keys",
        {"0020,000e": "series_instance_uid", "0008,0060": "modality", "0008,103e": "series_description"},
    ),
    ResourceLevel.INSTANCE: KeyTable("instance_keys", {"0008,0018": "sop_instance_uid"}),
}
_INSERTS = {level: table.insert for level, table in KEYS.items()}


def key_row(
    level: ResourceLevel, row: int, tags: Mapping[str, str], patient_tags: Mapping[str, str] | None
) -> tuple[str, tuple[object, ...]]:
    """Return the statement that enters a resource into the table of its level, and its arguments."""
    table = KEYS[level]
    own = (_folded(tags.get(tag)) for tag in table.own)
    copied = (_folded((patient_tags or {}).get(tag)) for tag in table.patient)
    return _INSERTS[level], (row, *own, *copied)


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
