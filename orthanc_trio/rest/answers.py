"""Answers of a fixed shape: what is encoded is what the OpenAPI document shows.

The members are in ascending order, as Orthanc writes them.
"""

from typing import Literal

from msgspec import UNSET, Struct, UnsetType, field

from ..model.resource import ResourceRef
from ..services.feed import ChangeEntry
from ..services.ingest import StoreStatus


class Count(Struct, rename="pascal"):
    """How many there are."""

    count: int


class ResourceLink(Struct, rename="pascal"):
    """Where a resource is."""

    id: str = field(name="ID")
    path: str
    type: str


def link(ref: ResourceRef) -> ResourceLink:
    """Return where a resource is."""
    return ResourceLink(ref.id, f"/{ref.level.collection}/{ref.id}", ref.level.type_name)


class Deleted(Struct, rename="pascal"):
    """What is left above a deleted resource."""

    remaining_ancestor: ResourceLink | None


class Submitted(Struct, rename="pascal"):
    """Where a submitted job can be watched."""

    id: str = field(name="ID")
    path: str


class Stored(Struct, rename="pascal", kw_only=True):
    """What became of an instance; or, without parents, of the instances of a new series."""

    id: str = field(name="ID")
    parent_patient: str | UnsetType = UNSET
    parent_series: str | UnsetType = UNSET
    parent_study: str | UnsetType = UNSET
    path: str
    status: StoreStatus


class StatisticsAnswer(Struct, rename="pascal", kw_only=True):
    """How much is stored; sizes in bytes are texts."""

    count_instances: int
    count_patients: int
    count_series: int
    count_studies: int
    total_disk_size: str
    total_disk_size_mb: int = field(name="TotalDiskSizeMB")
    total_uncompressed_size: str
    total_uncompressed_size_mb: int = field(name="TotalUncompressedSizeMB")


class SlicesAnswer(Struct, rename="pascal", kw_only=True):
    """The slices of a series in their order."""

    dicom: list[str]
    slices: list[str]
    slices_short: list[tuple[str, int, int]]
    type: Literal["Volume", "Sequence"]


class ExportsAnswer(Struct, rename="pascal", kw_only=True):
    """A page of the log of what was sent."""

    done: bool
    exports: list[str]
    last: int


class ChangesAnswer(Struct, rename="pascal", kw_only=True):
    """A page of the log of changes; an empty one has no first entry."""

    changes: list[ChangeEntry]
    done: bool
    first: int | UnsetType = UNSET
    last: int


class Refusal(Struct, rename="pascal"):
    """Why a job was left as it is."""

    id: str = field(name="ID")
    reason: str


class Held(Struct, rename="pascal", kw_only=True):
    """What is held as a whole."""

    destinations: tuple[str, ...]
    types: tuple[str, ...]


class Outcome(Struct, rename="pascal", kw_only=True):
    """What became of many jobs."""

    done: int
    held: Held | UnsetType = UNSET
    refused: list[Refusal]
    refused_count: int
