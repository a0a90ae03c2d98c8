"""One step of an archive job: some members packed on threads, in parallel, and appended in their order."""

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from uuid import NAMESPACE_OID, uuid5

import trio
from msgspec import Struct
from msgspec.structs import replace

from ..dicom.new_uid import uid_of
from ..jobs.kind import StepContext
from ..storage.area import Blob, StorageArea
from .archive_checksum import Checksums
from .archive_files import BytesLost, LocalBlob
from .archive_manifest import NAME as MANIFEST
from .archive_manifest import Manifest
from .archive_media import write_directory
from .archive_member import Source, open_member
from .archive_pack import PackedBatch, PackedPart, PackOptions, Unit, cut, pack
from .archive_pipeline import Window, run_in_order
from .archive_plan import ArchivePlan, Member
from .archive_planning import PagesOfView, take_pages
from .archive_transcode import NAMED_REFUSALS, Transcoder, Transcoding
from .archive_writer import ArchiveCursor, ArchivePaths, ArchiveWriter
from .bundle import KindServices

_STEP_SECONDS = 0.25
STEP_BYTES = 128 << 20
_STEP_MEMBERS = 4096
_WINDOW_BYTES = 24 << 20

Context = StepContext[ArchiveCursor]


class ArchiveThreads(Struct, frozen=True):
    """The threads that all archives share."""

    packing: trio.CapacityLimiter
    small_packing: trio.CapacityLimiter
    """For one thread: several would do small work no faster, and wait for the GIL at twice the cost."""
    writing: trio.CapacityLimiter


