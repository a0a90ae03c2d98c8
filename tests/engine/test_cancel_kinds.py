"""Jobs of the real kinds, cancelled at the first, second, third ... checkpoint: what is left is whole."""

from functools import partial
from pathlib import Path

import pytest

from orthanc_trio.jobs.outputs import Outputs
from orthanc_trio.kinds import archive_step, archive_whole, rewriting_step
from orthanc_trio.kinds.archive import ArchiveArgs
from orthanc_trio.kinds.restructure import MERGE, SPLIT
from orthanc_trio.model.error_code import ErrorCode
from orthanc_trio.model.job import JobRecord, JobState
from orthanc_trio.model.resource import ResourceLevel
from tests.engine.test_archive_kind import id_of, opened_library
from tests.engine.test_cancel_everywhere import AtCheckpoint, check_files, instrumented, start_cancel
from tests.engine.test_modify_kind import anonymization, opened
from tests.engine.test_restructure_kind import COUNT, NEW_STUDY, Studies, open_studies
from tests.engine.test_webhook_kind import sending
from tests.support.dicom import make_instance, study_uid
from tests.support.jobs import MemoryStore, Rig, running_engine
from tests.support.receiver import receiving

INSTANCES = 5
FEWEST, MOST = 10, 300


def is_of_a_job(task: str) -> bool:
    return task.startswith("job ")


async def rest(rig: Rig) -> None:
    """Wait until no job holds a slot."""
    await rig.until(lambda: not rig.engine.slots.borrowed_tokens)
    rig.check_at_rest()


async def cancelled_at(number: int, rig: Rig, kind: str, args: ArchiveArgs) -> tuple[JobRecord, bool]:
    """Run a job, cancel it at its checkpoint `number`, and return how it ended and whether that was late."""
    record = await rig.engine.submit(kind, args)
    instrument = AtCheckpoint(number, is_of_a_job, partial(start_cancel, rig, record.id))
    async with instrumented(instrument):
        record = await rig.engine.wait(record.id)
    if record.state is JobState.FAILURE:
        assert record.fault is not None
        assert record.fault.code is ErrorCode.CANCELED_JOB
    await rest(rig)
    return record, not instrument.has_acted


@pytest.mark.time_limit(60)
@pytest.mark.parametrize("kind", ["Archive", "Media"])
async def test_an_archive_that_is_cancelled_anywhere_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(archive_whole, "SMALL_INSTANCES", 0)
    monkeypatch.setattr(archive_step, "_STEP_MEMBERS", 2)
    async with opened_library() as library:
        for number in range(INSTANCES):
            stored = await library.store(make_instance(instance=number + 1))
        args = ArchiveArgs(resources=(id_of(stored, ResourceLevel.STUDY),), has_manifest=True)
        for number in range(1, MOST):
            folder = tmp_path / str(number)
            outputs = Outputs(folder, max_files=1)
            store = MemoryStore(library.services.index)
            async with running_engine(library.kinds[kind], store=store, outputs=outputs) as rig:
                record, is_over = await cancelled_at(number, rig, kind, args)
                await rig.engine.stop(0)
                check_files(rig, folder)
            assert bool(record.outputs) == (record.state is JobState.SUCCESS)
            if is_over:
                assert record.state is JobState.SUCCESS
                assert number > FEWEST
                return
    raise AssertionError("the job never ended")


