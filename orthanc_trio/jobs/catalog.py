"""The jobs in two orders, so that a long list can be read page by page without being sorted."""

from array import array
from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from operator import attrgetter
from typing import Final

from ..model.job import JobRecord

_PREFIX_LENGTH: Final = 2


class Catalog:
    """The ids of all jobs, by id and by submission. Adding in the order of submission moves few others."""

    def __init__(self) -> None:
        self._prefixes: list[str] = []
        """With which the ids begin that were ever here, sorted."""
        self._alike: dict[str, list[str]] = {}
        """The ids by prefix, sorted. They are random: one that comes or goes moves 1 of 256 others."""
        self._sequences = array("q")
        """Ascending. A number in an array takes a tenth of one in a tuple."""
        self._by_sequence: list[str] = []
        """The ids of the jobs with these sequences."""

    def add(self, record: JobRecord) -> None:
        """Take in a job that is not here yet."""
        prefix = record.id[:_PREFIX_LENGTH]
        alike = self._alike.get(prefix)
        if alike is None:
            alike = self._alike[prefix] = []
            insort(self._prefixes, prefix)
        insort(alike, record.id)
        place = bisect_left(self._sequences, record.sequence)
        self._sequences.insert(place, record.sequence)
        self._by_sequence.insert(place, record.id)

    def add_all(self, records: Iterable[JobRecord]) -> None:
        """Take in many jobs at once, in any order."""
        for record in sorted(records, key=attrgetter("sequence")):
            self.add(record)

    def remove(self, record: JobRecord) -> None:
        """Take out a job that is here."""
        alike = self._alike[record.id[:_PREFIX_LENGTH]]
        del alike[bisect_left(alike, record.id)]
        place = self._by_sequence.index(record.id, bisect_left(self._sequences, record.sequence))
        del self._sequences[place], self._by_sequence[place]

    def ids(self) -> list[str]:
        """Return all ids, sorted."""
        return list(chain.from_iterable(self._drawers(0)))

    def ids_after(self, job_id: str, limit: int) -> list[str]:
        """Return the next ids after `job_id`, which need not be here; "" is before all."""
        drawers = self._drawers(bisect_left(self._prefixes, job_id[:_PREFIX_LENGTH]))
        first = next(drawers, [])
        start = bisect_right(first, job_id)
        return list(islice(chain(first[start : start + limit], chain.from_iterable(drawers)), limit))

    def submitted_after(self, sequence: int, limit: int) -> list[str]:
        """Return the next jobs submitted after number `sequence`; 0 is before all."""
        start = bisect_right(self._sequences, sequence)
        return self._by_sequence[start : start + limit]

    def submitted_before(self, sequence: int | None, limit: int) -> list[str]:
        """Return the last jobs submitted before number `sequence`, newest first; None is after all."""
        end = len(self._sequences) if sequence is None else bisect_left(self._sequences, sequence)
        return self._by_sequence[max(end - limit, 0) : end][::-1]

    def _drawers(self, first: int) -> Iterator[list[str]]:
        """Yield the ids by prefix, from number `first` of the prefixes."""
        return map(self._alike.__getitem__, self._prefixes[first:])
