"""Outputs that make place for newer ones or get too old: what remains of their jobs."""

from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from orthanc_trio.jobs.attempt import AnyOutcome
from orthanc_trio.jobs.outputs import Outputs
from orthanc_trio.model.event import JobEnded, JobEvent
from orthanc_trio.model.job import Done, JobOutput, JobRecord, JobState
from tests.support.jobs import Context, CountArgs, CountKind, Rig, names, running_engine


async def leave_ten_bytes(context: Context, position: int) -> AnyOutcome:
    await trio.lowlevel.checkpoint()
    path = context.output_path("archive")
    path.write_bytes(bytes(10))
    output = JobOutput(key="archive", file=path.name, filename="x", media_type="x", size_bytes=10)
    return Done(outputs=(output,))


async def ended_job(rig: Rig) -> JobRecord:
    return await rig.engine.wait((await rig.engine.submit("Count", CountArgs())).id)


def current(rig: Rig, job: JobRecord) -> JobRecord:
    found = rig.engine.get(job.id)
    assert found is not None
    return found


async def check_a_restart_changes_nothing(rig: Rig, outputs: Outputs, jobs: list[JobRecord]) -> None:
    before = [current(rig, job) for job in jobs]
    async with running_engine(CountKind(), outputs=outputs, store=rig.store.survivor()) as later:
        assert [current(later, job) for job in jobs] == before


async def check_only_the_job_is_left(rig: Rig, job: JobRecord) -> None:
    assert (current(rig, job).state, current(rig, job).outputs) == (JobState.SUCCESS, ())
    assert current(rig, job).changed == job.changed
    assert await rig.engine.open_output(job.id, "archive") is None
    assert not await rig.engine.delete_output(job.id, "archive")


@pytest.mark.parametrize(("max_bytes", "count"), [(0, 3), (29, 2), (10, 1), (9, 1), (1, 1)])
async def test_as_many_are_kept_as_fit_and_one_at_least(tmp_path: Path, max_bytes: int, count: int) -> None:
    outputs = Outputs(tmp_path, max_files=100, max_bytes=max_bytes)
    async with running_engine(CountKind(leave_ten_bytes), outputs=outputs) as rig:
        jobs = [await ended_job(rig) for _ in range(3)]
        for job in jobs[:-count]:
            await check_only_the_job_is_left(rig, job)
        await rig.engine.stop(0)
        assert names(tmp_path) == {job.outputs[0].file for job in jobs[-count:]}
    await check_a_restart_changes_nothing(rig, outputs, jobs)


async def test_an_end_is_told_once_though_the_output_goes_later(tmp_path: Path) -> None:
    outputs = Outputs(tmp_path, max_files=1)
    async with running_engine(CountKind(leave_ten_bytes), outputs=outputs) as rig:
        jobs = [await ended_job(rig) for _ in range(3)]
        told = [event.record.outputs for event in rig.events if isinstance(event, JobEvent)]
        assert told.count(()) > len(jobs)  # with those whose outputs have made place
        assert [event.record for event in rig.events if isinstance(event, JobEnded)] == jobs


async def test_an_output_is_removed_at_its_time(tmp_path: Path, autojump_clock: MockClock) -> None:
    outputs = Outputs(tmp_path, max_files=100, max_age_s=60)
    async with running_engine(CountKind(leave_ten_bytes), outputs=outputs) as rig:
        await trio.sleep(1000)
        first = await ended_job(rig)
        await trio.sleep(40)
        second = await ended_job(rig)
        await trio.sleep(19)
        assert current(rig, first).outputs == first.outputs
        await trio.sleep(2)
        await check_only_the_job_is_left(rig, first)
        assert current(rig, second).outputs == second.outputs
        await trio.sleep(38)
        assert current(rig, second).outputs == second.outputs
        await trio.sleep(2)
        await check_only_the_job_is_left(rig, second)
    assert names(tmp_path) == set()
    await check_a_restart_changes_nothing(rig, Outputs(tmp_path, max_files=100), [first, second])


async def test_the_time_runs_while_the_server_does_not(tmp_path: Path, autojump_clock: MockClock) -> None:
    kind = CountKind(leave_ten_bytes)
    async with running_engine(kind, outputs=Outputs(tmp_path, max_files=9)) as rig:
        job = await ended_job(rig)
    await trio.sleep(60)
    for max_age_s, outputs in ((61, job.outputs), (59, ())):
        limited = Outputs(tmp_path, max_files=9, max_age_s=max_age_s)
        async with running_engine(kind, outputs=limited, store=rig.store.survivor()) as later:
            await trio.sleep(0.5)
            assert current(later, job).outputs == outputs
    assert names(tmp_path) == set()


async def test_a_removed_output_needs_no_expiry(tmp_path: Path, autojump_clock: MockClock) -> None:
    outputs = Outputs(tmp_path, max_files=9, max_age_s=60)
    async with running_engine(CountKind(leave_ten_bytes), outputs=outputs) as rig:
        deleted, other = await ended_job(rig), await ended_job(rig)
        assert await rig.engine.delete(deleted.id)
        await trio.sleep(61)
        await check_only_the_job_is_left(rig, other)
