"""What is true of all jobs, and how it is told: registry, journal, events, and those who wait.

A change of state is saved first and told (`settle`) afterwards.
"""

import logging
from collections.abc import Callable, Container, Iterable, Set
from datetime import datetime
from typing import Final

import trio
from msgspec.structs import replace

from ..extent import Chunk
from ..model.errors import DatabaseUnavailable, InexistentItem
from ..model.event import Event, JobEnded, JobEvent, JobForgotten
from ..model.job import JobRecord, JobState
from .journal import Journal
from .outputs import Outputs, job_of
from .registry import JobsRegistry
from .submission import Submission

PROGRESS_PERIOD_S: Final = 0.1

_logger = logging.getLogger(__name__)

_FORGOTTEN = 'Cannot retrieve the status of the job, make sure that "JobsHistorySize" is not 0'


class _Waiter:
    """One caller of `wait`, and what it gets."""

    def __init__(self) -> None:
        self.event = trio.Event()
        self.record: JobRecord | None = None
        self.error: type[DatabaseUnavailable | InexistentItem] = DatabaseUnavailable

    def tell(self, record: JobRecord | None) -> None:
        self.record = record
        self.error = InexistentItem
        self.event.set()

    def result(self) -> JobRecord:
        if self.record is not None:
            return self.record
        raise self.error(_FORGOTTEN if self.error is InexistentItem else "")


