"""Jobs that split and merge studies, step by step, as the engine drives them."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest
import trio

from orthanc_trio.dicom.dictionary import STANDARD
from orthanc_trio.dicom.restructuring import merge_modification, split_modification
from orthanc_trio.extent import Chunk
from orthanc_trio.jobs.kind import JobKind
from orthanc_trio.jobs.progress import at_end
from orthanc_trio.kinds import KindServices, discover, rewriting_step
from orthanc_trio.kinds.restructure import MERGE, SPLIT, MergeArgs, SplitArgs
from orthanc_trio.kinds.restructure_args import RestructureCursor
from orthanc_trio.model.errors import OrthancError, UnknownResource
from orthanc_trio.model.job import Continue, Done
from orthanc_trio.model.resource import Facts, ResourceLevel
from orthanc_trio.services.rewriting import RewritingOptions, RewritingServices
from orthanc_trio.services.switches import Switches
from tests.support.dicom import make_series, study_uid
from tests.support.services import REST, START, Services, open_services

PATIENT, STUDY, SERIES, INSTANCE = ResourceLevel
KEY = b"k" * 32
COUNT = 7
NEW_STUDY = "1.2.3.4"
T = TypeVar("T")


@pytest.fixture(autouse=True)
def _small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rewriting_step, "_STEP_INSTANCES", 2)


class Context:
    """The engine's side of one job."""

    job_id = "a5a8e1e6-6d28-4b1e-9d58-6a4b8f6a3c11"
    sink: trio.abc.SendChannel[Chunk] | None = None

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.saved: list[RestructureCursor] = []
        self.shown: dict[str, Any] = {}

    def report(self, done: float, total: float, content: dict[str, Any] | None = None) -> None:
        self.shown |= content or {}

    async def checkpoint(self, cursor: RestructureCursor) -> None:
        await trio.lowlevel.checkpoint()
        self.saved.append(cursor)

    def output_path(self, key: str) -> Path:
        return self.folder / f"{self.job_id}.{key}"

    async def in_worker(self, function: Callable[..., T], *args: Any) -> T:
        await trio.lowlevel.checkpoint()
        return function(*args)


class Studies:
    """A study of two series and one of one series, each of COUNT instances, and the kinds of jobs."""

    def __init__(self, services: Services, kinds: dict[str, JobKind[Any, Any, Any]], folder: Path) -> None:
        self.services = services
        self.kinds = kinds
        self.context = Context(folder)

    async def of(self, level: ResourceLevel) -> list[Facts]:
        return await self.services.facts(level)

    async def study(self, uid: str) -> Facts:
        [found] = [facts for facts in await self.of(STUDY) if facts.tags["0020,000d"] == uid]
        return found

    async def split(self, **arguments: Any) -> SplitArgs:
        study = await self.study(study_uid(1))
        return SplitArgs(
            study=study.id,
            series=(study.children[0],),
            study_uid=NEW_STUDY,
            modification=split_modification({}, NEW_STUDY, STANDARD),
            key=KEY,
            origin=REST,
            **arguments,
        )

    async def merge(self, **arguments: Any) -> MergeArgs:
        target, source = await self.study(study_uid(1)), await self.study(study_uid(2))
        tags = {"0010,0020": "P1", "0020,000d": study_uid(1), "0010,0010": "Doe^Jane"}
        return MergeArgs(
            study=target.id,
            sources=(source.id,),
            modification=merge_modification(tags, STANDARD),
            key=KEY,
            origin=REST,
            **arguments,
        )

    async def damage(self, args: SplitArgs | MergeArgs) -> str:
        """Remove the file of one source, as a broken disk would; return its identifier."""
        ids = await self.services.index.read(lambda tx: tx.descendants(args.resources[0], INSTANCE))
        [facts] = await self.services.index.read(lambda tx: tx.facts_of(ids[3:4]))
        file = facts.dicom
        assert file is not None
        await self.services.storage.run(lambda area: area.delete(file.uuid))
        return facts.id


