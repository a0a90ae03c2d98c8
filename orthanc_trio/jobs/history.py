"""Which ended jobs are kept: by count and by age, successes and failures together or apart. Pure.

Jobs that delete themselves count apart: a success is on its way out, and many failures, such as webhooks to a
dead receiver, must not push out what a user may look for.
"""

from datetime import datetime, timedelta

from ..model.job import JobRecord, JobState
from .options import HistoryOptions


class History:
    """The ids of the ended jobs, the earliest end first."""

    def __init__(self, options: HistoryOptions) -> None:
        succeeded: dict[str, datetime] = {}
        failed = succeeded if options.failed_size is None else dict[str, datetime]()
        self._ended = {JobState.SUCCESS: succeeded, JobState.FAILURE: failed}
        self._fleeting: dict[str, datetime] = {}
        self._shelves = [(succeeded, options.size), (self._fleeting, options.size)]
        if options.failed_size is not None:
            self._shelves.append((failed, options.failed_size))
        self._max_age = timedelta(seconds=options.max_age_s)

    @property
    def max_age_s(self) -> float:
        """How long an ended job is kept, 0 = no limit."""
        return self._max_age.total_seconds()

    def put(self, record: JobRecord) -> None:
        """Note that a job has ended, as the last one."""
        self._shelf(record)[record.id] = record.changed

    def discard(self, record: JobRecord) -> None:
        """Take off a job that had ended. Safe to repeat."""
        if record.state.is_completed:
            self._shelf(record).pop(record.id, None)

    def surplus(self) -> list[str]:
        """Return the jobs beyond the limits of count, earliest end first; they stay until discarded."""
        return [
            job_id
            for ended, size in self._shelves
            for job_id, _ in zip(ended, range(len(ended) - size), strict=False)
        ]

    def expired(self, now: datetime) -> list[str]:
        """Return the jobs that ended too long ago; they stay until discarded."""
        if not self._max_age:
            return []
        oldest = now - self._max_age
        expired = []
        for ended, _ in self._shelves:
            for job_id, time in ended.items():
                if time > oldest:
                    break
                expired.append(job_id)
        return expired

    def next_expiry_s(self, now: datetime) -> float:
        """Return the seconds until a job gets too old; no job that ends later gets so before."""
        firsts = [next(iter(ended.values())) for ended, _ in self._shelves if ended]
        return max((min(firsts, default=now) + self._max_age - now).total_seconds(), 0.0)

    def _shelf(self, record: JobRecord) -> dict[str, datetime]:
        return self._fleeting if record.auto_delete else self._ended[record.state]
