"""What users do to jobs: pause, resume, cancel, resubmit, delete.

A running job gets an order and its attempt obeys; any other is changed here. A change that has begun is
carried out even if its caller leaves, and the changes of one job follow each other.
Source: the Orthanc Book, "Jobs"; the routes /jobs/{id}/{action}.
"""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from datetime import datetime
from functools import partial
from itertools import islice
from typing import Final

import trio
from msgspec import Struct

from ..model.errors import DatabaseUnavailable, OrthancError
from ..model.job import JobOutput, JobRecord, JobState, Order
from .attempt import Attempt
from .ledger import Ledger
from .options import Holds
from .states import Move, is_allowed, moved
from .waking import Wakes

BATCH: Final = 32
_HOLDS: Final = "holds"
"""Stands for an id where what is held is changed."""


class Verdict(Struct, frozen=True):
    """Whether an action is accepted, which is its truth value; if not, why not."""

    refusal: str = ""

    def __bool__(self) -> bool:
        return not self.refusal


_ACCEPTED: Final = Verdict()
_UNKNOWN: Final = Verdict("There is no such job")
_REFUSALS: Final = {
    Move.RESUME: "The job is not paused",
    Move.RESUBMIT: "The job has not failed and does not wait for a retry",
}


class JobsControl(ABC):
    """The actions. A verdict refuses if the job is unknown, or its state does not allow the action.

    What is accepted is durable, except an order to a running job. Each raises what the store raises, and
    DatabaseUnavailable once the engine has stopped.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._attempts: dict[str, Attempt] = {}
        """The running jobs."""
        self._nursery: trio.Nursery | None = None
        """Open while the engine runs."""
        self._turns: dict[str, trio.Lock] = {}
        self._wakes = Wakes(ledger.now)

    @abstractmethod
    def _attempt(self, record: JobRecord) -> Attempt: ...

    @abstractmethod
    def _fill_slots(self) -> None: ...

    async def pause(self, job_id: str) -> Verdict:
        """Keep a job from running: a running one from its next boundary on. No effect on an ended one."""
        return await self._carry_out(job_id, partial(self._change, job_id, Move.PAUSE, Order.PAUSE))

    async def cancel(self, job_id: str) -> Verdict:
        """Fail a job with CANCELED_JOB: a running one at its next await. No effect on an ended one."""
        return await self._carry_out(job_id, partial(self._change, job_id, Move.CANCEL, Order.CANCEL))

    async def resume(self, job_id: str) -> Verdict:
        """Let a paused job wait for a slot again; it goes on where it stopped."""
        return await self._carry_out(job_id, partial(self._change, job_id, Move.RESUME))

    async def resubmit(self, job_id: str) -> Verdict:
        """Run a failed job again from its start, with its id and priority; one in Retry goes on now."""
        return await self._carry_out(job_id, partial(self._change, job_id, Move.RESUBMIT))

    async def delete(self, job_id: str) -> Verdict:
        """Forget a completed job and its outputs; also one in Retry, which stock clients take for ended."""
        return await self._carry_out(job_id, partial(self._delete, job_id))

    async def delete_output(self, job_id: str, key: str) -> Verdict:
        """Remove one output of a job; the job stays. Refused if there is none."""
        return await self._carry_out(job_id, partial(self._delete_output, job_id, key))

    async def for_each(
        self, action: Callable[[str], Awaitable[Verdict]], job_ids: Iterable[str]
    ) -> list[Verdict]:
        """Do the same to many jobs, BATCH at the same time, and return the verdicts in the order of the ids.

        `action` is one of the above. An error of one lets the others of its batch end, and is raised then.
        """
        verdicts: list[Verdict] = []
        job_ids = iter(job_ids)
        while batch := tuple(islice(job_ids, BATCH)):
            verdicts.extend(await self._act_on_batch(action, batch))
        return verdicts

    async def _act_on_batch(
        self, action: Callable[[str], Awaitable[Verdict]], job_ids: tuple[str, ...]
    ) -> list[Verdict]:
        results: dict[str, Verdict | OrthancError] = {}

        async def act(job_id: str) -> None:
            try:
                results[job_id] = await action(job_id)
            except OrthancError as exc:
                results[job_id] = exc

        async with trio.open_nursery() as nursery:
            for job_id in job_ids:
                nursery.start_soon(act, job_id)
        verdicts = []
        for job_id in job_ids:
            result = results[job_id]
            if isinstance(result, OrthancError):
                raise result
            verdicts.append(result)
        return verdicts

    async def hold(self, *, type: str | None = None, destination: str | None = None) -> None:
        """Keep the jobs of a type or to a destination from running, also after a restart, until `release`.

        Running ones go back to Pending at their next boundary. Of both arguments either may be None.
        """
        await self._carry_out(_HOLDS, partial(self._hold, type, destination))

    async def release(self, *, type: str | None = None, destination: str | None = None) -> None:
        """Let the jobs of a type or to a destination run again."""
        await self._carry_out(_HOLDS, partial(self._release_lanes, type, destination))

    @property
    def holds(self) -> Holds:
        """The types and destinations that are held."""
        return self._ledger.registry.holds

    async def _hold(self, type: str | None, destination: str | None) -> Verdict:
        await self._set_holds(self.holds.with_hold(type=type, destination=destination))
        for attempt in self._attempts.values():
            record = attempt.record
            if record.kind == type or (destination is not None and record.destination == destination):
                attempt.obey(Order.HOLD)
        return _ACCEPTED

    async def _release_lanes(self, type: str | None, destination: str | None) -> Verdict:
        await self._set_holds(self.holds.without(type=type, destination=destination))
        self._fill_slots()
        return _ACCEPTED

    async def _set_holds(self, holds: Holds) -> None:
        await self._ledger.journal.save_holds(holds)
        self._ledger.registry.hold_lanes(holds)

    async def open_output(self, job_id: str, key: str) -> tuple[int, JobOutput] | None:
        """Open an output for reading, and note its use; None if there is none.

        The caller closes the descriptor, which stays readable even if the output is removed meanwhile.
        """
        output = self._find_output(job_id, key)
        if output is None:
            return None
        descriptor = await self._ledger.outputs.open(output.file)
        return None if descriptor is None else (descriptor, output)

    async def _change(self, job_id: str, move: Move, order: Order | None = None) -> Verdict:
        record = self._ledger.registry.find(job_id)
        attempt = self._attempts.get(job_id)
        if attempt is not None and order is not None:
            attempt.obey(order)
            return _ACCEPTED
        if record is None:
            return _UNKNOWN
        if not is_allowed(record.state, move):
            return Verdict(f"{_REFUSALS[move]}: {record.state}")
        changed = moved(record, move, self._ledger.now())
        if changed is not record:
            self._ledger.registry.hold(job_id)
            try:
                await self._carry_through(changed, move)
            finally:
                self._ledger.settle(changed)
                self._fill_slots()
        return _ACCEPTED

    async def _carry_through(self, changed: JobRecord, move: Move) -> None:
        if move is Move.RESUBMIT and changed.cursor is None:
            await self._ledger.journal.drop_plan(changed)
        await self._ledger.journal.save(changed)
        if move is Move.CANCEL:
            await self._ledger.close_sink(changed.id)
            await self._attempt(changed).discard()

    def _wake(self, due: list[tuple[datetime, str]]) -> None:
        """Let jobs wait for a slot again whose delay is over, unless a user was first."""
        assert self._nursery is not None
        for retry_at, job_id in due:
            if job_id in self._turns:
                self._nursery.start_soon(self._wake_in_turn, job_id, retry_at, name=f"wake job {job_id}")
            else:
                self._wake_now(job_id, retry_at)
        self._fill_slots()

    async def _wake_in_turn(self, job_id: str, retry_at: datetime) -> None:
        async with self._turn(job_id):
            self._wake_now(job_id, retry_at)
            self._fill_slots()

    def _wake_now(self, job_id: str, retry_at: datetime) -> None:
        current = self._ledger.registry.find(job_id)
        if current is not None and current.retry_at == retry_at:
            # Not saved: after a crash the job is in Retry again, and its time has come.
            self._ledger.settle(moved(current, Move.WAKE, self._ledger.now()))

    async def _delete(self, job_id: str) -> Verdict:
        record = self._ledger.registry.find(job_id)
        if record is None:
            return _UNKNOWN
        if record.state is JobState.RETRY:
            await self._give_up(record)
        elif record.state.is_completed:
            self._ledger.forget(self._ledger.registry.remove(job_id))
        else:
            return Verdict(f"The job has not ended: {record.state}")
        await self._ledger.journal.erase(record)
        return _ACCEPTED

    async def _give_up(self, record: JobRecord) -> None:
        """Cancel a job without a place in the history."""
        cancelled = moved(record, Move.CANCEL, self._ledger.now())
        try:
            await self._carry_through(cancelled, Move.CANCEL)
        finally:
            self._ledger.dismiss(cancelled)

    async def _delete_output(self, job_id: str, key: str) -> Verdict:
        output = self._find_output(job_id, key)
        if output is None:
            return Verdict(f"Job has no such output: {key}")
        self._ledger.remove_outputs([output.file])
        await self._ledger.journal.save(self._ledger.registry.get(job_id))
        return _ACCEPTED

    def _find_output(self, job_id: str, key: str) -> JobOutput | None:
        record = self._ledger.registry.find(job_id)
        outputs = record.outputs if record else ()
        return next((output for output in outputs if output.key == key), None)

    @asynccontextmanager
    async def _turn(self, job_id: str) -> AsyncIterator[None]:
        """Wait until nothing else is being decided about a job."""
        lock = self._turns.setdefault(job_id, trio.Lock())
        try:
            async with lock:
                yield
        finally:
            if not lock.locked():
                self._turns.pop(job_id, None)

    async def _carry_out(self, job_id: str, action: Callable[[], Awaitable[Verdict]]) -> Verdict:
        """Run `action` as a task of the engine, after the earlier ones on the same job, and await its end."""
        if self._nursery is None:
            raise DatabaseUnavailable
        done = trio.Event()
        result: list[Verdict | OrthancError] = []

        async def task() -> None:
            try:
                async with self._turn(job_id):
                    result.append(await action())
            except OrthancError as exc:
                result.append(exc)
            finally:
                done.set()

        self._nursery.start_soon(task, name=f"control of job {job_id}")
        await done.wait()
        match result:
            case [Verdict() as verdict]:
                return verdict
            case [OrthancError() as error]:
                raise error
            case _:
                raise DatabaseUnavailable
