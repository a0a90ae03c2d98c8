"""One run of one job: its steps, and why they stop.

What a step raises is data: it becomes the fault of the job. Once the scope is cancelled, though, the order
decides, whatever the step raises on its way out.
"""

import logging
import math
import traceback
from collections.abc import Awaitable, Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec
import trio
from msgspec import Raw, Struct
from msgspec.structs import replace

from ..extent import Chunk
from ..model.error_code import ErrorCode
from ..model.errors import OrthancError, RemoteUnavailable, Timeout
from ..model.job import (
    Continue,
    Done,
    JobFault,
    JobRecord,
    Order,
    RetryAfter,
)
from .kind import JobKind
from .ledger import Ledger
from .progress import ProgressMeter, at_end
from .states import Move

T = TypeVar("T")

_RANKS: Final = {order: rank for rank, order in enumerate(Order)}
"""A later order replaces an earlier one only if it is stronger: what a user asked for outlives a restart."""
_MOVES: Final = {
    Order.HOLD: Move.INTERRUPT,
    Order.SHUTDOWN: Move.INTERRUPT,
    Order.PAUSE: Move.PAUSE,
    Order.CANCEL: Move.CANCEL,
}

_logger = logging.getLogger(__name__)
_encode = msgspec.json.Encoder().encode

AnyKind = JobKind[Any, Any, Any]
AnyOutcome = Continue[Any] | Done | RetryAfter[Any]
InWorker = Callable[..., Awaitable[Any]]


class Ending(Struct, frozen=True):
    """How an attempt ended: the move of its job, and what changes with it."""

    move: Move
    changes: dict[str, Any] = msgspec.field(default_factory=dict)


def fault_of(exc: Exception, job: str) -> JobFault:
    """Turn what a step raised into data. Of an error of another library only class and place are logged.

    Its text is not: it may quote a DICOM file. Of several errors the one that lasts counts.
    """
    ours = [leaf for leaf in _leaves(exc) if isinstance(leaf, OrthancError)]
    if ours:
        cause = next((leaf for leaf in ours if not leaf.is_transient), ours[0])
        return JobFault(code=cause.code, details=cause.details, payload=_encodable(cause.payload))
    foreign = next(_leaves(exc))
    place = "".join(traceback.format_tb(foreign.__traceback__))
    _logger.error("Unexpected %s in job %s\n%s", type(foreign).__name__, job, place)
    return JobFault(code=ErrorCode.INTERNAL_ERROR)


def is_transient(exc: Exception) -> bool:
    """Whether the same step may succeed a little later: all that it raised are errors of that sort."""
    return all(isinstance(leaf, OrthancError) and leaf.is_transient for leaf in _leaves(exc))


def _asked_delay_s(exc: Exception) -> float:
    asked = [leaf.retry_after_s for leaf in _leaves(exc) if isinstance(leaf, RemoteUnavailable)]
    return max(filter(None, asked), default=0.0)


def _leaves(exc: BaseException) -> Iterator[BaseException]:
    pending = [exc]
    while pending:
        current = pending.pop()
        if isinstance(current, BaseExceptionGroup):
            pending.extend(reversed(current.exceptions))
        else:
            yield current