class Ledger:
    """Keeps the records, saves them and tells of them.

    `run`, `run_expiry` and `run_history` must run, also the `run` of journal and outputs.
    """

    def __init__(
        self,
        registry: JobsRegistry,
        journal: Journal,
        outputs: Outputs,
        publish: Callable[[Event], None],
        now: Callable[[], datetime],
    ) -> None:
        self.registry = registry
        self.journal = journal
        self.outputs = outputs
        outputs.saved = journal
        self.now = now
        self._publish = publish
        self._waiters: dict[str, set[_Waiter]] = {}
        self._sinks: dict[str, trio.abc.SendChannel[Chunk]] = {}
        self._stirred: set[str] = set()
        """Jobs whose progress was not told yet."""
        self._has_news = trio.Event()

    async def restore(self, kinds: Container[str]) -> list[JobRecord]:
        """Take over what an earlier process saved of the given kinds; return what waits for its retry."""
        records = []
        for record in await self.journal.load():
            if record.is_to_vanish:
                self.journal.forget(record)
            elif record.kind in kinds:
                records.append(record)
            else:
                _logger.warning("A saved job of the unknown type %s is passed over", record.kind)
        self.registry.hold_lanes(await self.journal.load_holds())
        delayed = self.registry.restore(records, self.now())
        self._trim()
        self._without_outputs(await self.outputs.restore(self.registry.records()))
        return delayed

    async def start_empty(self) -> None:
        """Forget the jobs that an earlier process saved."""
        self.registry.hold_lanes(await self.journal.load_holds())
        for record in await self.journal.load():
            self.journal.forget(record)
        await self.outputs.restore(())

    async def admit(self, record: JobRecord, sink: trio.abc.SendChannel[Chunk] | None) -> None:
        """Save a new job and tell of it. On an error or a cancel there is no job."""
        await self.journal.insert(record, {})
        if sink is not None:
            self._sinks[record.id] = sink
        self.settle(record)

    async def admit_looked_up(
        self, submission: Submission, sink: trio.abc.SendChannel[Chunk] | None
    ) -> JobRecord:
        """Save a new job that is looked up, and perhaps done; tell of it and return it as it is now.

        On an error or a cancel there is no job. Raises what the store raises.
        """
        await self.journal.insert(submission.record, submission.outputs)
        if sink is not None:
            self._sinks[submission.record.id] = sink
        # What it passed is told, and not kept: nobody can look in between.
        for record in submission.passed:
            self._publish(JobEvent(record))
        self.settle(submission.record, submission.outputs)
        return submission.record

    def begin(self, types: Set[str] | None = None) -> JobRecord | None:
        """Move the best job that waits, of these types (None: any), to Running and tell of it; or None.

        Not saved: after a crash a job that was running is as one that was pending.
        """
        record = self.registry.start_best(self.now(), types)
        if record is not None:
            self._publish(JobEvent(record))
        return record

    def advance(self, record: JobRecord) -> None:
        """Show the progress of a running job; told soon, and not more often than the period."""
        self.registry.put(record)
        self._stirred.add(record.id)
        self._has_news.set()

    def settle(self, record: JobRecord, saved_outputs: Iterable[str] = ()) -> None:
        """Make a change of state true and tell everybody. It is saved already, with some of its outputs."""
        self.registry.put(record)
        if record.state is JobState.PENDING:
            self.registry.enqueue(record)
        if record.state.is_completed:
            self._publish(JobEnded(record))
            self._complete(record, saved_outputs)
        else:
            self._publish(JobEvent(record))

    def forget(self, record: JobRecord) -> None:
        """Remove what a job leaves besides its record, which left the registry, and tell of it."""
        self.journal.forget(record)
        self.outputs.doom_all(record)
        self._publish(JobForgotten(record.id))

    def dismiss(self, record: JobRecord) -> None:
        """Tell of the end of a job, and forget it at once."""
        self.registry.remove(record.id)
        self._publish(JobEnded(record))
        self._tell_waiters(record.id, record)
        self.forget(record)

    def remove_outputs(self, files: Iterable[str]) -> None:
        """Remove finished outputs; their jobs stay."""
        files = tuple(files)
        self.outputs.doom(files)
        self._without_outputs(files)

    async def wait(self, job_id: str) -> JobRecord:
        """Return the record of a job once it is completed, as it was at that moment.

        A cancelled or a failed job is returned like any other. Raises InexistentItem if the job is unknown
        or is not kept in the history, DatabaseUnavailable if the engine stops before the job ends.
        """
        record = self.registry.find(job_id)
        if record is None:
            raise InexistentItem(_FORGOTTEN)
        if record.state.is_completed:
            return record
        waiter = _Waiter()
        self._waiters.setdefault(job_id, set()).add(waiter)
        try:
            await waiter.event.wait()
        finally:
            self._dismiss(job_id, waiter)
        return waiter.result()

    def abandon(self, *, except_for: Iterable[str] = ()) -> None:
        """Tell those who wait that their jobs will not end in this process."""
        for job_id in self._waiters.keys() - set(except_for):
            for waiter in self._waiters[job_id]:
                waiter.event.set()

    def sink(self, job_id: str) -> trio.abc.SendChannel[Chunk] | None:
        """Return the channel to the caller that reads the result of a job."""
        return self._sinks.get(job_id)

    async def close_sink(self, job_id: str) -> None:
        """Close the channel to the caller that reads the result, if any. Safe to repeat."""
        sink = self._sinks.pop(job_id, None)
        if sink is not None:
            await trio.aclose_forcefully(sink)

    async def run(self) -> None:
        """Tell of progress, forever: the newest state of each job that moved."""
        while True:
            await self._has_news.wait()
            self._has_news = trio.Event()
            stirred, self._stirred = self._stirred, set()
            for job_id in stirred:
                record = self.registry.find(job_id)
                # The end of a job was told by `settle`: no news may follow it.
                if record is not None and record.state is JobState.RUNNING:
                    self._publish(JobEvent(record))
            await trio.sleep(PROGRESS_PERIOD_S)

    async def run_expiry(self) -> None:
        """Remove the outputs that get too old, forever."""
        while True:
            self._without_outputs(self.outputs.expire(self.now()))
            await self.outputs.wait_expiry(self.now())

    async def run_history(self) -> None:
        """Forget the jobs that ended too long ago, as long as this server runs."""
        while (delay_s := self.registry.history.next_expiry_s(self.now())) is not None:
            await trio.sleep(delay_s)
            for record in self.registry.expire(self.now()):
                self.forget(record)

    async def close(self) -> None:
        """Let go all who wait, and leave on the disk what is to be there. Raises what the store raises."""
        self.abandon()
        for job_id in tuple(self._sinks):
            await self.close_sink(job_id)
        await self.outputs.drain()
        self.outputs.close()
        await self.journal.flush()

    def _complete(self, record: JobRecord, saved_outputs: Iterable[str]) -> None:
        if record.outputs:
            self._without_outputs(self.outputs.keep(record, saved_outputs))
        else:
            self.outputs.doom_all(record)
        self._trim()
        known = self.registry.find(record.id)
        if record.id in self._waiters:
            self._tell_waiters(record.id, known)
        if known is not None and record.is_to_vanish:
            self.forget(self.registry.remove(record.id))

    def _tell_waiters(self, job_id: str, record: JobRecord | None) -> None:
        for waiter in self._waiters.get(job_id, ()):
            waiter.tell(record)

    def _trim(self) -> None:
        for record in self.registry.trim():
            self.forget(record)

    def _without_outputs(self, files: Iterable[str]) -> None:
        """Take files that are gone off the records.

        The saved ones may go on to name them: that they are gone is seen at the next start, too.
        """
        for file in files:
            record = self.registry.get(job_of(file))
            outputs = [output for output in record.outputs if output.file != file]
            record = replace(record, outputs=tuple(outputs))
            self.registry.put(record)
            self._publish(JobEvent(record))

    def _dismiss(self, job_id: str, waiter: _Waiter) -> None:
        waiters = self._waiters[job_id]
        waiters.discard(waiter)
        if not waiters:
            del self._waiters[job_id]
