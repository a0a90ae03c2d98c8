"""All jobs of this server in memory. It decides and never waits: pure, synchronous, without a clock.

The engine carries out what is decided here: a record that `put`, `start_best`, `trim` or `expire` returns has
still to be saved and told.
"""

from collections.abc import Iterable, Set
from datetime import datetime

from msgspec.structs import replace

from ..model.errors import DuplicateResource, InexistentItem
from ..model.job import JobRecord, JobState
from .catalog import Catalog
from .history import History
from .options import HistoryOptions, Holds, Limits
from .pending import PendingQueue
from .states import Move, moved


class JobsRegistry:
    """The records by id, the queue of those that wait, and the history of those that ended."""

    def __init__(self, history: HistoryOptions, limits: Limits | None = None) -> None:
        self.history = History(history)
        self.catalog = Catalog()
        self.holds = Holds()
        self._records: dict[str, JobRecord] = {}
        self._queue = PendingQueue(limits)
        self.waiting: Set[str] = self._queue.waiting
        """The ids of the jobs that wait for a slot."""
        self._keys: dict[str, str] = {}
        """Unique keys, and the ids of their jobs."""
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

    def find_twin(self, unique_key: str, request_digest: str) -> JobRecord | None:
        """Return the job that was submitted with this key, or None.

        Raises DuplicateResource if its request was another one.
        """
        job_id = self._keys.get(unique_key)
        if job_id is None:
            return None
        record = self._records[job_id]
        if record.request_digest != request_digest:
            raise DuplicateResource(f"Another request had the same unique key, see job {job_id}")
        return record

    def records(self) -> list[JobRecord]:
        """Return all jobs, sorted by id."""
        return self.pick(self.catalog.ids())

    def pick(self, job_ids: Iterable[str]) -> list[JobRecord]:
        """Return the jobs with these ids, which are all here."""
        return list(map(self._records.__getitem__, job_ids))

    def count(self, state: JobState) -> int:
        """Return the number of jobs in a state, without looking at each."""
        return self._counts[state]

    def put(self, record: JobRecord) -> None:
        """Insert or replace a job. One that is not pending leaves the queue; `enqueue` is apart."""
        old = self._records.get(record.id)
        if old is None:
            self.catalog.add(record)
        self._place(old, record)

    def enqueue(self, record: JobRecord) -> None:
        """Let a pending job wait for a slot. Safe to repeat."""
        self._queue.add(record)

    def hold(self, job_id: str) -> None:
        """Keep a job from being started while something else is decided about it."""
        self._queue.discard(job_id)

    def hold_lanes(self, holds: Holds) -> None:
        """Keep the jobs of these types and destinations from being started, and no others."""
        self.holds = holds
        self._queue.hold(holds)

    def start_best(self, now: datetime, types: Set[str] | None = None) -> JobRecord | None:
        """Move the best job of these types (None: any) that may run to Running; None if there is none."""
        job_id = self._queue.pop(types)
        if job_id is None:
            return None
        record = moved(self._records[job_id], Move.START, now)
        self.put(record)
        return record

    def has_room(self, record: JobRecord) -> bool:
        """Whether type and destination of a new job have room for it.

        Then there is none that waits and has a better right, as long as there are free slots.
        """
        return self._queue.is_open(record)

    def reserve(self, record: JobRecord) -> None:
        """Count a new job as one that runs."""
        self._queue.enter(record)

    def release(self, record: JobRecord) -> None:
        """Take back a reservation."""
        self._queue.leave(record)

    def remove(self, job_id: str) -> JobRecord:
        """Forget a job and return what it was."""
        record = self._records.pop(job_id)
        self.catalog.remove(record)
        self._counts[record.state] -= 1
        self.history.discard(record)
        self._queue.discard(job_id)
        if record.unique_key is not None and self._keys.get(record.unique_key) == job_id:
            del self._keys[record.unique_key]
        return record

    def trim(self) -> list[JobRecord]:
        """Forget the jobs beyond the limits of the history, earliest end first, and return them."""
        return list(map(self.remove, self.history.surplus()))

    def expire(self, now: datetime) -> list[JobRecord]:
        """Forget the jobs that ended too long ago, and return them."""
        return [self.remove(job_id) for job_id in self.history.expired(now)]

    def restore(self, records: Iterable[JobRecord], now: datetime) -> list[JobRecord]:
        """Fill the empty registry with what an earlier process saved; return what waits for its retry.

        What was pending or running is pending, also if the time of its retry has come; what it ran since its
        last saved boundary does not count.
        """
        assert not self._records
        delayed = []
        for saved in sorted(records, key=lambda record: record.changed):
            record = saved if saved.running_since is None else replace(saved, running_since=None)
            record = moved(record, Move.INTERRUPT, now)
            if record.retry_at is not None and record.retry_at <= now:
                record = moved(record, Move.WAKE, now)
            self._place(self._records.get(record.id), record)
            self._next_sequence = max(self._next_sequence, record.sequence + 1)
            if record.state is JobState.PENDING:
                self._queue.add(record)
            elif record.state is JobState.RETRY:
                delayed.append(record)
        self.catalog.add_all(self._records.values())
        return delayed

    def _place(self, old: JobRecord | None, record: JobRecord) -> None:
        self._records[record.id] = record
        if old is None:
            if record.unique_key is not None:
                self._keys[record.unique_key] = record.id
        elif old.state is record.state:
            return
        else:
            self._leave(old)
        self._counts[record.state] += 1
        if record.state is JobState.RUNNING:
            self._queue.enter(record)
        elif record.state.is_completed:
            self.history.put(record)

    def _leave(self, record: JobRecord) -> None:
        """Undo what was noted when a job was placed in its state."""
        self._counts[record.state] -= 1
        if record.state is JobState.PENDING:
            self._queue.discard(record.id)
        elif record.state is JobState.RUNNING:
            self._queue.leave(record)
        elif record.state.is_completed:
            self.history.discard(record)