def _encodable(value: Any) -> Any:
    try:
        _encode(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return value


class _Context:
    """Implements StepContext for one attempt."""

    def __init__(self, attempt: "Attempt", sink: trio.abc.SendChannel[Chunk] | None) -> None:
        self.job_id = attempt.record.id
        self.sink = sink
        self._attempt = attempt

    def report(self, done: float, total: float, content: dict[str, Any] | None = None) -> None:
        self._attempt.show(done=done, total=total, content=content)

    async def checkpoint(self, cursor: Any) -> None:
        await self._attempt.save_cursor(cursor)

    def output_path(self, key: str) -> Path:
        return self._attempt.ledger.outputs.path(self.job_id, key)

    async def in_worker(self, function: Callable[..., T], *args: Any) -> T:
        result: T = await self._attempt.in_worker(function, *args)
        return result


class Attempt:
    """A job, its kind, a scope and an order. Exists only while the job runs."""

    def __init__(
        self,
        record: JobRecord,
        kind: AnyKind,
        ledger: Ledger,
        *,
        in_worker: InWorker,
        discard_timeout_s: float,
        sink: trio.abc.SendChannel[Chunk] | None = None,
    ) -> None:
        self.record = record
        self.order: Order | None = None
        self.ledger = ledger
        self.in_worker = in_worker
        self._kind = kind
        self._context = _Context(self, sink)
        self._discard_timeout_s = discard_timeout_s
        self._meter = ProgressMeter(record.content, trio.current_time())
        self._scope = trio.CancelScope()
        self._time_limit = math.inf
        """When the job has run for too long, of Trio's clock."""
        self._plan: Any = None
        self._cursor: Any = None
        self._unsaved_plan: bytes | None = None

    def obey(self, order: Order) -> None:
        """Note an order: CANCEL takes effect at the next await, the others at the next boundary."""
        if self.order is None or _RANKS[order] > _RANKS[self.order]:
            self.order = order
        if order is Order.CANCEL:
            self._scope.cancel()

    def stop_by(self, deadline: float) -> None:
        """Stop at the next boundary, or at `deadline` (of Trio's clock) at the last one."""
        self.obey(Order.SHUTDOWN)
        self._scope.deadline = min(self._scope.deadline, deadline)

    async def run(self) -> Ending:
        """Do steps until the job ends or an order is obeyed. The record is kept up to date meanwhile."""
        if self.record.timeout_s:
            left_s = max(self.record.timeout_s - self.record.runtime_s, 0.0)
            self._time_limit = trio.current_time() + left_s
            self._scope.deadline = min(self._scope.deadline, self._time_limit)
        try:
            with self._scope:
                return await self._steps()
        except Exception as exc:
            if not self._scope.cancel_called:
                return self._failed(exc)
        return self._cut_off()

    async def discard(self) -> None:
        """Remove what steps left behind. Never fails; bounded in time."""
        with trio.move_on_after(self._discard_timeout_s):
            try:
                args = msgspec.json.decode(self.record.args, type=self._kind.args_type)
                await self._kind.discard(self._context, args)
            except Exception as exc:
                fault = fault_of(exc, self.record.id)
                _logger.warning("Job %s leaves something behind (%s)", self.record.id, fault.code.description)
            await self.ledger.outputs.discard_begun(self.record.id)

    def show(self, *, done: float, total: float, content: dict[str, Any] | None) -> None:
        """Show progress. Raises if `content` cannot be encoded."""
        self.record = replace(self.record, done=done, total=total, content=self._merged(content))
        self.ledger.advance(self.record)

    async def save_cursor(self, cursor: Any) -> None:
        """Return when `cursor` is durable. Raises what the store raises."""
        await self._keep(cursor)
        await self.ledger.journal.save(self.record)

    async def _steps(self) -> Ending:
        args = await self._prepare()
        while self.order is None:
            outcome = await self._kind.step(self._context, args, self._plan, self._cursor)
            ending = await self._conclude(outcome)
            if ending is not None:
                return ending
            # A step that never waits must not keep the other tasks from running.
            await trio.lowlevel.checkpoint()
        return self._obeyed()

    async def _prepare(self) -> Any:
        """Return the args, and set plan and cursor. A plan is made once; one that was lost is made anew."""
        kind, record = self._kind, self.record
        args = msgspec.json.decode(record.args, type=kind.args_type)
        saved = await self.ledger.journal.load_plan(record)
        if saved is None:
            self._plan_anew(await kind.plan(self._context, args))
            self._cursor = kind.start(self._plan)
            if not kind.plan_is_repeatable:
                await self._keep(self._cursor)
            return args
        self._plan = msgspec.json.decode(saved, type=kind.plan_type)
        if record.cursor is None:
            self._cursor = kind.start(self._plan)
        else:
            self._cursor = msgspec.json.decode(record.cursor, type=kind.cursor_type)
        return args

    def _plan_anew(self, plan: Any) -> None:
        self._plan = plan
        self._unsaved_plan = _encode(plan)

    async def _conclude(self, outcome: AnyOutcome) -> Ending | None:
        """Take over what a step returned; None if the job goes on."""
        match outcome:
            case Done(content, outputs):
                merged = at_end(self._merged(content), content)
                return Ending(Move.SUCCEED, {"content": merged, "outputs": outputs})
            case Continue(cursor, done, total, content, plan):
                if plan is not None:
                    self._plan_anew(plan)
                await self._keep(cursor)
                self._pass_boundary(done, total, self._merged(content))
                return None
            case RetryAfter(seconds, cursor, fault):  # pragma: no branch  # the union has no other member
                await self._keep(cursor)
                if self.order in (Order.PAUSE, Order.CANCEL):
                    return None  # it is obeyed instead
                retry_at = self.ledger.now() + timedelta(seconds=seconds)
                return Ending(Move.DELAY, {"retry_at": retry_at, "fault": fault})

    async def _keep(self, cursor: Any) -> None:
        """Set the cursor; it is never saved before its plan."""
        if self._unsaved_plan is not None:
            await self.ledger.journal.save_plan(self.record, self._unsaved_plan)
            self._unsaved_plan = None
        self._cursor = cursor
        self.record = replace(self.record, cursor=Raw(_encode(cursor)))

    def _pass_boundary(self, done: float, total: float, content: dict[str, Any]) -> None:
        now = self.ledger.now()
        self.record = replace(
            self.record,
            done=done,
            total=total,
            content=content,
            runtime_s=self.record.runtime_at(now),
            running_since=now,
        )
        self.ledger.journal.note(self.record)
        self.ledger.advance(self.record)

    def _merged(self, content: dict[str, Any] | None) -> dict[str, Any]:
        if not content:
            return self.record.content
        _encode(content)  # raises here, where it is the fault of the step, and not in the journal
        return self._meter.joined(self.record.content, content, trio.current_time())

    def _failed(self, exc: Exception) -> Ending:
        """Fail, or delay the next attempt if the error is transient and the policy allows one more."""
        fault, policy = fault_of(exc, self.record.id), self.record.retry
        if policy is None or not is_transient(exc):
            return Ending(Move.FAIL, {"fault": fault})
        attempt = self.record.attempt
        last_error = ": ".join(filter(None, (fault.code.description, fault.details)))
        if attempt >= policy.max_attempts:
            return Ending(Move.FAIL, {"fault": fault, "last_error": last_error})
        changes = {"attempt": attempt + 1, "last_error": last_error}
        if self.order is Order.PAUSE:
            return Ending(Move.PAUSE, changes)
        delay_s = max(policy.delay_after(attempt), min(_asked_delay_s(exc), policy.max_delay_s))
        retry_at = self.ledger.now() + timedelta(seconds=delay_s)
        return Ending(Move.DELAY, changes | {"fault": fault, "retry_at": retry_at})

    def _cut_off(self) -> Ending:
        """Say what follows from the end of the scope: an order that cuts off, or the limit of the time."""
        is_timeout = trio.current_time() >= self._time_limit
        if not is_timeout or self.order in (Order.CANCEL, Order.SHUTDOWN):
            return self._obeyed()
        details = f"The job ran for longer than its limit of {self.record.timeout_s:g} s"
        return Ending(Move.FAIL, {"fault": JobFault(code=Timeout.code, details=details)})

    def _obeyed(self) -> Ending:
        assert self.order is not None
        return Ending(_MOVES[self.order])
