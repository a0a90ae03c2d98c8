"""How many jobs there are of which sort, how long they wait, how fast they end.

Source: `GET /jobs/statistics`.
"""

from collections import Counter, deque
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Final

from ..jobs.engine import JobsEngine
from ..model.event import Event, JobEnded
from ..model.job import JobState
from .job_filter import slices_of
from .pace import Pace

_WINDOW = timedelta(minutes=1)

_Sort = tuple[str, str | None, JobState]
"""Type, destination, state."""


class JobMeter:
    """Counts the ends of jobs in the last minute, also of those that the history keeps no longer.

    Subscribe `notice` to the bus, for the events that it `hears`.
    """

    hears: Final = (JobEnded,)

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._seconds: deque[tuple[datetime, Counter[JobState]]] = deque()
        """The ends of each second that had any."""
        self.ended = Counter[JobState]()
        """The ends since the start of the server, by state."""

    def notice(self, event: Event) -> None:
        """Take note of the end of a job."""
        if not isinstance(event, JobEnded):
            return
        state = event.record.state
        second = self._now().replace(microsecond=0)
        if not self._seconds or self._seconds[-1][0] != second:
            self._drop_old()
            self._seconds.append((second, Counter()))
        self._seconds[-1][1][state] += 1
        self.ended[state] += 1

    def _drop_old(self) -> None:
        begin = self._now() - _WINDOW
        while self._seconds and self._seconds[0][0] < begin:
            self._seconds.popleft()

    def last_minute(self) -> dict[JobState, int]:
        """Return how many jobs ended in the last minute, by their state."""
        self._drop_old()
        counts = sum((counter for _, counter in self._seconds), Counter[JobState]())
        return {state: counts[state] for state in (JobState.SUCCESS, JobState.FAILURE)}


async def job_statistics(jobs: JobsEngine, meter: JobMeter, now: datetime) -> dict[str, Any]:
    """Return the statistics as a JSON object; other tasks run in between if there are many jobs."""
    pace = Pace()
    sorts = Counter[_Sort]()
    oldest: datetime | None = None
    for part in slices_of(jobs):
        sorts.update([(record.kind, record.destination, record.state) for record in part])
        pending = [record.created for record in part if record.state is JobState.PENDING]
        oldest = min(pending, default=oldest) if oldest is None else min([oldest, *pending])
        await pace.give_way()
    by_state = Counter[JobState]()
    for (_, _, state), count in sorts.items():
        by_state[state] += count
    return {
        "Count": sorts.total(),
        "Destinations": _table(sorts, lambda sort: sort[1]),
        "LastMinute": {state.value: count for state, count in meter.last_minute().items()},
        "OldestPendingAge": None if oldest is None else round(max((now - oldest).total_seconds(), 0.0), 3),
        "States": {state.value: by_state[state] for state in JobState},
        "Types": _table(sorts, lambda sort: sort[0]),
    }


def _table(sorts: Counter[_Sort], name_of: Callable[[_Sort], str | None]) -> dict[str, dict[str, int]]:
    """Return the numbers of jobs by name and state; those without a name are left out."""
    table: dict[str, Counter[str]] = {}
    for sort, count in sorts.items():
        name = name_of(sort)
        if name is not None:
            table.setdefault(name, Counter())[sort[2].value] += count
    return {name: dict(sorted(table[name].items())) for name in sorted(table)}
