"""Which ended jobs are kept: by count and by age, successes and failures together or apart. Pure.

Jobs that delete themselves count apart: many failures, such as webhooks to a dead receiver, must not push out
what a user may look for. Their successes do not count, since they are on their way out.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import islice

from ..model.job import JobRecord, JobState
from .options import HistoryOptions


class _Shelf:
    """Ended jobs that share their limits; `max_age_s` 0 is none."""

    def __init__(self, size: int, max_age_s: float) -> None:
        self.ended: dict[str, datetime] = {}
        """The ids with the times of their ends, the earliest first."""
        self.size = size
        self._max_age = timedelta(seconds=max_age_s)

    def expired(self, now: datetime) -> Iterator[str]:
        for job_id, time in self.ended.items():
            if not self._max_age or time > now - self._max_age:
                return
            yield job_id

    def next_expiry_s(self, now: datetime) -> float | None:
        """Return the seconds until a job gets too old, of those that are here or come; None if never."""
        if not self._max_age:
            return None
        first = next(iter(self.ended.values()), now)
        return max((first + self._max_age - now).total_seconds(), 0.0)


class History:
    """The ids of the ended jobs."""

    def __init__(self, options: HistoryOptions) -> None:
        size, max_age_s = options.size, options.max_age_s
        failed_max_age_s = max_age_s if options.failed_max_age_s is None else options.failed_max_age_s
        succeeded = failed = _Shelf(size, max_age_s)
        if options.failed_size is not None or options.failed_max_age_s is not None:
            failed = _Shelf(size if options.failed_size is None else options.failed_size, failed_max_age_s)
        self._shelf_of = {
            (JobState.SUCCESS, False): succeeded,
            (JobState.FAILURE, False): failed,
            (JobState.FAILURE, True): _Shelf(size, failed_max_age_s),
        }
        """By state, and whether the job deletes itself. A job that has not ended or is to vanish has none."""
        self._shelves = tuple(dict.fromkeys(self._shelf_of.values()))

    def put(self, record: JobRecord) -> None:
        """Note that a job has ended, as the last one. Any other is passed over."""
        shelf = self._shelf_of.get((record.state, record.auto_delete))
        if shelf is not None:
            shelf.ended[record.id] = record.changed

    def discard(self, record: JobRecord) -> None:
        """Take off a job that had ended. Safe to repeat."""
        shelf = self._shelf_of.get((record.state, record.auto_delete))
        if shelf is not None:
            shelf.ended.pop(record.id, None)

    def surplus(self) -> list[str]:
        """Return the jobs beyond the limits of count; they stay until discarded."""
        surplus: list[str] = []
        for shelf in self._shelves:
            if len(shelf.ended) > shelf.size:
                surplus.extend(islice(shelf.ended, len(shelf.ended) - shelf.size))
        return surplus

    def expired(self, now: datetime) -> list[str]:
        """Return the jobs that ended too long ago; they stay until discarded."""
        return [job_id for shelf in self._shelves for job_id in shelf.expired(now)]

    def next_expiry_s(self, now: datetime) -> float | None:
        """Return the seconds until a job gets too old, perhaps one that ends meanwhile; None if never."""
        expiries = [shelf.next_expiry_s(now) for shelf in self._shelves]
        return min((expiry for expiry in expiries if expiry is not None), default=None)