@asynccontextmanager
async def open_studies(folder: Path) -> AsyncIterator[Studies]:
    async with open_services() as services:
        for study, series in ((1, 1), (1, 2), (2, 1)):
            for data in make_series(COUNT, study=study, series=series):
                await services.ingest.store(data, REST)
        rewriting = RewritingServices(
            ingest=services.ingest,
            storage=services.storage,
            removal=services.removal,
            options=RewritingOptions(),
            switches=Switches(),
            threads={},
            pseudonym_keys={},
        )
        made = discover(
            KindServices(
                index=services.index,
                storage=services.storage,
                is_synchronous=False,
                cores=2,
                now=lambda: START,
                rewriting=rewriting,
            )
        )
        yield Studies(services, {kind.name: kind for kind in made}, folder)


async def run(
    studies: Studies, name: str, args: SplitArgs | MergeArgs, *, times: int = 1
) -> tuple[dict[str, Any], int]:
    """Run a job, each step `times` times from the same cursor; return its content and the boundaries."""
    kind, context = studies.kinds[name], studies.context
    content = dict(await kind.check(args))  # type: ignore[arg-type]  # this kind returns a content
    plan = await kind.plan(context, args)
    cursor, boundaries = kind.start(plan), 0
    while True:
        for _ in range(times):
            outcome = await kind.step(context, args, plan, cursor)
        content |= outcome.content or {}  # type: ignore[union-attr]  # no retries here
        if isinstance(outcome, Done):
            return at_end(content, outcome.content), boundaries
        cursor, boundaries = outcome.cursor, boundaries + 1


@pytest.mark.parametrize("times", [1, 2])
async def test_split_moves_a_series_into_a_new_study(tmp_path: Path, times: int) -> None:
    async with open_studies(tmp_path) as studies:
        args = await studies.split()
        content, boundaries = await run(studies, SPLIT, args, times=times)
        new = await studies.study(NEW_STUDY)
        assert content == {
            "Description": "REST API",
            "FailedInstancesCount": 0,
            "InstancesCount": COUNT,
            "TargetStudy": new.id,
            "TargetStudyUID": NEW_STUDY,
        }
        assert boundaries >= COUNT // 2
        assert len(await studies.of(INSTANCE)) == 3 * COUNT
        assert len((await studies.study(study_uid(1))).children) == len(new.children) == 1
        [series] = [facts for facts in await studies.of(SERIES) if facts.parent == new.id]
        assert len(series.children) == COUNT


@pytest.mark.parametrize("times", [1, 2])
async def test_merge_moves_a_study_into_another_one(tmp_path: Path, times: int) -> None:
    async with open_studies(tmp_path) as studies:
        args = await studies.merge()
        content, _ = await run(studies, MERGE, args, times=times)
        [study] = await studies.of(STUDY)
        assert (content["TargetStudy"], content["InstancesCount"]) == (study.id, COUNT)
        assert "TargetStudyUID" not in content
        assert len(study.children) == 3
        assert len(await studies.of(INSTANCE)) == 3 * COUNT


async def test_sources_stay_if_they_are_to_be_kept(tmp_path: Path) -> None:
    async with open_studies(tmp_path) as studies:
        await run(studies, SPLIT, await studies.split(keeps_source=True))
        assert len(await studies.of(INSTANCE)) == 4 * COUNT
        assert studies.context.saved == []


async def test_sources_are_deleted_once_it_is_durable_that_all_successors_are_there(tmp_path: Path) -> None:
    async with open_studies(tmp_path) as studies:
        seen: list[int] = []

        class Watching(Context):
            async def checkpoint(self, cursor: RestructureCursor) -> None:
                await super().checkpoint(cursor)
                seen.append(len(await studies.of(INSTANCE)))

        studies.context = Watching(tmp_path)
        await run(studies, MERGE, await studies.merge())
        assert seen == [4 * COUNT]
        assert [cursor.next for cursor in studies.context.saved] == [COUNT]


