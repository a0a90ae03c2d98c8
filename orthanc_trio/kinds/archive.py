"""Jobs `Archive` and `Media`: instances -> a ZIP, in a file or streamed to the caller.

A media ends with a DICOMDIR, whose contents worker processes read from the files.
Source: POST /studies/{id}/archive, /studies/{id}/media, /tools/create-archive, /tools/create-media.
"""

from collections.abc import Iterable
from functools import partial
from typing import Any

import trio

from ..jobs.kind import JobKind
from ..model.job import Continue, Done, JobOutput
from .archive_files import remove
from .archive_pack import LeafOptions
from .archive_plan import ArchiveArgs, ArchivePlan, measure, plan_archive, plan_media
from .archive_step import ArchiveStep, ArchiveThreads, Context
from .archive_writer import ArchiveCursor, ArchivePaths
from .bundle import KindServices

__all__ = ["make_kinds", "ArchiveKind", "ArchiveArgs"]

_MEGABYTE = 1 << 20


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

    async def check(self, args: ArchiveArgs) -> dict[str, Any]:
        """Measure what the archive will hold. Raises InexistentItem or UnknownResource, see `measure`."""
        instances, size = await self._services.index.read(partial(measure, args=args))
        return {
            "Description": "REST API",
            "InstancesCount": instances,
            **_size_content("UncompressedSize", size),
            **_size_content("ArchiveSize", 0),
            "Utf8": args.utf8,
        }

    async def plan(self, context: Context, args: ArchiveArgs) -> ArchivePlan:  # noqa: ARG002 - of the seam
        """List the members in their order, with their names."""
        plan = plan_media if self._is_media else plan_archive
        return await self._services.index.read(partial(plan, args=args))

    def start(self, plan: ArchivePlan) -> ArchiveCursor:  # noqa: ARG002 - of the seam
        """Begin with the first member."""
        return ArchiveCursor()

    async def step(
        self, context: Context, args: ArchiveArgs, plan: ArchivePlan, cursor: ArchiveCursor
    ) -> Continue[ArchiveCursor] | Done:
        """Append some members; the last step also the DICOMDIR and the central directory.

        Safe to repeat and to cancel. Starts over if the file is shorter than the cursor says. Passes over an
        instance that has vanished. Raises FullStorage, CannotWriteFile also if the reader of a stream has
        left, and BadFileFormat for a file that a DICOMDIR cannot tell of.
        """
        now = self._services.now()
        step = ArchiveStep(
            self._services,
            self._threads,
            context,
            plan=plan,
            cursor=cursor,
            leaf_options=LeafOptions(args.is_extended, now) if self._is_media else None,
            now=now,
        )
        after, has_ended = await step.run()
        content = _size_content("ArchiveSize", after.offset)
        if not has_ended:
            return Continue(after, after.next, len(plan.members) + 1, content)
        return Done(content, () if context.sink is not None else (_output(context, args, after.offset),))

    async def discard(self, context: Context, args: ArchiveArgs) -> None:  # noqa: ARG002 - of the seam
        """Remove the files of the job. Safe to repeat."""
        paths = ArchivePaths(context.output_path)
        files = (paths.archive, paths.records, paths.leaves, paths.dicomdir)
        await trio.to_thread.run_sync(remove, files, limiter=self._threads.writing)


def _size_content(key: str, size: int) -> dict[str, Any]:
    return {key: str(size), f"{key}MB": size // _MEGABYTE}


def _output(context: Context, args: ArchiveArgs, size: int) -> JobOutput:
    return JobOutput(
        key="archive",
        file=context.output_path("archive").name,
        filename=args.filename,
        media_type="application/zip",
        size_bytes=size,
    )
