"""JobsHistorySize: how many ended jobs are kept."""

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from orthanc_trio.model.errors import InexistentItem
from orthanc_trio.model.job import JobState
from tests.support.jobs import CountArgs, CountKind, Gate, running_engine


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
