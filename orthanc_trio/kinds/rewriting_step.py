"""One step of a job that makes instances of others: some batches at the same time, and then a boundary."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, TypeVar

import trio
from msgspec.structs import replace

from ..index.index import Index
from ..index.transaction import ReadTransaction
from ..jobs.kind import StepContext
from ..jobs.progress import failures_content, progress_content
from ..model.errors import UnknownResource
from ..model.job import FailedInstance, Progress
from ..model.resource import ResourceLevel
from ..services.registration import ResourceIds
from ..services.removal import Removal
from ..services.rewriting import Outcome, Rewriting, Source
from .rewriting_plan import RewritingCursor, RewritingPlan

_STEP_SECONDS: Final = 0.25
_STEP_INSTANCES: Final = 1024
_BATCH_INSTANCES: Final = 32
_BATCH_BYTES: Final = 8 << 20
_DELETIONS_AT_ONCE: Final = 32

Batch = Sequence[Source]
CursorT = TypeVar("CursorT", bound=RewritingCursor)


async def rewrite_some(
    index: Index, rewriting: Rewriting, plan: RewritingPlan, start: int, *, threads: int
) -> list[Outcome]:
    """Rewrite and store sources from a position on, for a moment, but at least one batch; in their order.

    Safe to repeat and to cancel. Raises as `Rewriting.store`, possibly in a group.
    """
    page = plan.page(start, _STEP_INSTANCES)
    sources = await index.read(lambda tx: load_sources(tx, page))
    batches = _bounded(cut(sources))
    done: dict[int, list[Outcome]] = {}

    async def work() -> None:
        for number, batch in batches:
            done[number] = await _store(rewriting, batch)

    async with trio.open_nursery() as nursery:
        for _ in range(threads):
            nursery.start_soon(work)
    # Batches are begun in their order, and all that were begun have ended.
    return [outcome for number in sorted(done) for outcome in done[number]]


def advanced(cursor: CursorT, outcomes: Sequence[Outcome]) -> CursorT:
    """Return the cursor behind `outcomes`."""
    return replace(
        cursor,
        next=cursor.next + len(outcomes),
        failed=cursor.failed + sum(outcome.error is not None for outcome in outcomes),
        bytes=cursor.bytes + sum(outcome.size for outcome in outcomes if outcome.error is None),
    )


def rewriting_news(plan: RewritingPlan, cursor: RewritingCursor) -> dict[str, Any]:
    """Return the progress of a job that rewrites its sources."""
    return progress_content(
        Progress(
            instances_done=cursor.next - cursor.failed,
            instances_failed=cursor.failed,
            instances_total=plan.total,
            bytes=cursor.bytes,
            step="Rewriting",
        )
    )


def deletion_news(total: int, cursor: RewritingCursor) -> dict[str, Any]:
    """Return the progress of a job that deletes so many of its sources."""
    return progress_content(
        Progress(instances_done=cursor.deleted, instances_total=total, bytes=cursor.bytes, step="Deleting")
    )


def failures_of(outcomes: Iterable[Outcome]) -> dict[str, Any]:
    """Return what tells of the sources that failed; the engine joins it to what was told before."""
    errors = [(outcome.source.instance, outcome.error) for outcome in outcomes if outcome.error is not None]
    return failures_content(
        FailedInstance(id, ": ".join(filter(None, (error.code.description, error.details))))
        for id, error in errors
    )


def refuse_failures(context: StepContext[Any], outcomes: Sequence[Outcome], *, done: int, total: int) -> None:
    """Raise the first error, if there is one, and show which sources failed; `done` of `total` units are."""
    error = next((outcome.error for outcome in outcomes if outcome.error is not None), None)
    if error is not None:
        context.report(done, total, failures_of(outcomes))
        raise error


async def delete_all(removal: Removal, instances: Sequence[str]) -> None:
    """Delete instances, many in one commit. Those that do not exist are passed over."""
    rest = iter(instances)

    async def work() -> None:
        for id in rest:
            await removal.delete(ResourceLevel.INSTANCE, id)

    async with trio.open_nursery() as nursery:
        for _ in range(min(_DELETIONS_AT_ONCE, len(instances))):
            nursery.start_soon(work)


async def _store(rewriting: Rewriting, batch: "Sequence[Source | ResourceIds]") -> list[Outcome]:
    """Store what is there of a batch; the rest has failed."""
    stored = iter(await rewriting.store([source for source in batch if isinstance(source, Source)]))
    return [
        next(stored) if isinstance(source, Source) else Outcome(source=source, error=_vanished(source))
        for source in batch
    ]


def _vanished(source: ResourceIds) -> UnknownResource:
    return UnknownResource(f"This instance was deleted before it could be modified: {source.instance}")


def load_sources(tx: ReadTransaction, page: Sequence[ResourceIds]) -> list[Source | ResourceIds]:
    """Look up the files, which may be others than when the job began; what is gone stays without one."""
    files = {leaf.id: leaf.attachment for leaf in tx.leaves([ids.instance for ids in page])}
    return [Source(ids, files[ids.instance]) if ids.instance in files else ids for ids in page]


def cut(sources: Sequence[Source | ResourceIds]) -> Iterator[list[Source | ResourceIds]]:
    """Cut sources into batches of bounded number and size; a large file is alone."""
    batch: list[Source | ResourceIds] = []
    size = 0
    for source in sources:
        more = source.file.uncompressed_size if isinstance(source, Source) else 0
        if batch and (len(batch) == _BATCH_INSTANCES or size + more > _BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(source)
        size += more
    if batch:
        yield batch


def _bounded(
    batches: Iterator[list[Source | ResourceIds]],
) -> Iterator[tuple[int, list[Source | ResourceIds]]]:
    """Give out batches until the step has lasted long enough, but at least one."""
    deadline = trio.current_time() + _STEP_SECONDS
    for number, batch in enumerate(batches):
        if number and trio.current_time() >= deadline:
            return
        yield number, batch
