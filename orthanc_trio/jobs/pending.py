"""The jobs that wait for a slot, best first: by priority, then first in, first out."""

from heapq import heapify, heappop, heappush

from ..model.job import JobRecord

_MIN_ENTRIES_TO_COMPACT = 64


class PendingQueue:
    """A heap of jobs. One that leaves by another way than `pop` leaves its entry, which is skipped later."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, str]] = []
        self._entered: set[str] = set()
        """All that have an entry in the heap."""
        self._waiting: set[str] = set()
        """Those whose entry counts."""

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, record: JobRecord) -> None:
        """Let a job wait. Safe to repeat."""
        self._waiting.add(record.id)
        if record.id not in self._entered:
            self._entered.add(record.id)
            heappush(self._heap, (-record.priority, record.sequence, record.id))

    def discard(self, job_id: str) -> None:
        """Take a job out, if it waits."""
        self._waiting.discard(job_id)
        if len(self._heap) > _MIN_ENTRIES_TO_COMPACT + 2 * len(self._waiting):
            self._compact()

    def pop(self) -> str | None:
        """Take the best job out and return its id; None if nobody waits."""
        while self._heap:
            job_id = heappop(self._heap)[2]
            self._entered.discard(job_id)
            if job_id in self._waiting:
                self._waiting.discard(job_id)
                return job_id
        return None

    def _compact(self) -> None:
        self._heap = [entry for entry in self._heap if entry[2] in self._waiting]
        heapify(self._heap)
        self._entered = set(self._waiting)