async def test_a_lost_log_makes_the_job_begin_anew(tmp_path: Path) -> None:
    async with open_studies(tmp_path) as studies:
        args = await studies.merge()
        kind, context = studies.kinds[MERGE], studies.context
        plan = await kind.plan(context, args)
        await kind.step(context, args, plan, kind.start(plan))
        context.output_path("results").unlink()
        cursor = RestructureCursor(next=COUNT)
        outcome = await kind.step(context, args, plan, cursor)
        assert not isinstance(outcome, Done)
        assert outcome.cursor == RestructureCursor()
        await run(studies, MERGE, args)
        assert len(await studies.of(INSTANCE)) == 3 * COUNT


async def test_failure_of_one_source_keeps_all(tmp_path: Path) -> None:
    async with open_studies(tmp_path) as studies:
        args = await studies.merge()
        sources = {facts.id for facts in await studies.of(INSTANCE)}
        damaged = await studies.damage(args)
        with pytest.raises(OrthancError):
            await run(studies, MERGE, args)
        [failed] = studies.context.shown["FailedInstances"]
        assert failed == {"ID": damaged, "Error": "Inexistent file"}
        await studies.kinds[MERGE].discard(studies.context, args)
        assert sources <= {facts.id for facts in await studies.of(INSTANCE)}


@pytest.mark.parametrize("keeps_source", [True, False])
async def test_failure_of_a_job_that_is_all_or_nothing_leaves_nothing_new(
    tmp_path: Path, keeps_source: bool
) -> None:
    async with open_studies(tmp_path) as studies:
        args = await studies.merge(is_atomic=True, keeps_source=keeps_source)
        sources = {facts.id for facts in await studies.of(INSTANCE)}
        await studies.damage(args)
        with pytest.raises(OrthancError):
            await run(studies, MERGE, args)
        assert len(await studies.of(INSTANCE)) > len(sources)
        for _ in range(2):
            await studies.kinds[MERGE].discard(studies.context, args)
            assert {facts.id for facts in await studies.of(INSTANCE)} == sources


async def test_what_has_taken_the_place_of_its_source_stays(tmp_path: Path) -> None:
    async with open_studies(tmp_path) as studies:
        args = await studies.merge(is_atomic=True)
        await run(studies, MERGE, args)
        await studies.kinds[MERGE].discard(studies.context, args)
        assert len(await studies.of(INSTANCE)) == 3 * COUNT


async def test_permissive_job_leaves_what_fails_where_it_was(tmp_path: Path) -> None:
    async with open_studies(tmp_path) as studies:
        args = await studies.merge(is_permissive=True)
        damaged = await studies.damage(args)
        content, _ = await run(studies, MERGE, args)
        assert (content["FailedInstancesCount"], content["InstancesCount"]) == (1, COUNT)
        assert [failed["ID"] for failed in content["FailedInstances"]] == [damaged]
        left = await studies.study(study_uid(2))
        rows = await studies.services.index.read(lambda tx: tx.descendants(left.id, INSTANCE))
        assert rows == [damaged]


async def test_a_job_counts_what_is_there_when_it_begins(tmp_path: Path) -> None:
    async with open_studies(tmp_path) as studies:
        args = await studies.merge()
        content = dict(await studies.kinds[MERGE].check(args))  # type: ignore[arg-type]  # as above
        assert content["InstancesCount"] == COUNT
        source = await studies.study(study_uid(2))
        rows = await studies.services.index.read(lambda tx: tx.descendants(source.id, INSTANCE))
        await studies.services.removal.delete(INSTANCE, rows[0])
        plan = await studies.kinds[MERGE].plan(studies.context, args)
        cursor = studies.kinds[MERGE].start(plan)
        outcome = await studies.kinds[MERGE].step(studies.context, args, plan, cursor)
        assert isinstance(outcome, Continue)
        assert outcome.content is not None
        assert outcome.content["InstancesCount"] == COUNT - 1
        assert outcome.content["Progress"]["Bytes"] > 0


async def test_what_vanishes_before_the_job_begins_is_refused(tmp_path: Path) -> None:
    async with open_studies(tmp_path) as studies:
        args = await studies.merge()
        await studies.services.removal.delete(STUDY, args.sources[0])
        with pytest.raises(UnknownResource):
            await studies.kinds[MERGE].check(args)
