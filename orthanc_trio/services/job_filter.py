"""Which jobs a request means, and in which order they are listed. It decides and never waits.

Only the scans at the end wait: they do a long list in turns with all other tasks.
"""

from collections.abc import Callable, Iterator
from datetime import datetime
from heapq import merge
from itertools import islice
from typing import Any

from msgspec import Struct

from ..jobs.engine import JobsEngine
from ..model.job import JobRecord, JobState
from .pace import Pace

SortKey = tuple[int | str, ...]
"""What a list is sorted by: unique for each job, made of what JSON can say."""

_SLICE = 256
_RUN = 2048


class JobFilter(Struct, frozen=True, kw_only=True):
    """Conditions that a job must fulfil, all of them; None is no condition."""

    states: frozenset[JobState] | None = None
    kinds: frozenset[str] | None = None
    destination: str | None = None
    resource: str | None = None
    """An identifier of one of the resources that the job works on."""
    since: datetime | None = None
    """The earliest time of creation, included."""
    until: datetime | None = None
    """The latest time of creation, excluded."""

    def matches(self, record: JobRecord) -> bool:
        """Return whether a job fulfils all conditions."""
        return (
            (self.states is None or record.state in self.states)
            and (self.kinds is None or record.kind in self.kinds)
            and (self.destination is None or record.destination == self.destination)
            and (self.resource is None or self.resource in record.resources)
            and (self.since is None or record.created >= self.since)
            and (self.until is None or record.created < self.until)
        )


EVERYTHING = JobFilter()


def _microseconds(time: datetime) -> int:
    return round(time.timestamp() * 1_000_000)


ORDERS: dict[str, Callable[[JobRecord], SortKey]] = {
    "id": lambda record: (record.id,),
    "created": lambda record: (record.sequence,),
    "changed": lambda record: (_microseconds(record.changed), record.sequence),
    # Of equal priorities the first to come is the first to run, so `-priority` is the order of the queue.
    "priority": lambda record: (record.priority, -record.sequence),
}
KEY_TYPES: dict[str, tuple[type, ...]] = {
    "id": (str,),
    "created": (int,),
    "changed": (int, int),
    "priority": (int, int),
}


class JobOrder(Struct, frozen=True, kw_only=True):
    """The order of a list, and the part of it that is asked for."""

    name: str = "id"
    is_descending: bool = False
    after: SortKey | None = None
    """The last job of the part before, None at the begin."""
    limit: int | None = None

    def key(self, record: JobRecord) -> SortKey:
        """Return what a job is sorted by."""
        return ORDERS[self.name](record)

    def is_after(self, record: JobRecord) -> bool:
        """Return whether a job is beyond the part before."""
        return self.after is None or self._follows(record, self.after)

    def beyond(self, last: JobRecord) -> Callable[[JobRecord], bool]:
        """Return what tells whether a job comes after `last`."""
        key = self.key(last)
        return lambda record: self._follows(record, key)

    def _follows(self, record: JobRecord, key: SortKey) -> bool:
        return self.key(record) < key if self.is_descending else self.key(record) > key


class JobPage(Struct, frozen=True):
    """A part of a list; `last` is where the next one begins, None at the end."""

    records: list[JobRecord]
    last: SortKey | None


def slices_of(jobs: JobsEngine, size: int = _SLICE) -> Iterator[list[JobRecord]]:
    """Yield all jobs in parts, sorted by id. Jobs may come and go in between."""
    last = ""
    while part := jobs.page(size, after=last):
        yield part
        last = part[-1].id


async def matching(jobs: JobsEngine, wanted: JobFilter) -> list[JobRecord]:
    """Return the jobs that fulfil a filter, sorted by id."""
    return (await _walked(jobs, wanted, JobOrder())).records


async def page_of(jobs: JobsEngine, wanted: JobFilter, order: JobOrder) -> JobPage:
    """Return a part of the sorted list of the jobs that fulfil a filter."""
    if (order.name, order.is_descending) in _WALKS:
        return await _walked(jobs, wanted, order)
    if order.limit is not None and order.limit <= _RUN:
        return await _selected(jobs, wanted, order, order.limit)
    return _cut(await _sorted(jobs, wanted, order), order)


def _walk_ids(jobs: JobsEngine, after: Any) -> list[JobRecord]:
    return jobs.page(_SLICE, after=after[0] if after else "")


def _walk_up(jobs: JobsEngine, after: Any) -> list[JobRecord]:
    return jobs.page_by_submission(_SLICE, after=after[0] if after else 0)


def _walk_down(jobs: JobsEngine, after: Any) -> list[JobRecord]:
    return jobs.page_newest_first(_SLICE, before=after[0] if after else None)


_WALKS = {("id", False): _walk_ids, ("created", False): _walk_up, ("created", True): _walk_down}
"""The orders in which the engine keeps the jobs: a part is found without a look at the others."""


async def _walked(jobs: JobsEngine, wanted: JobFilter, order: JobOrder) -> JobPage:
    pace = Pace()
    walk = _WALKS[order.name, order.is_descending]
    is_everything = wanted == EVERYTHING
    found: list[JobRecord] = []
    last = order.after
    while part := walk(jobs, last):
        found.extend(part if is_everything else [record for record in part if wanted.matches(record)])
        if order.limit is not None and len(found) > order.limit:
            break
        last = order.key(part[-1])
        await pace.give_way()
    return _cut(found, order)


async def _selected(jobs: JobsEngine, wanted: JobFilter, order: JobOrder, limit: int) -> JobPage:
    """Keep the first of those that were seen, so that memory and collector see no long list."""
    pace = Pace()
    best: list[JobRecord] = []
    is_beyond: Callable[[JobRecord], bool] = lambda _: False  # noqa: E731 - replaced once there are enough
    for part in slices_of(jobs):
        best.extend(
            [one for one in part if wanted.matches(one) and order.is_after(one) and not is_beyond(one)]
        )
        if len(best) > 2 * limit + _SLICE:
            best.sort(key=order.key, reverse=order.is_descending)
            del best[limit + 1 :]
            is_beyond = order.beyond(best[-1])
        await pace.give_way()
    best.sort(key=order.key, reverse=order.is_descending)
    return _cut(best, order)


def _cut(records: list[JobRecord], order: JobOrder) -> JobPage:
    if order.limit is None or len(records) <= order.limit:
        return JobPage(records, None)
    page = records[: order.limit]
    return JobPage(page, order.key(page[-1]))


async def _sorted(jobs: JobsEngine, wanted: JobFilter, order: JobOrder) -> list[JobRecord]:
    """Sort parts and merge them, so that no sort takes long."""
    pace = Pace()
    runs: list[list[JobRecord]] = []
    for part in slices_of(jobs, _RUN):
        run = [record for record in part if wanted.matches(record) and order.is_after(record)]
        runs.append(sorted(run, key=order.key, reverse=order.is_descending))
        await pace.give_way()
    merged = merge(*runs, key=order.key, reverse=order.is_descending)
    found: list[JobRecord] = []
    while part := list(islice(merged, _SLICE)):
        found.extend(part)
        await pace.give_way()
    return found
