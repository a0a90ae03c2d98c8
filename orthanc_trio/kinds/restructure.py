"""Jobs `SplitStudy` and `MergeStudy`: instances go to another study, as new instances of new series.

Source: the Orthanc Book, POST /studies/{id}/split, POST /studies/{id}/merge.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, Generic, TypeVar

import trio
from msgspec.structs import replace

from ..index.transaction import ReadTransaction
from ..jobs.kind import JobKind, StepContext
from ..model.job import Continue, Done
from ..services.rewriting import Outcome, Recipe, Rewriting, RewritingServices
from .bundle import KindServices
from .restructure_args import MergeArgs, RestructureArgs, RestructureCursor, SplitArgs
from .restructure_rules import check_merge, check_split
from .rewriting_log import RewritingLog
from .rewriting_plan import RewritingPlan, plan_rewriting
from .rewriting_step import (
    advanced,
    delete_all,
    deletion_news,
    failures_of,
    refuse_failures,
    rewrite_some,
    rewriting_news,
)

__all__ = ["MERGE", "SPLIT", "MergeArgs", "SplitArgs", "make_kinds"]

ArgsT = TypeVar("ArgsT", bound=RestructureArgs)
T = TypeVar("T")

SPLIT: Final = "SplitStudy"
MERGE: Final = "MergeStudy"
_LOG: Final = "results"
_DELETIONS_OF_STEP: Final = 512

Context = StepContext[RestructureCursor]


def make_kinds(services: KindServices) -> Iterable[JobKind[Any, Any, Any]]:
    """Offer the kinds of this module."""
    if services.rewriting is not None:
        yield SplitKind(services, services.rewriting)
        yield MergeKind(services, services.rewriting)


class RestructureKind(ABC, Generic[ArgsT]):
    """What both kinds have in common: new instances are stored, then the sources are deleted."""

    name: str
    args_type: type[ArgsT]
    plan_type = RewritingPlan
    cursor_type = RestructureCursor
    plan_is_repeatable = True

    def __init__(self, services: KindServices, rewriting: RewritingServices) -> None:
        self._index = services.index
        self._services = rewriting
        self._threads = rewriting.threads.get(self.name, services.cores)
        self._files = trio.CapacityLimiter(services.cores)

    @abstractmethod
    def check_resources(self, tx: ReadTransaction, args: ArgsT) -> None:
        """Refuse what cannot go. Raises UnknownResource."""

    @abstractmethod
    def target_content(self, args: ArgsT, cursor: RestructureCursor) -> dict[str, Any]:
        """Return what tells of the study that the instances go to."""

    def destination(self, args: ArgsT) -> str | None:  # noqa: ARG002 - of the seam
        """Return None: the results stay here."""
        return None

    def resources(self, args: ArgsT) -> tuple[str, ...]:
        """Return the study of the URL, and what goes."""
        return (args.study, *args.resources)

    async def check(self, args: ArgsT) -> dict[str, Any]:
        """Refuse what cannot go. Raises UnknownResource."""

        def check(tx: ReadTransaction) -> int:
            self.check_resources(tx, args)
            return plan_rewriting(tx, args.resources).total

        total = await self._index.read(check)
        content = {"Description": "REST API", "FailedInstancesCount": 0, "InstancesCount": total}
        return content | self.target_content(args, RestructureCursor())

    async def plan(self, context: Context, args: ArgsT) -> RewritingPlan:  # noqa: ARG002 - of the seam
        """List the sources."""
        return await self._index.read(lambda tx: plan_rewriting(tx, args.resources))

    def start(self, plan: RewritingPlan) -> RestructureCursor:  # noqa: ARG002 - of the seam
        """Begin with the first source."""
        return RestructureCursor()

    async def step(
        self, context: Context, args: ArgsT, plan: RewritingPlan, cursor: RestructureCursor
    ) -> Continue[RestructureCursor] | Done:
        """Store some instances in the other study; when all are there, delete some sources.

        Safe to repeat and to cancel. Raises what the first source that fails raises, unless the job is
        permissive, and as `Rewriting.store`.
        """
        if cursor.next == plan.total:
            return await self._delete_some(context, args, plan, cursor)
        rewriting = self._rewriting(context, args)
        outcomes = await rewrite_some(self._index, rewriting, plan, cursor.next, threads=self._threads)
        total = plan.total + (not args.keeps_source)
        if not args.is_permissive:
            refuse_failures(context, outcomes, done=cursor.next, total=total)
        cursor = _advanced(cursor, outcomes)
        news = failures_of(outcomes) | rewriting_news(plan, cursor)
        return Continue(cursor, cursor.next, total, self._content(args, plan, cursor) | news)

    async def discard(self, context: Context, args: ArgsT) -> None:
        """Take back what the job has stored, if it is all or nothing. Safe to repeat."""
        if args.is_atomic:
            doomed = await self._in_thread(self._log(context, args).doomed)
            await delete_all(self._services.removal, doomed)

    async def _delete_some(
        self, context: Context, args: ArgsT, plan: RewritingPlan, cursor: RestructureCursor
    ) -> Continue[RestructureCursor] | Done:
        """Delete sources of which the log says that their successors are stored; without it, start over."""
        if args.keeps_source or plan.total == 0:
            return Done(self._content(args, plan, cursor))
        log = self._log(context, args)
        lines = await self._in_thread(log.lines)
        if len(lines) < plan.total - cursor.failed:
            return Continue(RestructureCursor(), 0, plan.total + 1)
        if cursor.deleted == 0:
            await self._in_thread(log.end)
            # From an earlier boundary the job would look for sources that are gone.
            await context.checkpoint(cursor)
        doomed = sorted(lines)
        page = doomed[cursor.deleted : cursor.deleted + _DELETIONS_OF_STEP]
        await delete_all(self._services.removal, page)
        cursor = replace(cursor, deleted=cursor.deleted + len(page))
        if cursor.deleted < len(doomed):
            news = deletion_news(len(doomed), cursor)
            return Continue(cursor, plan.total + cursor.deleted / len(doomed), plan.total + 1, news)
        return Done(self._content(args, plan, cursor))

    def _content(self, args: ArgsT, plan: RewritingPlan, cursor: RestructureCursor) -> dict[str, Any]:
        counts = {"FailedInstancesCount": cursor.failed, "InstancesCount": plan.total}
        return counts | self.target_content(args, cursor)

    def _rewriting(self, context: Context, args: ArgsT) -> Rewriting:
        recipe = Recipe(modification=args.modification, key=args.key, origin=args.origin)
        note = None if args.keeps_source and not args.is_atomic else self._log(context, args).note
        return self._services.begin(recipe, context.in_worker, note)

    def _log(self, context: Context, args: ArgsT) -> RewritingLog:
        return RewritingLog(context.output_path(_LOG), is_durable=args.is_atomic)

    async def _in_thread(self, function: Callable[[], T]) -> T:
        return await trio.to_thread.run_sync(function, limiter=self._files)


class SplitKind(RestructureKind[SplitArgs]):
    """Takes series and instances out of a study, into a new one."""

    name = SPLIT
    args_type = SplitArgs

    def check_resources(self, tx: ReadTransaction, args: SplitArgs) -> None:
        """Refuse what is not of the study."""
        check_split(tx, args.study, args.series, args.instances)

    def target_content(self, args: SplitArgs, cursor: RestructureCursor) -> dict[str, Any]:
        """Return the UID of the new study, and its identifier once it exists."""
        target = {} if cursor.target is None else {"TargetStudy": cursor.target}
        return {"TargetStudyUID": args.study_uid} | target


class MergeKind(RestructureKind[MergeArgs]):
    """Puts studies, series and instances into a study."""

    name = MERGE
    args_type = MergeArgs

    def check_resources(self, tx: ReadTransaction, args: MergeArgs) -> None:
        """Refuse what is in the study already."""
        check_merge(tx, args.study, args.sources)

    def target_content(self, args: MergeArgs, cursor: RestructureCursor) -> dict[str, Any]:  # noqa: ARG002
        """Return the identifier of the study."""
        return {"TargetStudy": args.study}


def _advanced(cursor: RestructureCursor, outcomes: Sequence[Outcome]) -> RestructureCursor:
    """Return the cursor behind `outcomes`."""
    targets = (outcome.result.study for outcome in outcomes if outcome.result is not None)
    return replace(advanced(cursor, outcomes), target=cursor.target or next(targets, None))
