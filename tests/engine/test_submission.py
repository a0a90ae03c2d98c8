"""Submission: durable before it is answered, or not there at all."""

import pytest
import trio
from msgspec import Raw
from trio.testing import MockClock

from orthanc_trio.model.errors import (
    DatabaseError,
    DatabaseUnavailable,
    InexistentItem,
    UnknownResource,
)
from orthanc_trio.model.event import JobEvent
from orthanc_trio.model.job import JobState, SubmitOptions
from tests.support.jobs import CountArgs, CountKind, Gate, MemoryStore, running_engine


async def test_a_job_is_in_the_store_when_its_submission_returns() -> None:
    async with running_engine(CountKind(Gate())) as rig:
        record = await rig.engine.submit(
            "Count", CountArgs(), SubmitOptions(priority=3, user_data=Raw(b"[1]"))
        )
        assert record.id in rig.store.records
        assert (record.state, record.priority, record.content) == (JobState.PENDING, 3, {"Label": ""})
        assert bytes(record.user_data or b"") == b"[1]"


async def test_the_life_of_a_job_is_told_in_order() -> None:
    async with running_engine() as rig:
        record = await rig.engine.submit("Count", CountArgs())
        await rig.engine.wait(record.id)
        assert rig.states(record.id) == [JobState.PENDING, JobState.RUNNING, JobState.SUCCESS]


async def test_submission_and_end_are_told_after_they_are_saved() -> None:
    async with running_engine(concurrent_jobs=1) as rig:
        record = await rig.engine.submit("Count", CountArgs())
        await rig.engine.wait(record.id)
        writes_at = {
            event.record.state: writes
            for event, writes in zip(rig.events, rig.writes_at_events, strict=True)
            if isinstance(event, JobEvent)
        }
        # One write each for the submission, the plan and the end.
        assert writes_at == {JobState.PENDING: 1, JobState.RUNNING: 1, JobState.SUCCESS: 3}


async def test_what_the_kind_refuses_is_no_job() -> None:
    kind = CountKind()
    kind.refusal = UnknownResource()
    async with running_engine(kind) as rig:
        with pytest.raises(UnknownResource):
            await rig.engine.submit("Count", CountArgs())
        assert (rig.engine.records(), rig.events, rig.store.writes) == ([], [], 0)


async def test_a_job_that_cannot_be_saved_does_not_exist(autojump_clock: MockClock) -> None:
    async with running_engine() as rig:
        rig.store.is_failing = True
        with pytest.raises(DatabaseError):
            await rig.engine.submit("Count", CountArgs())
        assert (rig.engine.records(), rig.events) == ([], [])
        rig.store.is_failing = False
        await trio.sleep(10)
        assert rig.store.records == {}


async def test_a_submission_whose_caller_left_leaves_no_job(autojump_clock: MockClock) -> None:
    class SlowStore(MemoryStore):
        async def save(self, records: object, removed: object, output_news: object) -> None:
            await super().save(records, removed, output_news)  # type: ignore[arg-type]
            await trio.sleep(1)  # saved, but the caller does not know

    async with running_engine(store=SlowStore()) as rig:
        with trio.move_on_after(0.5):
            await rig.engine.submit("Count", CountArgs())
        assert rig.store.records != {}
        await trio.sleep(10)
        assert (rig.engine.records(), rig.events, rig.store.records) == ([], [], {})


async def test_concurrent_submissions_do_not_wait_for_each_other() -> None:
    gate = trio.Semaphore(0)
    async with running_engine() as rig, trio.open_nursery() as nursery:
        rig.store.before_write = gate.acquire
        for _ in range(5):
            nursery.start_soon(rig.engine.submit, "Count", CountArgs())
        await trio.testing.wait_all_tasks_blocked()
        assert gate.statistics().tasks_waiting == 5
        rig.store.before_write = trio.lowlevel.checkpoint
        for _ in range(5):
            gate.release()


async def test_a_fleeting_job_is_never_saved(autojump_clock: MockClock) -> None:
    async with running_engine() as rig:
        record = await rig.engine.submit("Count", CountArgs(3), SubmitOptions(is_durable=False))
        assert (await rig.engine.wait(record.id)).state is JobState.SUCCESS
        await trio.sleep(10)
        assert rig.store.writes == 0


async def test_priorities_decide_and_ties_are_first_in_first_out() -> None:
    gate = Gate()
    kind = CountKind(gate)
    async with running_engine(kind, concurrent_jobs=1) as rig:
        await rig.engine.submit("Count", CountArgs(label="first"))
        await gate.arrival()
        jobs = [
            await rig.engine.submit("Count", CountArgs(label=label), SubmitOptions(priority=priority))
            for label, priority in (("a", 0), ("b", 7), ("c", -1), ("d", 0), ("e", 7))
        ]
        gate.open(6)
        for job in jobs:
            await rig.engine.wait(job.id)
    assert [label for label, _ in kind.effects] == ["first", "b", "e", "a", "d", "c"]


async def test_no_more_jobs_run_than_there_are_slots() -> None:
    gate = Gate()
    async with running_engine(CountKind(gate), concurrent_jobs=2) as rig:
        jobs = [await rig.engine.submit("Count", CountArgs()) for _ in range(6)]
        for _ in range(2):
            await gate.arrival()
        assert (len(gate.waiting), rig.engine.count(JobState.RUNNING)) == (2, 2)
        gate.open(6)
        for job in jobs:
            await rig.engine.wait(job.id)
        running = 0
        for event in rig.events:
            assert isinstance(event, JobEvent)
            running += {JobState.PENDING: 0, JobState.RUNNING: 1}.get(event.record.state, -1)
            assert running <= 2


async def test_a_caller_that_stops_waiting_does_not_stop_the_job() -> None:
    gate = Gate()
    async with running_engine(CountKind(gate)) as rig:
        record = await rig.engine.submit("Count", CountArgs())
        await gate.arrival()
        with trio.CancelScope() as scope:
            scope.cancel()
            await rig.engine.wait(record.id)
        gate.open()
        assert (await rig.engine.wait(record.id)).state is JobState.SUCCESS


async def test_several_callers_get_the_same_record() -> None:
    gate = Gate()
    async with running_engine(CountKind(gate)) as rig:
        record = await rig.engine.submit("Count", CountArgs())
        results = []

        async def caller() -> None:
            results.append(await rig.engine.wait(record.id))

        async with trio.open_nursery() as nursery:
            for _ in range(2):
                nursery.start_soon(caller)
            await trio.testing.wait_all_tasks_blocked()
            gate.open()
        assert results == [await rig.engine.wait(record.id)] * 2


async def test_waiting_for_an_unknown_job_is_an_error() -> None:
    async with running_engine() as rig:
        with pytest.raises(InexistentItem, match="JobsHistorySize"):
            await rig.engine.wait("x")


async def test_an_engine_that_stops_takes_no_job() -> None:
    async with running_engine() as rig:
        await rig.engine.stop(0)
        with pytest.raises(DatabaseUnavailable):
            await rig.engine.submit("Count", CountArgs())
        with pytest.raises(DatabaseUnavailable):
            await rig.engine.pause("x")


async def test_an_engine_needs_no_probe() -> None:
    async with running_engine(is_probed=False) as rig:
        record = await rig.engine.submit("Count", CountArgs())
        assert (await rig.engine.wait(record.id)).state is JobState.SUCCESS
