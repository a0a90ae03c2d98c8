"""The jobs that wait for a slot, best first: by priority, then first in, first out.

Rules:
1. A job waits in the lane of its type and destination. Among the lanes that are open the best job wins.
2. A lane is closed while its type or its destination is full or held; its jobs keep nobody else waiting.
3. A decision costs O(log n) for each type. The types are few; destinations and jobs may be many.
"""

from collections.abc import Mapping, Set
from heapq import heapify, heappop, heappush

from ..model.job import JobRecord
from .options import Holds, Limits

Rank = tuple[int, int, str]
"""Priority, order of submission and id of a job; the smallest is the best."""

_MIN_ENTRIES_TO_COMPACT = 64


class _Lane:
    """The jobs of one type to one destination. An entry whose job does not wait any more is skipped."""

    __slots__ = ("destination", "entries", "kind", "offers")

    def __init__(self, kind: str, destination: str | None) -> None:
        self.kind = kind
        self.destination = destination
        self.entries: list[Rank] = []
        self.offers: list[Rank] = []
        """With which this lane stands among the offers of its type, each better than the one before it.

        One that is not the best of the lane is stale. A stale one that is too good does no harm: when its
        turn comes it is replaced.
        """


class _Gate:
    """How many jobs of each name run, how many may, and which names are held."""

    def __init__(self, limits: Mapping[str, int]) -> None:
        self._limits = limits
        self._default = limits.get("*")
        self._running: dict[str, int] = {}
        self.held: frozenset[str] = frozenset()

    def is_open(self, name: str) -> bool:
        limit = self._limits.get(name, self._default)
        return name not in self.held and (limit is None or self._running.get(name, 0) < limit)

    def enter(self, name: str) -> None:
        self._running[name] = self._running.get(name, 0) + 1

    def leave(self, name: str) -> None:
        others = self._running.pop(name) - 1
        if others:
            self._running[name] = others


class PendingQueue:
    """The lanes. A job that leaves by another way than `pop` leaves its entry, which is skipped later."""

    def __init__(self, limits: Limits | None = None) -> None:
        limits = limits or Limits()
        self._types = _Gate(limits.types)
        self._destinations = _Gate(limits.destinations)
        self._lanes: dict[tuple[str, str | None], _Lane] = {}
        self._offers: dict[str, list[tuple[Rank, _Lane]]] = {}
        """By type the lanes with their best jobs, but for those that are parked."""
        self._parked: dict[str, set[_Lane]] = {}
        """By destination the lanes that were found closed by it."""
        self.waiting: set[str] = set()
        """The ids of the jobs that wait; for others to look at."""
        self._left: set[str] = set()
        """Those that wait no longer and still have an entry in a lane."""

    def __len__(self) -> int:
        return len(self.waiting)

    def add(self, record: JobRecord) -> None:
        """Let a job wait. Safe to repeat."""
        if record.id in self.waiting:
            return
        self.waiting.add(record.id)
        key = (record.kind, record.destination)
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = _Lane(*key)
        if record.id in self._left:
            self._left.remove(record.id)
        else:
            heappush(lane.entries, (-record.priority, record.sequence, record.id))
        self._offer(lane)

    def discard(self, job_id: str) -> None:
        """Take a job out, if it waits."""
        if job_id in self.waiting:
            self.waiting.remove(job_id)
            self._left.add(job_id)
            if len(self._left) > _MIN_ENTRIES_TO_COMPACT + len(self.waiting):
                self._compact()

    def pop(self, types: Set[str] | None = None) -> str | None:
        """Take the best job out that may run now, and return its id; None if there is none.

        `types` None: of any type.
        """
        kinds = self._offers if types is None else types & self._offers.keys()
        heads = [self._head(kind) for kind in kinds if self._types.is_open(kind)]
        best = min((head for head in heads if head is not None), default=None, key=lambda head: head[0])
        if best is None:
            return None
        rank, lane = best
        heappop(lane.entries)
        self.waiting.remove(rank[2])
        self._withdraw(lane)
        self._offer(lane)
        return rank[2]

    def is_open(self, record: JobRecord) -> bool:
        """Whether a job may run beside those that run."""
        destination = record.destination
        has_way = destination is None or self._destinations.is_open(destination)
        return has_way and self._types.is_open(record.kind)

    def enter(self, record: JobRecord) -> None:
        """Note that a job runs."""
        self._types.enter(record.kind)
        if record.destination is not None:
            self._destinations.enter(record.destination)

    def leave(self, record: JobRecord) -> None:
        """Note that a job does not run any more."""
        self._types.leave(record.kind)
        if record.destination is not None:
            self._destinations.leave(record.destination)
            self._unpark(record.destination)

    def hold(self, holds: Holds) -> None:
        """Keep the jobs of these types and destinations from running, and no others."""
        self._types.held = frozenset(holds.types)
        self._destinations.held = frozenset(holds.destinations)
        for destination in tuple(self._parked):
            self._unpark(destination)

    def _head(self, kind: str) -> tuple[Rank, _Lane] | None:
        """Return the best offer of a type; on the way, stale ones are dropped and closed lanes parked."""
        offers = self._offers[kind]
        while offers:
            rank, lane = offers[0]
            if rank != self._best_of(lane):
                self._withdraw(lane)
                self._offer(lane)
            elif lane.destination is not None and not self._destinations.is_open(lane.destination):
                self._withdraw(lane)
                self._parked.setdefault(lane.destination, set()).add(lane)
            else:
                return rank, lane
        return None

    def _withdraw(self, lane: _Lane) -> None:
        """Take back the first offer of a type, which is that of `lane`."""
        heappop(self._offers[lane.kind])
        lane.offers.pop()

    def _offer(self, lane: _Lane) -> None:
        best = self._best_of(lane)
        if best is None:
            if not lane.offers:
                self._lanes.pop((lane.kind, lane.destination), None)
        elif self._is_news(lane, best):
            lane.offers.append(best)
            heappush(self._offers.setdefault(lane.kind, []), (best, lane))

    def _is_news(self, lane: _Lane, best: Rank) -> bool:
        is_better = not lane.offers or best < lane.offers[-1]
        is_parked = lane.destination is not None and lane in self._parked.get(lane.destination, ())
        return is_better and not is_parked

    def _best_of(self, lane: _Lane) -> Rank | None:
        while lane.entries:
            best = lane.entries[0]
            if best[2] in self.waiting:
                return best
            heappop(lane.entries)
            self._left.discard(best[2])
        return None

    def _unpark(self, destination: str) -> None:
        if destination in self._parked and self._destinations.is_open(destination):
            for lane in self._parked.pop(destination):
                self._offer(lane)

    def _compact(self) -> None:
        lanes = tuple(self._lanes.values())
        self._lanes, self._offers, self._parked = {}, {}, {}
        self._left = set()
        for lane in lanes:
            lane.entries = [entry for entry in lane.entries if entry[2] in self.waiting]
            lane.offers = []
            heapify(lane.entries)
            if lane.entries:
                self._lanes[lane.kind, lane.destination] = lane
                self._offer(lane)
