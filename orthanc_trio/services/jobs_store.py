"""The saved jobs, in the index: one row per job, its plan in a row of its own. New ones are logged first."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

from outcome import Outcome

from ..index.index import Index
from ..index.transaction import Transaction
from ..jobs.submission_log import Entry, NewJob, OutputNews, SubmissionLog

T = TypeVar("T")

_HOLDS: Final = "jobs.holds"
_LOGGED: Final = "jobs.logged"
"""The property with the number of the last entry of the log that is in the index."""


class IndexJobsStore:
    """Implements `jobs.journal.JobsStore` over the index; each call returns when its effect is durable.

    New jobs get into the index by way of the log, in the commit of the next `save`.
    """

    def __init__(self, index: Index, log: SubmissionLog | None = None) -> None:
        self._index = index
        self._log = log

    async def save(
        self, records: Mapping[str, bytes], removed: Sequence[str], output_news: OutputNews
    ) -> None:
        """Insert or replace `records` by id, drop `removed` with their plans, and enter the news."""
        logged = () if self._log is None else self._log.waiting()

        def write(tx: Transaction) -> None:
            # First: what is saved here may be newer.
            _enter_logged(tx, logged)
            tx.save_jobs(records, removed)
            _enter_news(tx, output_news)

        await self._index.write(write)
        if self._log is not None and logged:
            self._log.note_entered(logged[-1].number)

    async def insert(self, job: NewJob) -> None:
        """Save a new job, in the log if that has room."""
        if self._log is not None and self._log.append(job):
            await self._log.sync()
        else:
            await self._index.write(lambda tx: _enter(tx, job))

    async def load_output(self, file: str) -> bytes | None:
        """Return a saved output."""
        if self._log is not None and (data := self._log.output(file)) is not None:
            return data
        return await self._index.read(lambda tx: tx.load_output(file))

    async def output_uses(self) -> dict[str, float | None]:
        """Return when each saved output was used last, in seconds since 1970; None if never."""
        return await self._index.read(lambda tx: tx.output_uses())

    def look_at_once(self, function: Callable[[Any], T]) -> Outcome[T] | None:
        """Run a function of a view in the event loop; None if that takes too long."""
        return self._index.read_at_once(function)

    async def look(self, function: Callable[[Any], T]) -> T:
        """Run a function of a read transaction."""
        return await self._index.read(function)

    async def load(self, read: Callable[[bytes], T]) -> list[T]:
        """Return what `read` makes of each saved record, in no order, in a thread of the index."""
        if self._log is not None:
            self._log.begin(int(await self._index.read(lambda tx: tx.get_property(_LOGGED)) or 0))
            await self.save({}, (), {})
        return await self._index.read(lambda tx: tx.load_jobs(read))

    async def save_plan(self, job_id: str, plan: bytes | None) -> None:
        """Save or (None) drop the plan of a job."""
        await self._index.write(lambda tx: tx.save_plan(job_id, plan))

    async def load_plan(self, job_id: str) -> bytes | None:
        """Return the saved plan of a job."""
        return await self._index.read(lambda tx: tx.load_plan(job_id))

    async def save_holds(self, holds: bytes) -> None:
        """Save which jobs are kept from running."""
        await self._index.write(lambda tx: tx.set_property(_HOLDS, holds.decode()))

    async def load_holds(self) -> bytes | None:
        """Return what `save_holds` was given last."""
        holds = await self._index.read(lambda tx: tx.get_property(_HOLDS))
        return None if holds is None else holds.encode()


def _enter_logged(tx: Transaction, entries: Sequence[Entry]) -> None:
    """Enter what another save has not entered meanwhile."""
    if not entries:
        return
    entered = int(tx.get_property(_LOGGED) or 0)
    for entry in entries:
        if entry.number > entered:
            _enter(tx, entry.job)
    tx.set_property(_LOGGED, str(max(entered, entries[-1].number)))


def _enter(tx: Transaction, job: NewJob) -> None:
    _enter_news(tx, job.news)  # first, so that their room is used again
    tx.save_jobs({job.id: job.record})
    for file, data in job.outputs.items():
        tx.save_output(file, data)


def _enter_news(tx: Transaction, news: OutputNews) -> None:
    for file, used_s in news.items():
        if used_s is None:
            tx.save_output(file, None)
        else:
            tx.note_output_use(file, used_s)