@pytest.mark.time_limit(120)
async def test_a_modification_that_is_cancelled_anywhere_makes_each_instance_once_when_it_runs_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rewriting_step, "_STEP_INSTANCES", 2)
    for number in range(1, MOST):
        folder = tmp_path / str(number)
        folder.mkdir()
        async with opened(folder) as library:
            await library.upload(*(make_instance(instance=each + 1) for each in range(INSTANCES)))
            args = anonymization(await library.ids(ResourceLevel.STUDY))
            async with running_engine(library.kind) as rig:
                record = await rig.engine.submit(library.kind.name, args)
                instrument = AtCheckpoint(number, is_of_a_job, partial(start_cancel, rig, record.id))
                async with instrumented(instrument):
                    record = await rig.engine.wait(record.id)
                made = len(await library.ids(ResourceLevel.INSTANCE)) - INSTANCES
                assert 0 <= made <= INSTANCES
                if record.state is JobState.FAILURE:
                    await rest(rig)
                    assert await rig.engine.resubmit(record.id)
                    record = await rig.engine.wait(record.id)
                assert record.state is JobState.SUCCESS
            assert len(await library.ids(ResourceLevel.INSTANCE)) == 2 * INSTANCES
        if not instrument.has_acted:
            assert number > FEWEST
            return
    raise AssertionError("the job never ended")


async def places(studies: Studies) -> dict[str, int]:
    """Return how many instances each study has, by its UID."""
    found: dict[str, int] = {}
    for facts in await studies.of(ResourceLevel.STUDY):
        ids = await studies.services.index.read(
            lambda tx, id=facts.id: tx.descendants(id, ResourceLevel.INSTANCE)  # type: ignore[misc]
        )
        found[facts.tags["0020,000d"]] = len(ids)
    return found


@pytest.mark.time_limit(120)
@pytest.mark.parametrize(
    ("kind", "moved", "at_end"),
    [
        (SPLIT, COUNT, {study_uid(1): COUNT, study_uid(2): COUNT, NEW_STUDY: COUNT}),
        (MERGE, COUNT, {study_uid(1): 3 * COUNT}),
    ],
)
async def test_a_move_that_is_cancelled_anywhere_loses_nothing_and_ends_when_it_runs_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, moved: int, at_end: dict[str, int]
) -> None:
    monkeypatch.setattr(rewriting_step, "_STEP_INSTANCES", 3)
    for number in range(1, MOST):
        folder = tmp_path / str(number)
        folder.mkdir()
        async with open_studies(folder) as studies:
            args = await (studies.split() if kind == SPLIT else studies.merge())
            outputs = Outputs(folder, max_files=10)
            async with running_engine(studies.kinds[kind], outputs=outputs) as rig:
                record = await rig.engine.submit(kind, args)
                instrument = AtCheckpoint(number, is_of_a_job, partial(start_cancel, rig, record.id))
                async with instrumented(instrument):
                    record = await rig.engine.wait(record.id)
                assert 3 * COUNT <= sum((await places(studies)).values()) <= 3 * COUNT + moved
                if record.state is JobState.FAILURE:
                    await rest(rig)
                    assert await rig.engine.resubmit(record.id)
                    record = await rig.engine.wait(record.id)
                assert record.state is JobState.SUCCESS, (number, record.fault)
            assert await places(studies) == at_end
        if not instrument.has_acted:
            assert number > FEWEST
            return
    raise AssertionError("the job never ended")


@pytest.mark.time_limit(60)
async def test_a_webhook_that_is_cancelled_anywhere_is_told_when_it_runs_again() -> None:
    for number in range(1, MOST):
        async with receiving() as receiver, sending(receiver.url) as sender:
            rig = sender.rig
            record = await sender.submit()
            instrument = AtCheckpoint(number, is_of_a_job, partial(start_cancel, rig, record.id))
            async with instrumented(instrument):
                record = await rig.engine.wait(record.id)
            assert len(receiver.calls) <= 1
            if record.state is JobState.FAILURE:
                assert record.fault is not None
                assert record.fault.code is ErrorCode.CANCELED_JOB
                assert await rig.engine.resubmit(record.id)
                record = await rig.engine.wait(record.id)
            assert record.state is JobState.SUCCESS
            await rest(rig)
            assert {call.delivery for call in receiver.calls} == {"e1"}
            assert len(receiver.calls) <= 2
        if not instrument.has_acted:
            assert number > 3
            return
    raise AssertionError("the job never ended")
