"""All jobs of this server in memory. It decides and never waits: pure, synchronous, without a clock.

The engine carries out what is decided here: a record that `put`, `start_best` or `trim` returns has still to
be saved and told.
"""

from bisect import bisect_left, insort
from collections.abc import Iterable
from datetime import datetime

from msgspec.structs import replace

from ..model.errors import InexistentItem
from ..model.job import JobRecord, JobState
from .pending import PendingQueue
from .states import Move, moved


class JobsRegistry:
    """The records by id, the queue of those that wait, and the history of those that ended."""

    def __init__(self, *, history_size: int) -> None:
        self._history_size = history_size
        self._records: dict[str, JobRecord] = {}
        self._sorted_ids: list[str] = []
        self._queue = PendingQueue()
        self._completed: dict[str, None] = {}
        """Ids in the order of completion."""
        self._counts = dict.fromkeys(JobState, 0)
        self._next_sequence = 1

    def take_sequence(self) -> int:
        """Return a number above those of all jobs that were ever here."""
        self._next_sequence += 1
        return self._next_sequence - 1

    def find(self, job_id: str) -> JobRecord | None:
        """Return a job, or None."""
        return self._records.get(job_id)

    def get(self, job_id: str) -> JobRecord:
        """Return a job. Raises InexistentItem."""
        record = self._records.get(job_id)
        if record is None:
            raise InexistentItem(f"No job found with this id: {job_id}")
        return record

    def records(self) -> list[JobRecord]:
        """Return all jobs, sorted by id."""
        return list(map(self._records.__getitem__, self._sorted_ids))

    def count(self, state: JobState) -> int:
        """Return the number of jobs in a state, without looking at each."""
        return self._counts[state]

    def put(self, record: JobRecord) -> None:
        """Insert or replace a job. One that is not pending leaves the queue; `enqueue` is apart."""
        old = self._records.get(record.id)
        if old is None:
            insort(self._sorted_ids, record.id)
        self._place(old, record)

    def enqueue(self, record: JobRecord) -> None:
        """Let a pending job wait for a slot. Safe to repeat."""
        self._queue.add(record)

    def hold(self, job_id: str) -> None:
        """Keep a job from being started while something else is decided about it."""
        self._queue.discard(job_id)

    def start_best(self, now: datetime) -> JobRecord | None:
        """Move the best job that waits to Running and return it; None if nobody waits."""
        job_id = self._queue.pop()
        if job_id is None:
            return None
        record = moved(self._records[job_id], Move.START, now)
        self.put(record)
        return record

    def remove(self, job_id: str) -> JobRecord:
        """Forget a job and return what it was."""
        record = self._records.pop(job_id)
        del self._sorted_ids[bisect_left(self._sorted_ids, job_id)]
        self._counts[record.state] -= 1
        self._completed.pop(job_id, None)
        self._queue.discard(job_id)
        return record

    def trim(self) -> list[JobRecord]:
        """Forget the jobs beyond the limit of the history, oldest completion first, and return them."""
        surplus = max(len(self._completed) - self._history_size, 0)
        return [self.remove(next(iter(self._completed))) for _ in range(surplus)]

    def restore(self, records: Iterable[JobRecord], now: datetime) -> None:
        """Fill the empty registry with what an earlier process saved.

        What was pending, running or waiting for a retry is pending; what it ran since its last saved
        boundary does not count.
        """
        assert not self._records
        for saved in sorted(records, key=lambda record: record.changed):
            record = moved(replace(saved, running_since=None), Move.INTERRUPT, now)
            self._place(self._records.get(record.id), record)
            self._next_sequence = max(self._next_sequence, record.sequence + 1)
            if record.state is JobState.PENDING:
                self._queue.add(record)
        self._sorted_ids = sorted(self._records)

    def _place(self, old: JobRecord | None, record: JobRecord) -> None:
        self._records[record.id] = record
        if old is not None and old.state is record.state:
            return
        if old is not None:
            self._counts[old.state] -= 1
        self._counts[record.state] += 1
        if record.state is not JobState.PENDING:
            self._queue.discard(record.id)
        if record.state.is_completed:
            self._completed[record.id] = None
        else:
            self._completed.pop(record.id, None)