class ArchiveStep:
    """One step of an archive, or of a media if `options` has those of leaves.

    Safe to repeat and to cancel: what it leaves unfinished, the next one cuts away.
    """

    def __init__(
        self,
        services: KindServices,
        threads: ArchiveThreads,
        context: Context,
        *,
        plan: ArchivePlan,
        cursor: ArchiveCursor,
        options: PackOptions,
        checksums: Checksums,
        transcoding: Transcoding | None = None,
    ) -> None:
        self._services = services
        self._threads = threads
        self._context = context
        self.plan = plan
        self._cursor = cursor
        self._options = options
        self._checksums = checksums
        self._transcoder = None
        if transcoding is not None:
            self._transcoder = Transcoder(transcoding, context.in_worker, threads.packing)
        paths = ArchivePaths(context.output_path)
        self._manifest = self._make_manifest(paths) if options.has_manifest else None
        self._writer = ArchiveWriter(
            paths,
            cursor,
            sink=context.sink,
            manifest=self._manifest,
            time=options.time,
            is_synchronous=services.is_synchronous,
            limiter=threads.writing,
        )

    def _make_manifest(self, paths: ArchivePaths) -> Manifest:
        cursor = self._cursor
        checksum = self._checksums.find(self._context.job_id, cursor.next, self._position)
        return Manifest(lambda: paths.manifest, cursor.manifest_size, checksum)

    @property
    def _position(self) -> int:
        """How much of the first member, a streamed one, is done."""
        return self._cursor.open.position if self._cursor.open else 0

    @property
    def vanished(self) -> list[Member]:
        """The members that were passed over because their files have vanished."""
        return [self.plan.members[position] for position in self._writer.vanished]

    async def run(self, pages: PagesOfView) -> tuple[ArchiveCursor, bool]:
        """Append some members, and the end of the archive if these were the last.

        If the plan is not whole, it is made of `pages` meanwhile. Return the next cursor and whether the
        archive has ended. It is the first cursor again if the file is shorter than the present one says.
        """
        writer = self._writer
        try:
            await writer.open()
            deadline = trio.current_time() + _STEP_SECONDS
            if self.plan.is_whole:
                await self._pack_members(_members_of_step(self.plan, self._cursor.next), deadline)
            else:
                await take_pages(self._services.index, pages, partial(self._take_page, deadline=deadline))
                self.plan = replace(self.plan, is_whole=True)
            if writer.next < len(self.plan.members):
                return await self._save(), False
            if self._options.leaves is not None:
                await self._pack_directory()
            if self._options.has_manifest:
                await self._pack_manifest()
            return self._with_refusals(await writer.finish()), True
        except BytesLost:
            return ArchiveCursor(), False
        finally:
            writer.close()

    async def _save(self) -> ArchiveCursor:
        cursor = await self._writer.save()
        if self._manifest is not None:
            self._checksums.keep(self._context.job_id, cursor.next, self._manifest.checksum)
        return self._with_refusals(cursor)

    def _with_refusals(self, cursor: ArchiveCursor) -> ArchiveCursor:
        if self._transcoder is None:
            return cursor
        before, new = self._cursor, self._transcoder.refused
        named = (*before.refused, *new)[:NAMED_REFUSALS]
        return replace(cursor, refused=named, refused_count=before.refused_count + len(new))

    async def _take_page(self, page: ArchivePlan, deadline: float) -> None:
        """Extend the plan. The members are for the next step if this one has lasted long enough."""
        is_behind = self._writer.next < len(self.plan.members)
        self.plan = self.plan.extended(page)
        if not is_behind and trio.current_time() < deadline:
            await self._pack_members(page.members, deadline)

    async def _pack_members(self, members: Sequence[Member], deadline: float) -> None:
        if not members:
            return
        blobs = await self._services.storage.run(partial(_open_blobs, members=members))
        sources = [
            Source(
                self.plan.path(member),
                blob,
                member.size,
                member.is_compressed,
                member.uid,
                member.id if member.is_to_transcode else "",
            )
            for member, blob in zip(members, blobs, strict=True)
        ]
        await self._append(_bounded(cut(sources, self._position), deadline), self._options)

    async def _pack_directory(self) -> None:
        paths = self._writer.paths
        # The same for each attempt, so that a repeated step makes the same file.
        uid = uid_of(uuid5(NAMESPACE_OID, self._context.job_id))
        leaves_size = await self._writer.save_leaves()
        size = await self._context.in_worker(write_directory, paths.leaves, leaves_size, paths.dicomdir, uid)
        source = Source("DICOMDIR", LocalBlob(paths.dicomdir, size), size, uid=uid)
        await self._append(cut([source]), replace(self._options, leaves=None))

    async def _pack_manifest(self) -> None:
        size = await self._writer.save_manifest()
        source = Source(MANIFEST, LocalBlob(self._writer.paths.manifest, size), size)
        await self._append(cut([source]), PackOptions(self._options.time))

    async def _append(self, units: Iterable[Unit], options: PackOptions) -> None:
        threads = self._threads

        async def make(unit: Unit) -> PackedBatch | PackedPart:
            if self._transcoder is not None:
                unit = await self._transcoder.transcoded(unit)
            limiter = threads.small_packing if unit.is_small_work else threads.packing
            return await trio.to_thread.run_sync(pack, unit, options, limiter=limiter)

        # Each thread has a unit in hand and one that waits, while others wait for those before them.
        window = Window(int(2 * threads.packing.total_tokens) + 2, _WINDOW_BYTES)
        await run_in_order(units, make, self._take, window=window)

    async def _take(self, packed: PackedBatch | PackedPart) -> None:
        if self._transcoder is not None:
            self._transcoder.notice(packed)
        await self._writer.take(packed)


def _members_of_step(plan: ArchivePlan, start: int) -> tuple[Member, ...]:
    """Return the members from `start` on that a step may get to."""
    size, stop = 0, start
    while stop < len(plan.members) and size < STEP_BYTES and stop - start < _STEP_MEMBERS:
        member = plan.members[stop]
        size += member.size if member.deflated is None else member.deflated.size
        stop += 1
    return plan.members[start:stop]


def _open_blobs(area: StorageArea, members: Sequence[Member]) -> list[Blob]:
    return [open_member(area, member) for member in members]


def _bounded(units: Iterable[Unit], deadline: float) -> Iterator[Unit]:
    """Give out units until the step has lasted long enough, but at least one."""
    size = 0
    for unit in units:
        yield unit
        size += unit.size
        if size >= STEP_BYTES or trio.current_time() >= deadline:
            return
