"""The jobs in two orders, so that a long list can be read page by page without being sorted."""

from array import array
from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable

from ..model.job import JobRecord


class Catalog:
    """The ids of all jobs, by id and by submission. Adding in order and looking cost O(log n)."""

    def __init__(self) -> None:
        self._ids: list[str] = []
        self._sequences = array("q")
        """Ascending. A number in an array takes a tenth of one in a tuple."""
        self._by_sequence: list[str] = []
        """The ids of the jobs with these sequences."""

    def add(self, record: JobRecord) -> None:
        """Take in a job that is not here yet."""
        insort(self._ids, record.id)
        place = bisect_left(self._sequences, record.sequence)
        self._sequences.insert(place, record.sequence)
        self._by_sequence.insert(place, record.id)

    def add_all(self, records: Iterable[JobRecord]) -> None:
        """Take in many jobs at once; the catalog is empty."""
        records = sorted(records, key=lambda record: record.sequence)
        self._sequences.extend(record.sequence for record in records)
        self._by_sequence.extend(record.id for record in records)
        self._ids = sorted(self._by_sequence)

    def remove(self, record: JobRecord) -> None:
        """Take out a job that is here."""
        del self._ids[bisect_left(self._ids, record.id)]
        place = self._by_sequence.index(record.id, bisect_left(self._sequences, record.sequence))
        del self._sequences[place], self._by_sequence[place]

    def ids(self) -> list[str]:
        """Return all ids, sorted."""
        return self._ids.copy()

    def ids_after(self, job_id: str, limit: int) -> list[str]:
        """Return the next ids after `job_id`, which need not be here; "" is before all."""
        start = bisect_right(self._ids, job_id)
        return self._ids[start : start + limit]

    def submitted_after(self, sequence: int, limit: int) -> list[str]:
        """Return the next jobs submitted after number `sequence`; 0 is before all."""
        start = bisect_right(self._sequences, sequence)
        return self._by_sequence[start : start + limit]

    def submitted_before(self, sequence: int | None, limit: int) -> list[str]:
        """Return the last jobs submitted before number `sequence`, newest first; None is after all."""
        end = len(self._sequences) if sequence is None else bisect_left(self._sequences, sequence)
        return self._by_sequence[max(end - limit, 0) : end][::-1]
