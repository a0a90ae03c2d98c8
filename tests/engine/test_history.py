"""Which ended jobs are kept: how many, how long, and those that do not want to be kept."""

import pytest
import trio
import trio.lowlevel
from trio.testing import MockClock, wait_all_tasks_blocked

from orthanc_trio.model.errors import InexistentItem, UnknownResource
from orthanc_trio.model.job import JobState, SubmitOptions
from tests.support.jobs import Context, CountArgs, CountKind, Gate, MemoryStore, Rig, running_engine


async def test_the_oldest_ended_jobs_are_forgotten(autojump_clock: MockClock) -> None:
    async with running_engine(history_size=2) as rig:
        ids = []
        for _ in range(4):
            record = await rig.engine.submit("Count", CountArgs())
            await rig.engine.wait(record.id)
            ids.append(record.id)
        await trio.sleep(1)
        assert [record.id for record in rig.engine.records()] == sorted(ids[2:])
        assert rig.forgotten() == ids[:2]
        assert rig.store.records.keys() == rig.store.plans.keys() == set(ids[2:])


async def test_without_a_history_a_caller_that_waits_cannot_be_told(autojump_clock: MockClock) -> None:
    async with running_engine(history_size=0) as rig:
        record = await rig.engine.submit("Count", CountArgs())
        with pytest.raises(InexistentItem, match='make sure that "JobsHistorySize" is not 0'):
            await rig.engine.wait(record.id)
        await trio.sleep(1)
        assert rig.states(record.id)[-1] is JobState.SUCCESS
        assert (rig.forgotten(), rig.engine.records(), rig.store.records) == ([record.id], [], {})


async def test_a_caller_that_waits_is_told_even_if_the_job_is_forgotten_right_after() -> None:
    gate = Gate()
    async with running_engine(CountKind(gate), history_size=1) as rig:
        jobs = [await rig.engine.submit("Count", CountArgs()) for _ in range(2)]
        for _ in jobs:
            await gate.arrival()
        ended = []

        async def caller(id: str) -> None:
            ended.append((await rig.engine.wait(id)).state)

        async with trio.open_nursery() as nursery:
            for job in jobs:
                nursery.start_soon(caller, job.id)
            await wait_all_tasks_blocked()
            gate.open(2)
        assert ended == [JobState.SUCCESS] * 2


async def test_a_paused_job_does_not_count() -> None:
    gate = Gate()
    async with running_engine(CountKind(gate), history_size=1, concurrent_jobs=1) as rig:
        await rig.engine.submit("Count", CountArgs())
        paused = await rig.engine.submit("Count", CountArgs())
        await rig.engine.pause(paused.id)
        gate.open(3)
        for _ in range(2):
            await rig.engine.wait((await rig.engine.submit("Count", CountArgs())).id)
        assert rig.engine.count(JobState.PAUSED) == 1
        assert len(rig.engine.records()) == 2


async def test_a_job_that_wants_it_is_forgotten_when_it_succeeds() -> None:
    async with running_engine() as rig:
        record = await rig.engine.submit("Count", CountArgs(), SubmitOptions(auto_delete=True))
        assert (await rig.engine.wait(record.id)).state is JobState.SUCCESS
        assert (rig.engine.records(), rig.forgotten()) == ([], [record.id])
        assert rig.states(record.id)[-1] is JobState.SUCCESS
        await rig.engine.stop(0)
        assert rig.store.records == {}


async def test_a_job_that_wants_to_be_forgotten_stays_if_it_fails() -> None:
    async with running_engine(CountKind(fail)) as rig:
        record = await rig.engine.submit("Count", CountArgs(), SubmitOptions(auto_delete=True))
        await rig.engine.wait(record.id)
        assert rig.engine.ids() == [record.id]


