"""All that a database must answer: the seam that every index backend implements.

The operations are small and without policy. What it means to store or remove an instance is decided once,
in `services/`, on top of them. `row` is the backend's own number of a resource; it never leaves a
transaction.
All methods block; they are used only inside functions given to `Index.read` and `Index.write`.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Protocol, TypeVar

from msgspec import Struct

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

T = TypeVar("T")


class Row(Struct, frozen=True):
    """A resource as the backend addresses it."""

    row: int
    level: ResourceLevel
    parent_row: int | None


class Deletion(Struct, frozen=True, kw_only=True):
    """What `Transaction.delete` removed: descendants first, then the resource, then ancestors left empty."""

    removed: tuple[ResourceRef, ...]
    files: tuple[str, ...]
    """Keys of the attachments; they are also queued in `forgotten_files`."""
    remaining_ancestor: ResourceRef | None
    """The lowest ancestor that is still there."""
    surviving_rows: tuple[int, ...]
    """All ancestors that are still there, from the bottom up."""


class ChangesPage(Struct, frozen=True, kw_only=True):
    """A page of the log of changes, in ascending order of `seq`."""

    changes: tuple[Change, ...]
    is_done: bool
    last_seq: int
    """The last number ever given, 0 if none."""


class MetadataItem(Struct, frozen=True):
    """One metadata of a resource; `revision` counts how often it was revised, from 0."""

    value: str
    revision: int


class MainTags(Struct, frozen=True):
    """The main DICOM tags of a resource, and the copy of its patient's that a study has."""

    own: Mapping[str, str]
    patient: Mapping[str, str]


class PlacedInstance(Struct, frozen=True):
    """An instance with its file, and the main DICOM tags of its parents: what names its place in a tree."""

    leaf: LeafInstance
    size: int
    """The bytes of all its attachments, uncompressed."""
    patient: Mapping[str, str]
    study: Mapping[str, str]
    series: Mapping[str, str]


class ReadTransaction(Protocol):
    """A consistent view of the index."""

    def find(self, id: str) -> Row | None:
        """Return the row of an Orthanc identifier, whatever its level."""
        ...

    def find_all(self, ids: Sequence[str]) -> dict[str, Row]:
        """Return the rows of those of `ids` that exist: a few identifiers, in one query."""
        ...

    def ids(self, level: ResourceLevel, since: int = 0, limit: int | None = None) -> list[str]:
        """Return identifiers of a level in ascending order; `since` is an offset, `limit` None is all."""
        ...

    def search(self, request: FindRequest) -> list[str]:
        """Return the identifiers of the resources that meet a request, in its order, on its page."""
        ...

    def count(self, request: FindRequest) -> int:
        """Return how many resources meet a request, on all pages."""
        ...

    def values_below(self, ids: Sequence[str], level: ResourceLevel, key: Key) -> dict[str, list[str]]:
        """Return the values that the descendants of resources have at a level, by id: each once, ascending.

        `key` is a tag of `level`, or a metadata. All of `ids` are of the same level, which is above `level`;
        those that have no value are left out. One query.
        """
        ...

    def counts_below(self, ids: Sequence[str], level: ResourceLevel) -> dict[str, int]:
        """Return how many descendants resources have at a level, by id; unknown ones are left out. One query.

        All of `ids` are of the same level, which is above `level`.
        """
        ...

    def attachments_of(self, ids: Sequence[str]) -> dict[str, list[Attachment]]:
        """Return the attachments of many resources by id, each by number; without those that have none."""
        ...

    def facts(self, id: str, level: ResourceLevel | None = None) -> Facts | None:
        """Return all about one resource; None if it does not exist or is of another level."""
        ...

    def facts_of(self, ids: Sequence[str]) -> list[Facts]:
        """Return the facts of many resources, of any level, in the order of `ids`; unknown ones are left out.

        In a bounded number of queries, whatever the number of resources.
        """
        ...

    def tags_of(self, ids: Sequence[str]) -> dict[str, MainTags]:
        """Return the tags of many resources, of any level, by id; unknown ones are left out. One query."""
        ...

    def descendants(self, id: str, level: ResourceLevel) -> list[str]:
        """Return the identifiers of all descendants of `id` at a lower `level`, ascending."""
        ...

    def ancestors(self, id: str) -> list[ResourceRef]:
        """Return the chain of parents of `id`, from its direct parent up to the patient."""
        ...

    def series_paths(self, id: str) -> list[SeriesPath]:
        """Return the series at or below `id`, ascending; of an instance the one that it belongs to."""
        ...

    def numbered(self, series: str) -> list[tuple[str, str | None]]:
        """Return the instances of a series, (identifier, InstanceNumber if it has one), by identifier."""
        ...

    def leaves(self, ids: Sequence[str]) -> list[LeafInstance]:
        """Return those of the instances `ids` that have a DICOM file, in this order, one as often as it is
        in there. One query."""
        ...

    def placed(self, id: str) -> PlacedInstance | None:
        """Return all that an archive of one instance needs; None if `id` is not one that has a DICOM file.

        One query.
        """
        ...

    def metadata_item(self, row: int, type: int) -> MetadataItem | None:
        """Return one metadata of a resource."""
        ...

    def oldest_patient(self, spared: str | None = None) -> str | None:
        """Return the unprotected patient whose last instance came first, other than `spared`."""
        ...

    def labels_in_use(self) -> list[str]:
        """Return each label that some resource bears, ascending."""
        ...

    def attachments(self, row: int) -> list[Attachment]:
        """Return the attachments of a resource, by number."""
        ...

    def statistics(self) -> Statistics:
        """Return counts and sizes over the whole index. Cheap: does not scan the attachments."""
        ...

    def statistics_of(self, id: str, attachment_type: int | None = None) -> Statistics | None:
        """Return counts of, and sizes over all attachments of, `id` and its descendants; `id` counts itself.

        With `attachment_type` the sizes are those of the attachments of that type alone.
        """
        ...

    def changes(
        self,
        *,
        since: int = 0,
        to: int | None = None,
        types: Iterable[ChangeType] = (),
        limit: int,
        from_end: bool = False,
    ) -> ChangesPage:
        """Return changes with since < seq <= to of the given types (all if none).

        At most `limit`: the first ones, or the last ones with `from_end`; ascending in both cases.
        `is_done` says that nothing of the interval is left beyond the page.
        """
        ...

    def forgotten_files(self, limit: int) -> list[str]:
        """Return keys of files whose rows are gone and that still have to be deleted, oldest first."""
        ...

    def known_files(self, keys: Sequence[str]) -> set[str]:
        """Return those of `keys` that an attachment bears."""
        ...

    def load_jobs(self, read: Callable[[bytes], T]) -> list[T]:
        """Return what `read` makes of each saved job record, in no order. Only one is in memory at a time."""
        ...

    def load_plan(self, job_id: str) -> bytes | None:
        """Return the saved plan of a job."""
        ...

    def load_output(self, file: str) -> bytes | None:
        """Return a saved output of a job."""
        ...

    def output_uses(self) -> dict[str, float | None]:
        """Return when each saved output was used last, in seconds since 1970; None if never."""
        ...

    def get_property(self, name: str) -> str | None:
        """Return a property of the whole index."""
        ...


