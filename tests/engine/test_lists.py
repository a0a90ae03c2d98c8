"""Pages of jobs, and the same action on many."""

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from orthanc_trio.jobs.control import Verdict
from orthanc_trio.model.errors import DatabaseError, DatabaseUnavailable, OrthancError
from orthanc_trio.model.job import JobRecord, JobState
from tests.support.jobs import CountArgs, CountKind, Gate, MemoryStore, Rig, running_engine


async def submit(rig: Rig, count: int) -> list[str]:
    return [(await rig.engine.submit("Count", CountArgs())).id for _ in range(count)]


def ids(records: list[JobRecord]) -> list[str]:
    return [record.id for record in records]


async def test_pages_follow_each_other() -> None:
    async with running_engine(CountKind(Gate())) as rig:
        jobs, engine = await submit(rig, 5), rig.engine
        assert (engine.ids(), set(engine.kinds)) == (sorted(jobs), {"Count"})
        first = engine.page(2)
        assert ids(first) == sorted(jobs)[:2]
        assert ids(engine.page(9, after=first[-1].id)) == sorted(jobs)[2:]
        assert engine.page(9, after=max(jobs)) == []
        first = engine.page_by_submission(3)
        assert ids(first) == jobs[:3]
        assert ids(engine.page_by_submission(3, after=first[-1].sequence)) == jobs[3:]
        newest = engine.page_newest_first(2)
        assert ids(newest) == jobs[:2:-1]
        assert ids(engine.page_newest_first(9, before=newest[-1].sequence)) == jobs[2::-1]


async def test_pages_go_on_where_a_job_is_gone() -> None:
    async with running_engine() as rig:
        jobs = sorted(await submit(rig, 4))
        for job in jobs:
            await rig.engine.wait(job)
        last = rig.engine.page(2)[-1]
        await rig.engine.delete(last.id)
        assert ids(rig.engine.page(9, after=last.id)) == jobs[2:]
        assert len(rig.engine.page_by_submission(9)) == 3


async def test_pages_are_the_same_after_a_restart() -> None:
    store = MemoryStore()
    async with running_engine(CountKind(Gate()), store=store) as rig:
        jobs = await submit(rig, 4)
        await rig.engine.cancel(jobs[0])
    async with running_engine(CountKind(Gate()), store=store) as rig:
        assert ids(rig.engine.page_by_submission(9)) == jobs
        assert ids(rig.engine.page(9)) == sorted(jobs)


async def test_each_of_many_jobs_has_its_verdict() -> None:
    async with running_engine(CountKind(Gate()), concurrent_jobs=1) as rig:
        jobs = await submit(rig, 250)
        verdicts = await rig.engine.for_each(rig.engine.resume, [*jobs, "x"])
        assert verdicts[0] == Verdict("The job is not paused: Running")
        assert verdicts[1:250] == [Verdict("The job is not paused: Pending")] * 249
        assert verdicts[250] == Verdict("There is no such job")
        assert all(await rig.engine.for_each(rig.engine.cancel, jobs))


async def test_an_error_of_one_of_many_is_raised_when_the_others_are_done() -> None:
    async with running_engine(CountKind(Gate()), concurrent_jobs=1) as rig:
        jobs = await submit(rig, 10)
        await wait_all_tasks_blocked()
        rig.store.is_failing = True
        with pytest.raises(DatabaseError):
            await rig.engine.for_each(rig.engine.cancel, jobs)
        rig.store.is_failing = False
        await wait_all_tasks_blocked()
        assert rig.engine.count(JobState.FAILURE) == 10


async def test_actions_on_many_jobs_let_others_run() -> None:
    turns = 0

    async def watch() -> None:
        nonlocal turns
        while True:
            await trio.lowlevel.checkpoint()
            turns += 1

    async with running_engine(CountKind(Gate()), concurrent_jobs=1, history_size=5000) as rig:
        jobs = await submit(rig, 2000)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(watch)
            assert all(await rig.engine.for_each(rig.engine.cancel, jobs))
            nursery.cancel_scope.cancel()
        assert turns > 10


REASONS = [
    ("resume", "The job is not paused: Running"),
    ("resubmit", "The job has not failed and does not wait for a retry: Running"),
    ("delete", "The job has not ended: Running"),
]


@pytest.mark.parametrize(("action", "reason"), REASONS)
async def test_a_refusal_says_why(action: str, reason: str) -> None:
    gate = Gate()
    async with running_engine(CountKind(gate)) as rig:
        [job] = await submit(rig, 1)
        await gate.arrival()
        assert await getattr(rig.engine, action)(job) == Verdict(reason)
        assert await rig.engine.delete_output(job, "archive") == Verdict("Job has no such output: archive")


async def test_after_the_end_of_the_engine_nothing_is_accepted() -> None:
    async with running_engine() as rig:
        await rig.engine.stop(0)
        for call in (rig.engine.cancel("x"), rig.engine.hold(type="x"), rig.engine.release(type="x")):
            with pytest.raises(DatabaseUnavailable):
                await call
        with pytest.raises(OrthancError):
            await rig.engine.for_each(rig.engine.cancel, ["x"])
