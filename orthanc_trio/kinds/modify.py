"""Jobs `ResourceModification`: instances -> modified or anonymised ones, stored beside their sources.

Source: the Orthanc Book, "Anonymization and modification of DICOM files"; POST /studies/{id}/modify,
/studies/{id}/anonymize, /tools/bulk-modify, /tools/bulk-anonymize.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, TypeVar

import trio
from msgspec import Struct
from msgspec.structs import replace

from ..index.transaction import ReadTransaction
from ..jobs.kind import JobKind, StepContext
from ..model.errors import UnknownResource
from ..model.job import Continue, Done
from ..model.resource import Metadata, ResourceLevel
from ..services.rewriting import Outcome, Recipe, Rewriting, RewritingServices, Source
from ..services.rewriting_preview import preview, preview_json
from .bundle import KindServices
from .modify_args import ModifyArgs, ModifyCursor
from .modify_content import (
    first_content,
    left_out_content,
    progress_of,
    results_content,
)
from .modify_rules import check_in_place, check_patient
from .rewriting_log import RewritingLog
from .rewriting_plan import RewritingPlan, plan_rewriting, replaced_uids, without
from .rewriting_step import (
    advanced,
    delete_all,
    deletion_news,
    failures_of,
    load_sources,
    refuse_failures,
    rewrite_some,
    rewriting_news,
)

__all__ = ["make_kinds", "ModifyKind", "ModifyArgs"]

T = TypeVar("T")

NAME: Final = "ResourceModification"
_LOG: Final = "results"
_RUNS: Final = 64
_PREVIEWS: Final = 50
_DELETIONS_OF_STEP: Final = 512
_FACTS_AT_ONCE: Final = 512
_SECONDARY_CAPTURE: Final = "1.2.840.10008.5.1.4.1.1.7."

Context = StepContext[ModifyCursor]


def make_kinds(services: KindServices) -> Iterable[JobKind[Any, Any, Any]]:
    """Offer the kind of this module."""
    if services.rewriting is not None:
        yield ModifyKind(services, services.rewriting)


class _Run(Struct, frozen=True):
    """What an attempt needs at each step; made anew where it is not at hand."""

    rewriting: Rewriting
    log: RewritingLog


class ModifyKind:
    """Modifies and anonymises."""

    name = NAME
    args_type = ModifyArgs
    plan_type = RewritingPlan
    cursor_type = ModifyCursor
    plan_is_repeatable = False
    """A later plan would contain what the job itself has stored in the same patient."""

    def __init__(self, services: KindServices, rewriting: RewritingServices) -> None:
        self._index = services.index
        self._services = rewriting
        self._threads = rewriting.threads.get(NAME, services.cores)
        self._files = trio.CapacityLimiter(services.cores)
        self._runs: OrderedDict[str, _Run] = OrderedDict()

    def destination(self, args: ModifyArgs) -> str | None:  # noqa: ARG002 - of the seam
        """Return None: the results stay here."""
        return None

    def resources(self, args: ModifyArgs) -> tuple[str, ...]:
        """Return what is modified."""
        return args.resources

    async def check(self, args: ModifyArgs) -> dict[str, Any]:
        """Refuse what is forbidden. Raises BadRequest, UnknownResource, InexistentItem for the pseudonym."""
        check_in_place(args, self._services.overwrite)
        self._services.key(args.modification, args.key)
        return await self._index.read(lambda tx: self._survey(tx, args))

    def _survey(self, tx: ReadTransaction, args: ModifyArgs) -> dict[str, Any]:
        levels: dict[str, ResourceLevel] = {}
        for id in args.resources:
            row = tx.find(id)
            if row is None:
                raise UnknownResource
            levels[id] = row.level
        is_study = args.level is ResourceLevel.STUDY and args.modification.level is ResourceLevel.STUDY
        if is_study and self._services.checks_patients:
            for study in {series.study for series in plan_rewriting(tx, args.resources).series}:
                check_patient(tx, args.modification, study)
        plan = self._plan(tx, args)
        return first_content(args, levels, plan.total) | left_out_content(plan.left_out)

    async def plan(self, context: Context, args: ModifyArgs) -> RewritingPlan:  # noqa: ARG002 - of the seam
        """List the sources."""
        return await self._index.read(lambda tx: self._plan(tx, args))

    def _plan(self, tx: ReadTransaction, args: ModifyArgs) -> RewritingPlan:
        plan = plan_rewriting(tx, args.resources)
        if args.removes_secondary_captures:
            ids = [id for series in plan.series for id in series.instances]
            plan = without(plan, _secondary_captures(tx, ids))
        if not args.modification.is_anonymization:
            return plan
        return replace(plan, replaced=replaced_uids(tx, plan, args.modification))

    def start(self, plan: RewritingPlan) -> ModifyCursor:  # noqa: ARG002 - of the seam
        """Begin with the first source."""
        return ModifyCursor()

    async def step(
        self, context: Context, args: ModifyArgs, plan: RewritingPlan, cursor: ModifyCursor
    ) -> Continue[ModifyCursor] | Done:
        """Rewrite and store some instances; then delete sources, if they are not to be kept.

        Safe to repeat and to cancel. Raises what the first source that fails raises, unless the job is
        permissive, and as `Rewriting.store`.
        """
        if args.is_dry_run:
            return Done(await self._preview(context, args, plan))
        if cursor.next == plan.total:
            return await self._conclude(context, args, plan, cursor)
        run = self._run(context, args, plan)
        outcomes = await rewrite_some(self._index, run.rewriting, plan, cursor.next, threads=self._threads)
        total = plan.total + (not args.keeps_source)
        if not args.is_permissive:
            refuse_failures(context, outcomes, done=cursor.next, total=total)
        cursor = _advanced(cursor, outcomes)
        content = progress_of(args, plan.total, cursor) | failures_of(outcomes)
        if cursor.next == plan.total and not args.needs_log:
            self._runs.pop(context.job_id, None)
            return Done(content)
        return Continue(cursor, cursor.next, total, content | rewriting_news(plan, cursor))

    async def _preview(self, context: Context, args: ModifyArgs, plan: RewritingPlan) -> dict[str, Any]:
        """Return what would become of some sources. Raises the first error, unless the job is permissive."""
        samples = plan.samples(_PREVIEWS)
        sources = [
            source
            for source in await self._index.read(lambda tx: load_sources(tx, samples))
            if isinstance(source, Source)
        ]
        previews = await preview(
            self._services.storage,
            context.in_worker,
            self._recipe(args, plan),
            self._services.present_options,
            sources,
            threads=self._threads,
        )
        errors = [one.error for one in previews if one.error is not None]
        if errors and not args.is_permissive:
            raise errors[0]
        return preview_json(previews, self._services.options.dictionary)

    async def _conclude(
        self, context: Context, args: ModifyArgs, plan: RewritingPlan, cursor: ModifyCursor
    ) -> Continue[ModifyCursor] | Done:
        """Do what needs to know all results; if the log of them was lost, start over."""
        log = self._log(context, args)
        lines = await self._in_thread(log.lines)
        if len(lines) < plan.total - cursor.failed:
            return Continue(ModifyCursor(), 0, plan.total)
        if not args.keeps_source:
            results = {line.result.instance for line in lines.values()}
            doomed = [id for id in lines if id not in results]
            if cursor.deleted == 0:
                await self._in_thread(log.end)
                # From an earlier boundary the job would look for sources that are gone.
                await context.checkpoint(cursor)
            page = doomed[cursor.deleted : cursor.deleted + _DELETIONS_OF_STEP]
            await delete_all(self._services.removal, page)
            cursor = replace(cursor, deleted=cursor.deleted + len(page))
            if cursor.deleted < len(doomed):
                news = deletion_news(len(doomed), cursor)
                return Continue(cursor, plan.total + cursor.deleted / len(doomed), plan.total + 1, news)
        self._runs.pop(context.job_id, None)
        content = progress_of(args, plan.total, cursor)
        if args.level is None:
            content |= results_content(line.result for line in lines.values())
        return Done(content)

    async def discard(self, context: Context, args: ModifyArgs) -> None:
        """Take back what the job has stored, if it is all or nothing. Safe to repeat."""
        self._runs.pop(context.job_id, None)
        if not args.is_atomic:
            return
        await delete_all(self._services.removal, await self._in_thread(self._log(context, args).doomed))

    def _run(self, context: Context, args: ModifyArgs, plan: RewritingPlan) -> _Run:
        known = self._runs.get(context.job_id)
        if known is None:
            known = self._runs[context.job_id] = self._begin(context, args, plan)
            if len(self._runs) > _RUNS:
                self._runs.popitem(last=False)
        return known

    def _begin(self, context: Context, args: ModifyArgs, plan: RewritingPlan) -> _Run:
        log = self._log(context, args)
        note = log.note if args.needs_log else None
        return _Run(self._services.begin(self._recipe(args, plan), context.in_worker, note), log)

    def _recipe(self, args: ModifyArgs, plan: RewritingPlan) -> Recipe:
        modification, chosen = args.modification, args.modification.chosen_identifiers
        return Recipe(
            modification=modification,
            key=self._services.key(modification, args.key),
            given={(level, uid.encode("ascii", "replace")): chosen[level] for level, uid in plan.replaced},
            origin=args.origin,
            relation=(Metadata.ANONYMIZED_FROM if modification.is_anonymization else Metadata.MODIFIED_FROM),
            keeps_labels=args.keeps_labels,
            transcoding=args.transcoding,
        )

    def _log(self, context: Context, args: ModifyArgs) -> RewritingLog:
        return RewritingLog(context.output_path(_LOG), is_durable=args.is_atomic)

    async def _in_thread(self, function: Callable[[], T]) -> T:
        return await trio.to_thread.run_sync(function, limiter=self._files)


def _secondary_captures(tx: ReadTransaction, ids: Sequence[str]) -> list[str]:
    """Return those of the instances that are pictures of a screen or of paper (PS3.3 §A.8)."""
    return [
        facts.id
        for start in range(0, len(ids), _FACTS_AT_ONCE)
        for facts in tx.facts_of(ids[start : start + _FACTS_AT_ONCE])
        if f"{facts.metadata.get(Metadata.SOP_CLASS_UID)}.".startswith(_SECONDARY_CAPTURE)
    ]


def _advanced(cursor: ModifyCursor, outcomes: Sequence[Outcome]) -> ModifyCursor:
    """Return the cursor behind `outcomes`."""
    results = [outcome.result for outcome in outcomes if outcome.result is not None]
    return replace(
        advanced(cursor, outcomes),
        result=cursor.result or next(iter(results), None),
        burned_in=cursor.burned_in.plus([one.source.instance for one in outcomes if one.is_burned_in]),
        not_transcoded=cursor.not_transcoded.plus(
            [one.source.instance for one in outcomes if not one.is_transcoded]
        ),
    )