async def test_a_success_that_is_forgotten_pushes_out_no_failure() -> None:
    options = SubmitOptions(auto_delete=True)
    async with running_engine(CountKind(fail_odd), history_size=1) as rig:
        failed = await rig.engine.submit("Count", CountArgs(2), options)
        await rig.engine.wait(failed.id)
        succeeded = await rig.engine.submit("Count", CountArgs(1), options)
        assert (await rig.engine.wait(succeeded.id)).state is JobState.SUCCESS
        assert (rig.engine.ids(), rig.forgotten()) == ([failed.id], [succeeded.id])


async def test_a_crash_before_a_job_is_forgotten_only_delays_it() -> None:
    store = MemoryStore()
    async with running_engine(store=store) as rig:
        record = await rig.engine.submit("Count", CountArgs(), SubmitOptions(auto_delete=True))
        await rig.engine.wait(record.id)
        rig.crash()
    assert record.id in store.records
    store = store.survivor()
    async with running_engine(store=store) as rig:
        assert rig.engine.records() == []
    assert store.records == {}


async def fail(context: Context, position: int) -> None:
    await trio.lowlevel.checkpoint()
    raise UnknownResource


async def fail_odd(context: Context, position: int) -> None:
    await trio.lowlevel.checkpoint()
    if position:
        raise UnknownResource


async def run(rig: Rig, *steps: int) -> list[str]:
    """Run jobs one after the other; those of two steps fail."""
    return [(await rig.engine.wait((await rig.engine.submit("Count", CountArgs(n))).id)).id for n in steps]


async def test_failures_may_have_a_history_of_their_own() -> None:
    async with running_engine(CountKind(fail_odd), history_size=1, failed_size=2) as rig:
        ids = await run(rig, 2, 2, 2, 1, 1)
        assert rig.engine.ids() == sorted([ids[1], ids[2], ids[4]])


@pytest.mark.parametrize("failed_size", [None, 10])
async def test_jobs_are_forgotten_when_their_end_is_too_long_ago(
    failed_size: int | None, autojump_clock: MockClock
) -> None:
    async with running_engine(CountKind(fail_odd), max_age_s=100, failed_size=failed_size) as rig:
        [old] = await run(rig, 1)
        await trio.sleep(60)
        [young] = await run(rig, 2)
        waiting = await rig.engine.submit("Count", CountArgs())
        await rig.engine.pause(waiting.id)
        await trio.sleep(39)
        assert set(rig.engine.ids()) == {old, young, waiting.id}
        await trio.sleep(2)
        assert set(rig.engine.ids()) == {young, waiting.id}
        await trio.sleep(60)
        assert rig.engine.ids() == [waiting.id]
        assert rig.forgotten() == [old, young]


@pytest.mark.parametrize("failed_size", [None, 10])
async def test_failures_may_be_kept_for_another_time(
    failed_size: int | None, autojump_clock: MockClock
) -> None:
    async with running_engine(
        CountKind(fail_odd), failed_size=failed_size, max_age_s=100, failed_max_age_s=1000
    ) as rig:
        [succeeded, failed] = await run(rig, 1, 2)
        await trio.sleep(101)
        assert rig.engine.ids() == [failed]
        await trio.sleep(900)
        assert rig.forgotten() == [succeeded, failed]


async def test_failures_may_be_the_only_ones_that_get_too_old(autojump_clock: MockClock) -> None:
    async with running_engine(CountKind(fail_odd), failed_max_age_s=100) as rig:
        [succeeded, _] = await run(rig, 1, 2)
        await trio.sleep(1000)
        assert rig.engine.ids() == [succeeded]


async def test_a_restart_forgets_what_is_too_old(autojump_clock: MockClock) -> None:
    store = MemoryStore()
    async with running_engine(store=store, max_age_s=100) as rig:
        await run(rig, 1)
    await trio.sleep(200)
    async with running_engine(store=store, max_age_s=100) as rig:
        await trio.lowlevel.checkpoint()
        await wait_all_tasks_blocked()
        assert rig.engine.records() == []
