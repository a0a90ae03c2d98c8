"""Jobs as values: what is saved, shown and shared. The engine is in `jobs/`.

Records are frozen and replaced, so REST, feed and journal share them without locks.
"""

from datetime import datetime
from enum import Enum, StrEnum
from typing import Annotated, Any, Final, Generic, TypeVar

from msgspec import Meta, Raw, Struct

from .error_code import ErrorCode

CursorT = TypeVar("CursorT")

MAX_RESOURCES: Final = 10
_MOST_GROWTHS: Final = 100
"""Keeps the powers finite."""
_LONGEST_DELAY_S: Final = 7 * 24 * 3600.0


class JobState(StrEnum):
    """The six states on the wire."""

    PENDING = "Pending"
    RUNNING = "Running"
    SUCCESS = "Success"
    FAILURE = "Failure"
    PAUSED = "Paused"
    RETRY = "Retry"

    is_completed: bool
    """Whether the job has ended: it counts in the history and can be deleted."""

    def __init__(self, wire_name: str) -> None:
        # Kept, not computed: it is asked at every change of every job.
        self.is_completed = wire_name in ("Success", "Failure")


class Order(Enum):
    """Why a running job is being stopped, weakest first. It is recorded, never guessed from an exception."""

    HOLD = "hold"
    """The type or the destination of the job is held: it goes back to those that wait."""
    SHUTDOWN = "shutdown"
    PAUSE = "pause"
    CANCEL = "cancel"


class JobFault(Struct, frozen=True, kw_only=True, gc=False):
    """Why a job failed: data, not an exception."""

    code: ErrorCode
    details: str = ""
    payload: Any = None


class JobOutput(Struct, frozen=True, kw_only=True, gc=False):
    """A file that a job left: `key` is its name in the URL, `file` its name among all outputs."""

    key: str
    file: str
    filename: str
    media_type: str
    size_bytes: int


class Progress(Struct, frozen=True, kw_only=True):
    """How far a job over instances is, as its kind counts it. `step` says in a word what is being done."""

    instances_done: int
    instances_total: int
    instances_failed: int = 0
    bytes: int = 0
    step: str = ""


class FailedInstance(Struct, frozen=True):
    """An instance that a job could not handle, and why."""

    id: str
    error: str


class Continue(Struct, Generic[CursorT], frozen=True):
    """The step did its unit; go on from `cursor`. `done` of `total` units of work are behind us.

    `content`, when given, is merged into the content of the record. `plan`, when given, replaces that of the
    job: for a kind that goes on planning while it works.
    """

    cursor: CursorT
    done: float
    total: float
    content: dict[str, Any] | None = None
    plan: Any = None


class Done(Struct, frozen=True):
    """The job succeeded. `content` is merged into the content of the record."""

    content: dict[str, Any] | None = None
    outputs: tuple[JobOutput, ...] = ()


class SmallOutput(Struct, frozen=True, gc=False):
    """A file that a job leaves, and that is small enough to be saved with the record of its end."""

    key: str
    filename: str
    media_type: str
    data: bytes


class DoneWhole(Struct, frozen=True, gc=False):
    """The whole job was done at once. `content` is merged into the content of the record."""

    content: dict[str, Any]
    outputs: tuple[SmallOutput, ...] = ()


class RetryAfter(Struct, Generic[CursorT], frozen=True):
    """The step could not do its unit now; try again from `cursor` after `seconds`."""

    seconds: float
    cursor: CursorT
    fault: JobFault | None = None


class RetryPolicy(Struct, frozen=True, kw_only=True, gc=False):
    """How often a job is tried again after a transient error, and when.

    The first delay is `delay_s`, each next one `backoff` times as long, none longer than `max_delay_s`.
    """

    max_attempts: Annotated[int, Meta(ge=1, le=1000)] = 5
    """Attempts in all, with the first."""
    delay_s: Annotated[float, Meta(ge=0, le=_LONGEST_DELAY_S)] = 10.0
    backoff: Annotated[float, Meta(ge=1, le=100)] = 2.0
    max_delay_s: Annotated[float, Meta(ge=0, le=_LONGEST_DELAY_S)] = 600.0

    def delay_after(self, attempt: int) -> float:
        """Return the seconds from the end of an attempt (1, 2, ...) to the begin of the next one."""
        growth = self.backoff ** min(attempt - 1, _MOST_GROWTHS)
        return min(self.delay_s * growth, self.max_delay_s)


class SubmitOptions(Struct, frozen=True, kw_only=True):
    """What a submission may ask for besides the work itself."""

    priority: int = 0
    user_data: Raw | None = None
    is_durable: bool = True
    """False for a job whose result streams to a caller that waits: it ends with this process."""
    retry: RetryPolicy | None = None
    """None: what the configuration says of the type or the destination."""
    timeout_s: float | None = None
    """Limit of the time in Running over all attempts, 0 = none; None: what the configuration says."""
    auto_delete: bool = False
    """Forget the job when it succeeds; who waits for it still gets its record."""
    unique_key: str | None = None
    """A further submission with this key gives the same job, as long as it is known."""
    request_digest: str = ""
    """Tells requests with the same key apart: another digest is refused."""


class JobRecord(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """One job. Small, so that saving it at a boundary is cheap: the plan lies apart.

    `args` and `cursor` are the kind's own values, encoded by msgspec as JSON. Times are in UTC. There may be
    100,000, and nothing in them can refer back to them: so the garbage collector passes over them.
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
    """See SubmitOptions."""
    destination: str | None = None
    """The name of the peer, modality or URL that the job talks to."""
    resources: tuple[str, ...] = ()
    """Identifiers of what the job works on, the first MAX_RESOURCES of them: lists are filtered by them."""
    retry: RetryPolicy | None = None
    attempt: int = 1
    """The attempt that runs or comes next: one more for each transient error that was tried again."""
    last_error: str = ""
    """What the last transient error was, of a job with a policy."""
    timeout_s: float = 0.0
    """Limit of `runtime_s`, 0 = none."""
    auto_delete: bool = False
    unique_key: str | None = None
    request_digest: str = ""

    @property
    def is_to_vanish(self) -> bool:
        """Whether the job has succeeded and deletes itself: it is on its way out."""
        return self.auto_delete and self.state is JobState.SUCCESS

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
