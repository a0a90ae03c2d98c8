"""When the jobs that wait for their retry are to be woken: one heap and one task for all of them."""

from collections.abc import Callable, Iterable
from datetime import datetime
from heapq import heapify, heappop, heappush
from typing import Final

import trio

from ..model.job import JobRecord

BATCH: Final = 100
"""So many jobs are woken before other tasks run."""


class Wakes:
    """The times of the retries. An entry of a job that left Retry meanwhile is for the waker to pass over."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._heap: list[tuple[datetime, str]] = []
        self._has_news = trio.Event()

    def add(self, record: JobRecord) -> None:
        """Wake a job in Retry at its time."""
        assert record.retry_at is not None
        heappush(self._heap, (record.retry_at, record.id))
        self._has_news.set()

    def add_all(self, records: Iterable[JobRecord]) -> None:
        """Wake many jobs."""
        self._heap.extend((record.retry_at, record.id) for record in records if record.retry_at)
        heapify(self._heap)
        self._has_news.set()

    async def run(self, wake: Callable[[list[tuple[datetime, str]]], None]) -> None:
        """Call `wake` with the times and ids of the jobs whose time has come, forever."""
        while True:
            self._has_news = trio.Event()
            with trio.move_on_after(self._delay_s()):
                await self._has_news.wait()
            due = self._take_due()
            if due:
                wake(due)

    def _delay_s(self) -> float:
        if not self._heap:
            return float("inf")
        return max((self._heap[0][0] - self._now()).total_seconds(), 0.0)

    def _take_due(self) -> list[tuple[datetime, str]]:
        now = self._now()
        due: list[tuple[datetime, str]] = []
        while self._heap and self._heap[0][0] <= now and len(due) < BATCH:
            due.append(heappop(self._heap))
        return due
