"""Jobs as values: what is saved, shown and shared. The engine is in `jobs/`.

Records are frozen and replaced, so REST, feed and journal share them without locks.
"""

from datetime import datetime
from enum import Enum, StrEnum
from typing import Any, Generic, TypeVar

from msgspec import Raw, Struct

from .error_code import ErrorCode

CursorT = TypeVar("CursorT")


class JobState(StrEnum):
    """The six states on the wire."""

    PENDING = "Pending"
    RUNNING = "Running"
    SUCCESS = "Success"
    FAILURE = "Failure"
    PAUSED = "Paused"
    RETRY = "Retry"

    @property
    def is_completed(self) -> bool:
        """Whether the job has ended: it counts in the history and can be deleted."""
        return self in (JobState.SUCCESS, JobState.FAILURE)


class Order(Enum):
    """Why a running job is being stopped. It is recorded, never guessed from an exception."""

    PAUSE = "pause"
    CANCEL = "cancel"
    SHUTDOWN = "shutdown"


class JobFault(Struct, frozen=True, kw_only=True):
    """Why a job failed: data, not an exception."""

    code: ErrorCode
    details: str = ""
    payload: Any = None


class JobOutput(Struct, frozen=True, kw_only=True):
    """A file that a job left: `key` is its name in the URL, `file` its name in the folder of outputs."""

    key: str
    file: str
    filename: str
    media_type: str
    size_bytes: int


class Continue(Struct, Generic[CursorT], frozen=True):
    """The step did its unit; go on from `cursor`. `done` of `total` units of work are behind us.

    `content`, when given, is merged into the content of the record.
    """

    cursor: CursorT
    done: float
    total: float
    content: dict[str, Any] | None = None


class Done(Struct, frozen=True):
    """The job succeeded. `content` is merged into the content of the record."""

    content: dict[str, Any] | None = None
    outputs: tuple[JobOutput, ...] = ()


class RetryAfter(Struct, Generic[CursorT], frozen=True):
    """The step could not do its unit now; try again from `cursor` after `seconds`."""

    seconds: float
    cursor: CursorT
    fault: JobFault | None = None


class JobRecord(Struct, frozen=True, kw_only=True):
    """One job. Small, so that saving it at a boundary is cheap: the plan lies apart.

    `args` and `cursor` are the kind's own values, encoded by msgspec as JSON. Times are in UTC.
    """

    id: str
    kind: str
    args: Raw
    state: JobState
    priority: int = 0
    sequence: int
    """Order of submission: equal priorities run first in, first out. Grows over restarts."""
    created: datetime
    changed: datetime
    """When the state last changed; for a completed job the time of completion."""
    runtime_s: float = 0.0
    """Time spent in Running until `running_since`."""
    running_since: datetime | None = None
    """While Running: the last boundary, or the start."""
    retry_at: datetime | None = None
    cursor: Raw | None = None
    done: float = 0.0
    total: float = 0.0
    content: dict[str, Any]
    fault: JobFault | None = None
    outputs: tuple[JobOutput, ...] = ()
    user_data: Raw | None = None
    is_durable: bool = True
    """False for a job whose result streams to a caller that waits: it ends with this process."""

    @property
    def progress(self) -> float:
        """Between 0 and 1; 1 for a success."""
        if self.state is JobState.SUCCESS:
            return 1.0
        return min(self.done / self.total, 1.0) if self.total > 0 else 0.0

    def runtime_at(self, now: datetime) -> float:
        """Return the seconds spent in Running until `now`, over all attempts."""
        if self.running_since is None:
            return self.runtime_s
        return self.runtime_s + max((now - self.running_since).total_seconds(), 0.0)
