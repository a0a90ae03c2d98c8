"""The jobs in two orders, so that a long list can be read page by page without being sorted."""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable

from ..model.job import JobRecord


class Catalog:
    """The ids of all jobs, by id and by submission. Adding in order and looking cost O(log n)."""

    def __init__(self) -> None:
        self._ids: list[str] = []
        self._submissions: list[tuple[int, str]] = []

    def add(self, record: JobRecord) -> None:
        """Take in a job that is not here yet."""
        insort(self._ids, record.id)
        insort(self._submissions, (record.sequence, record.id))

    def add_all(self, records: Iterable[JobRecord]) -> None:
        """Take in many jobs at once; the catalog is empty."""
        records = tuple(records)
        self._ids = sorted(record.id for record in records)
        self._submissions = sorted((record.sequence, record.id) for record in records)

    def remove(self, record: JobRecord) -> None:
        """Take out a job that is here."""
        del self._ids[bisect_left(self._ids, record.id)]
        del self._submissions[bisect_left(self._submissions, (record.sequence, record.id))]

    def ids(self) -> list[str]:
        """Return all ids, sorted."""
        return self._ids.copy()

    def ids_after(self, job_id: str, limit: int) -> list[str]:
        """Return the next ids after `job_id`, which need not be here; "" is before all."""
        start = bisect_right(self._ids, job_id)
        return self._ids[start : start + limit]

    def submitted_after(self, sequence: int, limit: int) -> list[str]:
        """Return the next jobs submitted after number `sequence`; 0 is before all."""
        start = bisect_left(self._submissions, (sequence + 1,))
        return [job_id for _, job_id in self._submissions[start : start + limit]]

    def submitted_before(self, sequence: int | None, limit: int) -> list[str]:
        """Return the last jobs submitted before number `sequence`, newest first; None is after all."""
        end = len(self._submissions) if sequence is None else bisect_left(self._submissions, (sequence,))
        return [job_id for _, job_id in reversed(self._submissions[max(end - limit, 0) : end])]