class Transaction(ReadTransaction, Protocol):
    """What may change the index. All or nothing: a function that raises leaves no trace."""

    def create(
        self,
        level: ResourceLevel,
        id: str,
        parent_row: int | None,
        tags: Mapping[str, str],
        patient_tags: Mapping[str, str] | None = None,
    ) -> int:
        """Insert a resource with its main DICOM tags (`gggg,eeee` -> value) and return its row.

        `patient_tags` is the copy that a study has of the tags of its patient.
        """
        ...

    def set_metadata(self, row: int, values: Mapping[int, str]) -> None:
        """Set or replace metadata; their revisions stay."""
        ...

    def revise_metadata(self, row: int, type: int, value: str) -> int:
        """Set or replace one metadata and return its new revision: 0, or one more than before."""
        ...

    def remove_metadata(self, row: int, type: int) -> None:
        """Remove one metadata, if it is there; a later one begins at revision 0."""
        ...

    def add_label(self, row: int, label: str) -> None:
        """Give a resource a label, if it does not bear it already."""
        ...

    def remove_label(self, row: int, label: str) -> None:
        """Take a label off a resource, if it is there."""
        ...

    def set_tags(
        self, row: int, tags: Mapping[str, str], patient_tags: Mapping[str, str] | None = None
    ) -> None:
        """Replace the main DICOM tags of a resource; of a study also the copy of those of its patient."""
        ...

    def set_protected(self, row: int, is_protected: bool) -> None:
        """Protect a patient from recycling, or no longer, which makes it the last to be recycled."""
        ...

    def renew(self, row: int) -> None:
        """Make a patient the last to be recycled, unless it is protected. A new one has no turn before."""
        ...

    def set_metadata_of(self, values: Mapping[int, Mapping[int, str]]) -> None:
        """Set or replace metadata of several rows at once."""
        ...

    def attach(self, row: int, attachment: Attachment) -> None:
        """Add an attachment; one of the same type must not be there."""
        ...

    def detach(self, row: int, type: int) -> None:
        """Remove an attachment, if it is there; its file is queued in `forgotten_files`."""
        ...

    def delete(self, id: str) -> Deletion | None:
        """Remove a resource, its descendants, and each ancestor that is left without a child.

        Metadata, attachments, labels and changes go with them; the files are queued in `forgotten_files`.
        """
        ...

    def log_change(self, type: ChangeType, row: int, date: datetime) -> Change:
        """Append to the log of changes; the entry vanishes with its resource."""
        ...

    def clear_changes(self) -> None:
        """Empty the log; the numbering goes on."""
        ...

    def files_deleted(self, keys: Sequence[str]) -> None:
        """Take keys off the queue of `forgotten_files`."""
        ...

    def save_jobs(self, records: Mapping[str, bytes], removed: Sequence[str] = ()) -> None:
        """Insert or replace job records by id; drop `removed` with their plans."""
        ...

    def save_plan(self, job_id: str, plan: bytes | None) -> None:
        """Save or (None) drop the plan of a job; a row of its own, so that records stay small."""
        ...

    def save_output(self, file: str, data: bytes | None) -> None:
        """Save or (None) drop a small file that a job leaves."""
        ...

    def note_output_use(self, file: str, used_s: float) -> None:
        """Set when a saved output was used last, if it is there."""
        ...

    def set_property(self, name: str, value: str) -> None:
        """Set a property of the whole index."""
        ...
