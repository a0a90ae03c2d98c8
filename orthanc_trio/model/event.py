"""What happens and is told to others: changes of resources, changes of jobs."""

from datetime import datetime
from enum import IntEnum
from typing import Final, get_args

from msgspec import Struct

from .job import JobRecord
from .resource import ResourceLevel


class ChangeType(IntEnum):
    """The kinds of entries of `/changes`."""

    COMPLETED_SERIES = 1
    NEW_INSTANCE = 2
    NEW_PATIENT = 3
    NEW_SERIES = 4
    NEW_STUDY = 5
    ANONYMIZED_STUDY = 6
    ANONYMIZED_SERIES = 7
    MODIFIED_STUDY = 8
    MODIFIED_SERIES = 9
    ANONYMIZED_PATIENT = 10
    MODIFIED_PATIENT = 11
    STABLE_PATIENT = 12
    STABLE_STUDY = 13
    STABLE_SERIES = 14
    UPDATED_ATTACHMENT = 15
    UPDATED_METADATA = 16

    @property
    def wire_name(self) -> str:
        """The name in JSON: `NewInstance`, `StableStudy`, ..."""
        return "".join(word.capitalize() for word in self.name.split("_"))


class Change(Struct, frozen=True, kw_only=True):
    """One entry of the log of changes; `seq` grows and is never used twice."""

    seq: int
    type: ChangeType
    level: ResourceLevel
    id: str
    date: datetime


class ChangeEvent(Struct, frozen=True):
    """A change was committed."""

    change: Change


class ResourceDeleted(Struct, frozen=True):
    """A resource is gone from the index; never part of `/changes`."""

    level: ResourceLevel
    id: str


class ResourcesTouched(Struct, frozen=True):
    """What the index says of these resources is no longer what it said; never part of `/changes`."""

    ids: tuple[str, ...]


class JobEvent(Struct, frozen=True, gc=False):
    """A job was submitted, moved on, or changed its state."""

    record: JobRecord


class JobEnded(JobEvent, frozen=True):
    """A job has ended: told once, while what comes after it, such as the loss of an output, is a `JobEvent`.

    A job that was resubmitted ends again.
    """


class JobForgotten(Struct, frozen=True):
    """A job left the registry: deleted, or pushed out of the history."""

    id: str


Event = ChangeEvent | ResourceDeleted | ResourcesTouched | JobEvent | JobEnded | JobForgotten

EVENT_TYPES: Final[tuple[type[Event], ...]] = get_args(Event)
