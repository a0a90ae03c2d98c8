"""What users do to jobs: pause, resume, cancel, resubmit, delete.

A running job gets an order and its attempt obeys; any other is changed here. A change that has begun is
carried out even if its caller leaves, and the changes of one job follow each other.
Source: the Orthanc Book, "Jobs"; the routes /jobs/{id}/{action}.
"""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial

import trio

from ..model.errors import DatabaseUnavailable, OrthancError
from ..model.job import JobOutput, JobRecord, Order
from .attempt import Attempt
from .ledger import Ledger
from .states import Move, is_allowed, moved


class JobsControl(ABC):
    """The actions. Each returns False if it is refused: the job is unknown, or its state does not allow it.

    Each is durable when it returns True, except an order to a running job. Raises what the store raises, and
    DatabaseUnavailable once the engine has stopped.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._attempts: dict[str, Attempt] = {}
        """The running jobs."""
        self._nursery: trio.Nursery | None = None
        """Open while the engine runs."""
        self._turns: dict[str, trio.Lock] = {}

    @abstractmethod
    def _attempt(self, record: JobRecord) -> Attempt: ...

    @abstractmethod
    def _fill_slots(self) -> None: ...

    async def pause(self, job_id: str) -> bool:
        """Keep a job from running: a running one from its next boundary on. No effect on an ended one."""
        return await self._carry_out(job_id, partial(self._change, job_id, Move.PAUSE, Order.PAUSE))

    async def cancel(self, job_id: str) -> bool:
        """Fail a job with CANCELED_JOB: a running one at its next await. No effect on an ended one."""
        return await self._carry_out(job_id, partial(self._change, job_id, Move.CANCEL, Order.CANCEL))

    async def resume(self, job_id: str) -> bool:
        """Let a paused job wait for a slot again; it goes on where it stopped."""
        return await self._carry_out(job_id, partial(self._change, job_id, Move.RESUME))

    async def resubmit(self, job_id: str) -> bool:
        """Run a failed job again from its start, with its id and priority."""
        return await self._carry_out(job_id, partial(self._change, job_id, Move.RESUBMIT))

    async def delete(self, job_id: str) -> bool:
        """Forget a completed job and its outputs."""
        return await self._carry_out(job_id, partial(self._delete, job_id))

    async def delete_output(self, job_id: str, key: str) -> bool:
        """Remove one output of a job; the job stays. False if there is none."""
        return await self._carry_out(job_id, partial(self._delete_output, job_id, key))

    async def open_output(self, job_id: str, key: str) -> tuple[int, JobOutput] | None:
        """Open an output for reading, and note its use; None if there is none.

        The caller closes the descriptor, which stays readable even if the output is removed meanwhile.
        """
        output = self._find_output(job_id, key)
        if output is None:
            return None
        descriptor = await self._ledger.outputs.open(output.file)
        return None if descriptor is None else (descriptor, output)

    async def _change(self, job_id: str, move: Move, order: Order | None = None) -> bool:
        record = self._ledger.registry.find(job_id)
        attempt = self._attempts.get(job_id)
        if attempt is not None and order is not None:
            attempt.obey(order)
            return True
        if record is None or not is_allowed(record.state, move):
            return False
        changed = moved(record, move, self._ledger.now())
        if changed is not record:
            self._ledger.registry.hold(job_id)
            try:
                await self._carry_through(changed, move)
            finally:
                self._ledger.settle(changed)
                self._fill_slots()
        return True

    async def _carry_through(self, changed: JobRecord, move: Move) -> None:
        if move is Move.RESUBMIT:
            await self._ledger.journal.drop_plan(changed)
        await self._ledger.journal.save(changed)
        if move is Move.CANCEL:
            await self._ledger.close_sink(changed.id)
            await self._attempt(changed).discard()

    async def _wake_later(self, record: JobRecord) -> None:
        """Let a job wait for a slot again when its delay is over, unless a user was first."""
        assert record.retry_at is not None
        await trio.sleep(max((record.retry_at - self._ledger.now()).total_seconds(), 0.0))
        async with self._turn(record.id):
            current = self._ledger.registry.find(record.id)
            if current is not None and current.retry_at == record.retry_at:
                # Not saved: after a crash a job that was to be tried again is as one that was pending.
                self._ledger.settle(moved(current, Move.WAKE, self._ledger.now()))
                self._fill_slots()

    async def _delete(self, job_id: str) -> bool:
        record = self._ledger.registry.find(job_id)
        if record is None or not record.state.is_completed:
            return False
        self._ledger.registry.remove(job_id)
        self._ledger.forget(record)
        await self._ledger.journal.erase(record)
        return True

    async def _delete_output(self, job_id: str, key: str) -> bool:
        output = self._find_output(job_id, key)
        if output is None:
            return False
        self._ledger.remove_outputs([output.file])
        await self._ledger.journal.save(self._ledger.registry.get(job_id))
        return True

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

    async def _carry_out(self, job_id: str, action: Callable[[], Awaitable[bool]]) -> bool:
        """Run `action` as a task of the engine, after the earlier ones on the same job, and await its end."""
        if self._nursery is None:
            raise DatabaseUnavailable
        done = trio.Event()
        result: list[bool | OrthancError] = []

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
            case [bool(is_accepted)]:
                return is_accepted
            case [OrthancError() as error]:
                raise error
            case _:
                raise DatabaseUnavailable
