"""Jobs `Archive` and `Media`: instances -> a ZIP, in a file or streamed to the caller.

A media ends with a DICOMDIR, whose contents worker processes read from the files.
Source: POST /studies/{id}/archive, /studies/{id}/media, /tools/create-archive, /tools/create-media.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from sys import intern
from threading import Lock
from typing import Any

import trio

from ..index.transaction import ReadTransaction
from ..jobs.kind import JobKind, Look, NotNear
from ..jobs.progress import failures_content, progress_content
from ..model.error_code import ErrorCode
from ..model.job import Continue, Done, DoneWhole, FailedInstance, JobOutput, Progress, SmallOutput
from ..zipfmt import dos_time
from .archive_checksum import Checksums
from .archive_files import remove, send
from .archive_pack import LeafOptions, PackOptions
from .archive_plan import (
    ArchiveArgs,
    ArchivePlan,
    Member,
    Pages,
    archive_pages,
    check_resources,
    media_pages,
    survey,
    survey_instance,
)
from .archive_step import ArchiveStep, ArchiveThreads, Context
from .archive_transcode import Transcoding
from .archive_whole import Whole, is_small, is_tiny, make_whole, make_whole_near, write_whole
from .archive_writer import ArchiveCursor, ArchivePaths
from .bundle import KindServices

__all__ = ["make_kinds", "ArchiveKind", "ArchiveArgs"]

_MEGABYTE = 1 << 20
_ZIP = "application/zip"
_VANISHED = ErrorCode.INEXISTENT_FILE.description
_EARLY_PLANS = 64
"""So many plans are kept from the check for the job that follows; those of the others are made anew."""


def make_kinds(services: KindServices) -> Iterable[JobKind[Any, Any, Any]]:
    """Offer the two kinds of this module."""
    threads = ArchiveThreads(
        packing=trio.CapacityLimiter(services.cores),
        small_packing=trio.CapacityLimiter(1),
        writing=trio.CapacityLimiter(services.cores),
    )
    return (ArchiveKind(services, threads), ArchiveKind(services, threads, is_media=True))


class ArchiveKind:
    """Makes a ZIP of instances: a tree of folders, or a media with a DICOMDIR."""

    args_type = ArchiveArgs
    plan_type = ArchivePlan
    cursor_type = ArchiveCursor
    plan_is_repeatable = True

    def __init__(self, services: KindServices, threads: ArchiveThreads, *, is_media: bool = False) -> None:
        self.name = "Media" if is_media else "Archive"
        self._is_media = is_media
        self._services = services
        self._threads = threads
        self._pages: Pages = media_pages if is_media else archive_pages
        self._checksums = Checksums()
        self.early_plans = _EarlyPlans()

    def destination(self, args: ArchiveArgs) -> str | None:  # noqa: ARG002 - of the seam
        """Return None: an archive goes nowhere."""
        return None

    def resources(self, args: ArchiveArgs) -> tuple[str, ...]:
        """Return what the archive was asked of."""
        return args.resources

    async def check(self, args: ArchiveArgs) -> Look:
        """Return what measures the archive, and raises InexistentItem or UnknownResource."""
        return _ArchiveLook(self, args)

    def measure(self, args: ArchiveArgs, tx: ReadTransaction) -> tuple[dict[str, Any], ArchivePlan]:
        """Return the first content of a job, and its plan, of a small archive the whole one."""
        found = None if self._is_media else survey_instance(tx, args)
        if found is None:
            check_resources(tx, args)
            found = survey(tx, args, self._pages)
        content = {
            "Description": "REST API",
            "InstancesCount": found.instances,
            **_size_content("UncompressedSize", found.size),
            **_size_content("ArchiveSize", 0),
            "Utf8": args.utf8,
            **self._transcoding_content(args),
        }
        return content, found.plan

    def make_tiny(self, args: ArchiveArgs, plan: ArchivePlan, *, is_near: bool) -> DoneWhole | None:
        """Make a tiny archive; None if it is not that. Blocks, but with `is_near`: then raises NotNear."""
        options = self._pack_options(args)
        if args.transcode is not None or not is_tiny(plan, options):
            return None
        make = make_whole_near if is_near else make_whole
        whole = self._services.storage.run_here(partial(make, plan=plan, options=options))
        if whole is None:
            raise NotNear
        output = SmallOutput("archive", args.filename, _ZIP, whole.data)
        content = _size_content("ArchiveSize", len(whole.data)) | _failures(whole.vanished)
        return DoneWhole(content, (output,))

    async def plan(self, context: Context, args: ArchiveArgs) -> ArchivePlan:  # noqa: ARG002 - of the seam
        """List the members of a small archive with their names; the first step lists those of another."""
        early = self.early_plans.take(args)
        if early is not None:
            return early
        found = await self._services.index.read(partial(survey, args=args, pages=self._pages))
        return found.plan

    def start(self, plan: ArchivePlan) -> ArchiveCursor:  # noqa: ARG002 - of the seam
        """Begin with the first member."""
        return ArchiveCursor()

    async def step(
        self, context: Context, args: ArchiveArgs, plan: ArchivePlan, cursor: ArchiveCursor
    ) -> Continue[ArchiveCursor] | Done:
        """Append some members; the last step also the DICOMDIR, the manifest and the central directory.

        Safe to repeat and to cancel. Starts over if the file is shorter than the cursor says. Passes over an
        instance that has vanished. Raises FullStorage, CannotWriteFile also if the reader of a stream has
        left, and BadFileFormat for a file that a DICOMDIR cannot tell of. What cannot be transcoded goes in
        as it is.
        """
        options = self._pack_options(args)
        if args.transcode is None and is_small(plan, options) and cursor == ArchiveCursor():
            whole = await self._make_whole(context, plan, options)
            return _done(context, args, ArchiveCursor(offset=len(whole.data)), whole.vanished)
        step = ArchiveStep(
            self._services,
            self._threads,
            context,
            plan=plan,
            cursor=cursor,
            options=options,
            checksums=self._checksums,
            transcoding=self._transcoding(args),
        )
        after, has_ended = await step.run(lambda tx: self._pages(tx, args))
        if has_ended:
            return _done(context, args, after, step.vanished)
        new_plan = None if plan.is_whole else step.plan
        total = len(step.plan.members)
        progress = Progress(
            instances_done=after.count,
            instances_failed=after.next - after.count,
            instances_total=total,
            bytes=after.offset,
            step="Packing",
        )
        content = _content(after) | progress_content(progress) | _failures(step.vanished)
        return Continue(after, after.next, total + 1, content, new_plan)

    def _transcoding_content(self, args: ArchiveArgs) -> dict[str, Any]:
        wish = self._transcoding(args)
        return {} if wish is None else {"Transcode": wish.syntax, "LossyQuality": wish.quality}

    def _transcoding(self, args: ArchiveArgs) -> Transcoding | None:
        if args.transcode is None:
            return None
        quality = self._services.lossy_quality if args.lossy_quality is None else args.lossy_quality
        return Transcoding(args.transcode, quality)

    def _pack_options(self, args: ArchiveArgs) -> PackOptions:
        now = self._services.now()
        return PackOptions(
            dos_time(now.astimezone()),
            leaves=LeafOptions(args.is_extended, now) if self._is_media else None,
            has_manifest=args.has_manifest,
        )

    async def _make_whole(self, context: Context, plan: ArchivePlan, options: PackOptions) -> Whole:
        """Make a small archive."""
        storage, is_synchronous = self._services.storage, self._services.is_synchronous
        if context.sink is not None:
            whole = await storage.run(partial(make_whole, plan=plan, options=options))
            await send(context.sink, [whole.data])
            return whole
        path = ArchivePaths(context.output_path).archive
        return await storage.run(
            partial(write_whole, plan=plan, options=options, path=path, is_synchronous=is_synchronous)
        )

    async def discard(self, context: Context, args: ArchiveArgs) -> None:  # noqa: ARG002 - of the seam
        """Remove the files of the job. Safe to repeat."""
        paths = ArchivePaths(context.output_path)
        files = (paths.archive, paths.records, paths.leaves, paths.dicomdir, paths.manifest)
        await trio.to_thread.run_sync(remove, files, limiter=self._threads.writing)


class _ArchiveLook:
    """The look of one check."""

    def __init__(self, kind: ArchiveKind, args: ArchiveArgs) -> None:
        self._kind = kind
        self._args = args
        self._plan: ArchivePlan

    def content(self, view: ReadTransaction) -> dict[str, Any]:
        content, self._plan = self._kind.measure(self._args, view)
        return content

    def do_whole(self, *, is_near: bool) -> DoneWhole | None:
        return self._kind.make_tiny(self._args, self._plan, is_near=is_near)

    def leave_for_later(self) -> None:
        self._kind.early_plans.put(self._args, self._plan)


class _EarlyPlans:
    """The plans that checks made, each for one job. In any thread."""

    def __init__(self) -> None:
        self._plans: deque[tuple[ArchiveArgs, ArchivePlan]] = deque(maxlen=_EARLY_PLANS)
        self._lock = Lock()

    def put(self, args: ArchiveArgs, plan: ArchivePlan) -> None:
        with self._lock:
            self._plans.append((args, plan))

    def take(self, args: ArchiveArgs) -> ArchivePlan | None:
        with self._lock:
            for early in self._plans:
                if early[0] == args:
                    self._plans.remove(early)
                    return early[1]
        return None


def _size_content(key: str, size: int) -> dict[str, Any]:
    # There may be many jobs: they share the names.
    return {key: str(size), intern(f"{key}MB"): size // _MEGABYTE}


def _content(cursor: ArchiveCursor) -> dict[str, Any]:
    content = _size_content("ArchiveSize", cursor.offset)
    if cursor.refused_count:
        content |= {"NotTranscoded": cursor.refused, "NotTranscodedCount": cursor.refused_count}
    return content


def _failures(vanished: Sequence[Member]) -> dict[str, Any]:
    if not vanished:
        return {}
    return failures_content(FailedInstance(member.id, _VANISHED) for member in vanished)


def _done(context: Context, args: ArchiveArgs, cursor: ArchiveCursor, vanished: Sequence[Member]) -> Done:
    outputs: tuple[JobOutput, ...] = ()
    if context.sink is None:
        outputs = (_output(args, context.output_path("archive"), cursor.offset),)
    return Done(_content(cursor) | _failures(vanished), outputs)


def _output(args: ArchiveArgs, path: Path, size: int) -> JobOutput:
    return JobOutput(
        key="archive",
        file=path.name,
        filename=args.filename,
        media_type=_ZIP,
        size_bytes=size,
    )
