"""What may run as a job: the seam between the engine and `kinds/`.

A job is a function of a saved cursor. Each step does one bounded unit and returns the next cursor; after a
crash the job goes on from the last saved cursor, so a step may run twice and its effect is idempotent.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, TypeVar

import trio
from msgspec import Struct

from ..extent import Chunk
from ..model.job import Continue, Done, DoneWhole, RetryAfter

ArgsT = TypeVar("ArgsT", bound=Struct)
PlanT = TypeVar("PlanT", bound=Struct)
CursorT = TypeVar("CursorT", bound=Struct)
CursorT_contra = TypeVar("CursorT_contra", bound=Struct, contravariant=True)
T = TypeVar("T")


class NotNear(Exception):
    """What is to be done at once would keep the event loop waiting."""


class Look(Protocol):
    """What a check still has to look up, in the event loop if that is quick, else in a thread."""

    def content(self, view: Any) -> dict[str, Any]:
        """Return the first public content, or refuse what cannot work; no job exists yet. Safe to repeat.

        `view` shows what the store holds: a `ReadTransaction` of the index. Raises an OrthancError.
        """
        ...

    def do_whole(self, *, is_near: bool) -> DoneWhole | None:
        """Do the whole job, after `content`, if it is so small that its steps would cost more; None if not.

        With `is_near` it is called in the event loop, and raises NotNear if it would wait or take long.
        Safe to repeat: after an error of any sort the job is run as any other. What it leaves is in the
        result, and saved together with the record.
        """
        ...

    def leave_for_later(self) -> None:
        """Keep what was found, if that helps, for the job that will run in its turn. Called at most once."""
        ...


class StepContext(Protocol[CursorT_contra]):
    """What the engine offers to a running step."""

    job_id: str
    sink: trio.abc.SendChannel[Chunk] | None
    """Where the result streams to a caller that waits; None for a job that leaves an output."""

    def report(self, done: float, total: float, content: dict[str, Any] | None = None) -> None:
        """Show progress in the middle of a step; never waits. See `progress` for what `content` may tell."""
        ...

    async def checkpoint(self, cursor: CursorT_contra) -> None:
        """Return when `cursor` is saved durably: for effects that must not be repeated."""
        ...

    def output_path(self, key: str) -> Path:
        """Return the local file of this job's output `key`; the step creates and writes it."""
        ...

    async def in_worker(self, function: Callable[..., T], *args: Any) -> T:
        """Run a CPU-bound function that holds the GIL in a worker process."""
        ...


class JobKind(Protocol[ArgsT, PlanT, CursorT]):
    """One type of job: immutable, shared by all jobs of the kind."""

    name: str
    """The `Type` on the wire."""
    args_type: type[ArgsT]
    plan_type: type[PlanT]
    cursor_type: type[CursorT]
    plan_is_repeatable: bool
    """Whether a plan made anew serves as well until the first boundary: it is then saved with the first
    cursor, which a short job never needs. False if the plan invents something, such as new UIDs."""

    def destination(self, args: ArgsT) -> str | None:
        """Return the name of the peer, modality or URL that the job talks to; None if it stays here."""
        ...

    def resources(self, args: ArgsT) -> tuple[str, ...]:
        """Return the identifiers of what the job works on, the most telling first; only some are kept."""
        ...

    async def check(self, args: ArgsT) -> dict[str, Any] | Look:
        """Refuse what cannot work and return the first public content; no job exists yet.

        Or return what does so with a view of what the store holds.

        Raises an OrthancError, which the caller of the route gets.
        """
        ...

    async def plan(self, context: StepContext[CursorT], args: ArgsT) -> PlanT:
        """Do the first step: resolve what the job will do. May be large; saved once."""
        ...

    def start(self, plan: PlanT) -> CursorT:
        """Return the cursor before the first unit."""
        ...

    async def step(
        self, context: StepContext[CursorT], args: ArgsT, plan: PlanT, cursor: CursorT
    ) -> Continue[CursorT] | Done | RetryAfter[CursorT]:
        """Do one bounded unit of work from `cursor`. An OrthancError becomes the fault of the job.

        If the error is transient and the job has a policy of retries, the step is tried again from its last
        cursor: so a step that did a part of its unit first saves a cursor by `context.checkpoint`.
        """
        ...

    async def discard(self, context: StepContext[CursorT], args: ArgsT) -> None:
        """Remove what steps left behind, on cancel and failure. Safe to repeat."""
        ...
