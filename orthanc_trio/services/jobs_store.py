"""The saved jobs, in the index: one row per job, its plan in a row of its own."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

from ..index.index import Index

T = TypeVar("T")

_HOLDS: Final = "jobs.holds"


class IndexJobsStore:
    """Implements `jobs.journal.JobsStore` over the index; each call returns when its effect is durable."""

    def __init__(self, index: Index) -> None:
        self._index = index

    async def save(self, records: Mapping[str, bytes], removed: Sequence[str]) -> None:
        """Insert or replace `records` by id, and drop `removed` with their plans."""
        await self._index.write(lambda tx: tx.save_jobs(records, removed))

    async def insert(self, job_id: str, record_of: Callable[[Any], bytes]) -> None:
        """Save the record of a new job that `record_of` makes in view of the index: one hop to a thread."""
        await self._index.read_then_write(record_of, lambda tx, record: tx.save_jobs({job_id: record}))

    async def look(self, function: Callable[[Any], T]) -> T:
        """Run a function of a read transaction."""
        return await self._index.read(function)

    async def load(self) -> list[bytes]:
        """Return all saved records, in no order."""
        return await self._index.read(lambda tx: tx.load_jobs())

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
