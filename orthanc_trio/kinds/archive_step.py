"""One step of an archive job: some members packed on threads, in parallel, and appended in their order."""

import uuid
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from functools import partial

import trio
from msgspec import Struct

from ..jobs.kind import StepContext
from ..storage.area import Blob, StorageArea
from ..zipfmt import dos_time
from .archive_files import BytesLost, LocalBlob
from .archive_media import write_directory
from .archive_pack import LeafOptions, PackedBatch, PackedPart, Source, Unit, cut, pack
from .archive_pipeline import run_in_order
from .archive_plan import ArchivePlan, Member
from .archive_writer import ArchiveCursor, ArchivePaths, ArchiveWriter
from .bundle import KindServices

_STEP_SECONDS = 0.25
_STEP_BYTES = 32 << 20
_STEP_MEMBERS = 4096

Context = StepContext[ArchiveCursor]


class ArchiveThreads(Struct, frozen=True):
    """The threads that all archives share."""

    packing: trio.CapacityLimiter
    small_packing: trio.CapacityLimiter
    """For one thread: several would do small work no faster, and wait for the GIL at twice the cost."""
    writing: trio.CapacityLimiter


class ArchiveStep:
    """One step of an archive, or of a media if `leaf_options` are given.

    Safe to repeat and to cancel: what it leaves unfinished, the next one cuts away. `now` is in UTC.
    """

    def __init__(
        self,
        services: KindServices,
        threads: ArchiveThreads,
        context: Context,
        *,
        plan: ArchivePlan,
        cursor: ArchiveCursor,
        leaf_options: LeafOptions | None,
        now: datetime,
    ) -> None:
        self._services = services
        self._threads = threads
        self._context = context
        self._plan = plan
        self._cursor = cursor
        self._leaf_options = leaf_options
        self._time = dos_time(now.astimezone())
        self._writer = ArchiveWriter(
            ArchivePaths(context.output_path),
            cursor,
            sink=context.sink,
            time=self._time,
            is_synchronous=services.is_synchronous,
            limiter=threads.writing,
        )

    async def run(self) -> tuple[ArchiveCursor, bool]:
        """Append some members, and the end of the archive if these were the last.

        Return the next cursor and whether the archive has ended. It is the first cursor again if the file is
        shorter than the present one says.
        """
        writer = self._writer
        try:
            await writer.open()
            await self._pack_members()
            if writer.next < len(self._plan.members):
                return await writer.save(), False
            if self._leaf_options is not None:
                await self._pack_directory()
            return await writer.finish(), True
        except BytesLost:
            return ArchiveCursor(), False
        finally:
            writer.close()

    async def _pack_members(self) -> None:
        members = _members_of_step(self._plan, self._cursor.next)
        if not members:
            return
        blobs = await self._services.storage.run(partial(_open_blobs, members=members))
        sources = [
            Source(self._plan.path(member), blob, member.size, member.is_compressed)
            for member, blob in zip(members, blobs, strict=True)
        ]
        position = self._cursor.open.position if self._cursor.open else 0
        await self._append(_bounded(cut(sources, position)), self._leaf_options)

    async def _pack_directory(self) -> None:
        paths = self._writer.paths
        # The same for each attempt, so that a repeated step makes the same file.
        uid = f"2.25.{uuid.uuid5(uuid.NAMESPACE_OID, self._context.job_id).int}"
        leaves_size = await self._writer.save_leaves()
        size = await self._context.in_worker(write_directory, paths.leaves, leaves_size, paths.dicomdir, uid)
        await self._append(cut([Source("DICOMDIR", LocalBlob(paths.dicomdir, size), size)]))

    async def _append(self, units: Iterable[Unit], leaf_options: LeafOptions | None = None) -> None:
        threads = self._threads

        async def make(unit: Unit) -> PackedBatch | PackedPart:
            limiter = threads.small_packing if unit.is_small_work else threads.packing
            return await trio.to_thread.run_sync(pack, unit, self._time, leaf_options, limiter=limiter)

        # Each thread has a unit in hand and one that waits, while others wait for those before them.
        await run_in_order(units, make, self._writer.take, window=int(2 * threads.packing.total_tokens) + 2)


def _members_of_step(plan: ArchivePlan, start: int) -> tuple[Member, ...]:
    """Return the members from `start` on that a step may get to."""
    size, stop = 0, start
    while stop < len(plan.members) and size < _STEP_BYTES and stop - start < _STEP_MEMBERS:
        size += plan.members[stop].size
        stop += 1
    return plan.members[start:stop]


def _open_blobs(area: StorageArea, members: Sequence[Member]) -> list[Blob]:
    return [area.open(member.key, member.size) for member in members]


def _bounded(units: Iterable[Unit]) -> Iterator[Unit]:
    """Give out units until the step has lasted long enough, but at least one."""
    deadline = trio.current_time() + _STEP_SECONDS
    size = 0
    for unit in units:
        yield unit
        size += unit.size
        if size >= _STEP_BYTES or trio.current_time() >= deadline:
            return
