"""The shapes of answers, as the OpenAPI document shows them.

What is answered is encoded from these Structs, whose members are in ascending order, as Orthanc writes them.
Resources and jobs are put together elsewhere, for the sake of kept encodings: `Resource` and `Job` only tell
of them, and the test that calls every GET (`tests/compat/test_openapi_walk.py`) compares.
"""

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType, field

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


class Resource(Struct, rename="pascal", kw_only=True):
    """A patient, study, series or instance (`resource_json.py`); each level has some of the members."""

    anonymized_from: str | UnsetType = UNSET
    attachments: list[dict[str, Any]] | UnsetType = UNSET
    expected_number_of_instances: int | UnsetType | None = UNSET
    file_size: int | UnsetType = UNSET
    file_uuid: str | UnsetType = UNSET
    id: str = field(name="ID")
    index_in_series: int | UnsetType | None = UNSET
    instances: list[str] | UnsetType = UNSET
    is_protected: bool | UnsetType = UNSET
    is_stable: bool | UnsetType = UNSET
    labels: list[str] | UnsetType = UNSET
    last_update: str | UnsetType = UNSET
    main_dicom_tags: dict[str, Any] | UnsetType = UNSET
    metadata: dict[str, str] | UnsetType = UNSET
    modified_from: str | UnsetType = UNSET
    parent_patient: str | UnsetType = UNSET
    parent_series: str | UnsetType = UNSET
    parent_study: str | UnsetType = UNSET
    patient_main_dicom_tags: dict[str, Any] | UnsetType = UNSET
    requested_tags: dict[str, Any] | UnsetType = UNSET
    series: list[str] | UnsetType = UNSET
    status: str | UnsetType = UNSET
    studies: list[str] | UnsetType = UNSET
    type: Literal["Patient", "Study", "Series", "Instance"]


class Job(Struct, rename="pascal", kw_only=True):
    """A job (`services/job_view.py`); times are in UTC."""

    completion_time: str | UnsetType = UNSET
    content: Any
    creation_time: str
    effective_runtime: Annotated[float, Meta(description="Seconds.")]
    error_code: int
    error_description: str
    error_details: str
    error_payload: Any = UNSET
    estimated_time_of_arrival: str | UnsetType = UNSET
    id: str = field(name="ID")
    priority: int
    progress: Annotated[int, Meta(description="Percent.")]
    state: str
    timestamp: str
    type: str
    user_data: Any = UNSET
