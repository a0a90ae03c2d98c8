"""The saved jobs, in the index: one row per job, its plan in a row of its own."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

from ..index.index import Index
from ..index.transaction import Transaction
from ..jobs.journal import NewJob, OutputNews

T = TypeVar("T")

_HOLDS: Final = "jobs.holds"


class IndexJobsStore:
    """Implements `jobs.journal.JobsStore` over the index; each call returns when its effect is durable."""

    def __init__(self, index: Index) -> None:
        self._index = index

    async def save(
        self, records: Mapping[str, bytes], removed: Sequence[str], output_news: OutputNews
    ) -> None:
        """Insert or replace `records` by id, drop `removed` with their plans, and enter the news."""

        def write(tx: Transaction) -> None:
            tx.save_jobs(records, removed)
            _enter(tx, output_news)

        await self._index.write(write)

    async def insert(self, job_id: str, make: Callable[[Any], NewJob], output_news: OutputNews) -> None:
        """Save a new job that `make` makes in view of the index, and the news: one hop to a thread."""

        def write(tx: Transaction, new: NewJob) -> None:
            tx.save_jobs({job_id: new.record})
            # First, so that their room is used again.
            _enter(tx, output_news)
            for file, data in new.outputs.items():
                tx.save_output(file, data)

        await self._index.read_then_write(make, write)

    async def load_output(self, file: str) -> bytes | None:
        """Return a saved output."""
        return await self._index.read(lambda tx: tx.load_output(file))

    async def output_uses(self) -> dict[str, float | None]:
        """Return when each saved output was used last, in seconds since 1970; None if never."""
        return await self._index.read(lambda tx: tx.output_uses())

    async def look(self, function: Callable[[Any], T]) -> T:
        """Run a function of a read transaction."""
        return await self._index.read(function)

    async def load(self, read: Callable[[bytes], T]) -> list[T]:
        """Return what `read` makes of each saved record, in no order, in a thread of the index."""
        return await self._index.read(lambda tx: tx.load_jobs(read))

    async def save_plan(self, job_id: str, plan: bytes | None) -> None:
        """Save or (None) drop the plan of a job."""
        await self._index.write(lambda tx: tx.save_plan(job_id, plan))

    async def load_plan(self, job_id: str) -> bytes | None:
        """Return the saved plan of a job."""
        return await self._index.read(lambda tx: tx.load_plan(job_id))

    async def save_holds(self, holds: bytes) -> None:
        """Save which jobs are kept from running."""
        await self._index.write(lambda tx: tx.set_property(_HOLDS, holds.decode()))

    async def load_holds(self) -> bytes | None:
        """Return what `save_holds` was given last."""
        holds = await self._index.read(lambda tx: tx.get_property(_HOLDS))
        return None if holds is None else holds.encode()


def _enter(tx: Transaction, news: OutputNews) -> None:
    for file, used_s in news.items():
        if used_s is None:
            tx.save_output(file, None)
        else:
            tx.note_output_use(file, used_s)
