"""Pause, resume, cancel, resubmit, delete: in every state, and against each other."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from orthanc_trio.extent import Chunk
from orthanc_trio.jobs.attempt import AnyOutcome
from orthanc_trio.jobs.control import Verdict
from orthanc_trio.jobs.journal import decode_record
from orthanc_trio.jobs.outputs import Outputs
from orthanc_trio.model.error_code import ErrorCode
from orthanc_trio.model.errors import DatabaseError, DatabaseUnavailable, UnknownResource
from orthanc_trio.model.job import JobFault, JobState, RetryAfter, SubmitOptions
from tests.engine.test_steps import leave_output
from tests.support.jobs import Context, CountArgs, CountCursor, CountKind, Gate, Rig, names, running_engine

CANCELED = JobFault(code=ErrorCode.CANCELED_JOB)


class Bench(NamedTuple):
    """A job of three steps in some state; it has done the first if it ever ran."""

    rig: Rig
    id: str
    kind: CountKind
    gate: Gate

    def state(self) -> JobState:
        record = self.rig.engine.get(self.id)
        assert record is not None
        return record.state


@asynccontextmanager
async def job_in(state: JobState) -> AsyncIterator[Bench]:
    gate = Gate()
    second_steps = 0

    async def step(context: Context, position: int) -> AnyOutcome | None:
        nonlocal second_steps
        await gate(context, position)
        second_steps += position == 1
        if second_steps == 1 and position == 1 and state is JobState.RETRY:
            return RetryAfter(1000, CountCursor(1))
        if second_steps == 1 and position == 1 and state is JobState.FAILURE:
            raise UnknownResource("x")
        return None

    kind = CountKind(step)
    async with running_engine(kind, concurrent_jobs=1) as rig:
        if state is JobState.PENDING:
            await rig.engine.submit("Count", CountArgs(label="blocker"), SubmitOptions(priority=9))
            await gate.arrival()
        id = (await rig.engine.submit("Count", CountArgs(3))).id
        if state is not JobState.PENDING:
            await gate.arrival()
            gate.open()
            await gate.arrival()
        if state is JobState.PAUSED:
            await rig.engine.pause(id)
        if state in (JobState.PAUSED, JobState.RETRY, JobState.FAILURE):
            gate.open()
        if state is JobState.SUCCESS:
            gate.open(2)
        await rig.until_state(id, state)
        await wait_all_tasks_blocked()
        yield Bench(rig, id, kind, gate)


ACCEPTED = {
    "pause": set(JobState),
    "cancel": set(JobState),
    "resume": {JobState.PAUSED},
    "resubmit": {JobState.FAILURE, JobState.RETRY},
    "delete": {JobState.SUCCESS, JobState.FAILURE, JobState.RETRY},
}


@pytest.mark.parametrize("state", JobState)
@pytest.mark.parametrize("action", ACCEPTED)
async def test_each_action_in_each_state(action: str, state: JobState) -> None:
    async with job_in(state) as bench:
        is_accepted = await getattr(bench.rig.engine, action)(bench.id)
        assert bool(is_accepted) == (state in ACCEPTED[action])


@pytest.mark.parametrize("action", ACCEPTED)
async def test_each_action_refuses_an_unknown_job(action: str) -> None:
    async with running_engine() as rig:
        assert await getattr(rig.engine, action)("x") == Verdict("There is no such job")


@pytest.mark.parametrize("state", [JobState.PENDING, JobState.RETRY, JobState.PAUSED])
async def test_a_job_that_does_not_run_is_cancelled_at_once(state: JobState) -> None:
    async with job_in(state) as bench:
        assert await bench.rig.engine.cancel(bench.id)
        record = bench.rig.engine.get(bench.id)
        assert record is not None
        assert (record.state, record.fault) == (JobState.FAILURE, CANCELED)
        assert decode_record(bench.rig.store.records[bench.id]) == record
        assert bench.kind.discarded == [bench.id]


async def test_a_running_step_is_cancelled_at_its_next_await() -> None:
    async with job_in(JobState.RUNNING) as bench:
        assert await bench.rig.engine.cancel(bench.id)
        record = await bench.rig.engine.wait(bench.id)
        assert (record.state, record.fault, record.done) == (JobState.FAILURE, CANCELED, 1)
        assert bench.kind.effects == [("", 0)]
        assert bench.kind.discarded == [bench.id]


async def test_a_step_that_ends_in_spite_of_a_cancel_has_ended() -> None:
    rigs: list[Rig] = []

    async def step(context: Context, position: int) -> None:
        with trio.CancelScope(shield=True):
            await rigs[0].engine.cancel(context.job_id)

    async with running_engine(CountKind(step)) as rig:
        rigs.append(rig)
        succeeding = await rig.engine.submit("Count", CountArgs(1))
        going_on = await rig.engine.submit("Count", CountArgs(2))
        assert (await rig.engine.wait(succeeding.id)).state is JobState.SUCCESS
        assert (await rig.engine.wait(going_on.id)).fault == CANCELED


async def test_what_a_cancelled_step_raises_on_its_way_out_does_not_matter() -> None:
    async def step(context: Context, position: int) -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise UnknownResource

    async with running_engine(CountKind(step)) as rig:
        record = await rig.engine.submit("Count", CountArgs())
        await wait_all_tasks_blocked()
        await rig.engine.cancel(record.id)
        assert (await rig.engine.wait(record.id)).fault == CANCELED


async def test_errors_beside_a_cancel_do_not_matter() -> None:
    async def fail_when_cancelled() -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise UnknownResource

    async def step(context: Context, position: int) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(fail_when_cancelled)
            nursery.start_soon(trio.sleep_forever)

    async with running_engine(CountKind(step)) as rig:
        record = await rig.engine.submit("Count", CountArgs())
        await wait_all_tasks_blocked()
        await rig.engine.cancel(record.id)
        assert (await rig.engine.wait(record.id)).fault == CANCELED


async def test_a_hundred_stuck_jobs_are_cancelled(autojump_clock: MockClock) -> None:
    async def step(context: Context, position: int) -> None:
        await trio.sleep_forever()

    async with running_engine(CountKind(step), concurrent_jobs=100, history_size=100) as rig:
        jobs = [await rig.engine.submit("Count", CountArgs()) for _ in range(100)]
        await wait_all_tasks_blocked()
        for job in jobs:
            await rig.engine.cancel(job.id)
        for job in jobs:
            assert (await rig.engine.wait(job.id)).fault == CANCELED
        assert trio.current_time() < 0.2


async def test_a_pause_waits_for_the_boundary_and_frees_the_slot() -> None:
    async with job_in(JobState.RUNNING) as bench:
        engine = bench.rig.engine
        other = await engine.submit("Count", CountArgs(label="other"))
        assert await engine.pause(bench.id)
        await wait_all_tasks_blocked()
        assert bench.state() is JobState.RUNNING
        bench.gate.open(2)
        assert (await engine.wait(other.id)).state is JobState.SUCCESS
        assert bench.state() is JobState.PAUSED
        assert bench.kind.effects == [("", 0), ("", 1), ("other", 0)]


@pytest.mark.parametrize("is_durable", [True, False])
async def test_a_resumed_job_goes_on_where_it_stopped(is_durable: bool) -> None:
    gate = Gate()
    kind = CountKind(gate)
    async with running_engine(kind) as rig:
        record = await rig.engine.submit("Count", CountArgs(3), SubmitOptions(is_durable=is_durable))
        await gate.arrival()
        await rig.engine.pause(record.id)
        gate.open(3)
        await rig.until_state(record.id, JobState.PAUSED)
        await rig.engine.resume(record.id)
        await rig.engine.wait(record.id)
        assert [position for _, position in kind.effects] == [0, 1, 2]
        assert kind.plans == 1


async def test_a_caller_that_waits_for_a_paused_job_waits_on() -> None:
    async with job_in(JobState.PAUSED) as bench, trio.open_nursery() as nursery:
        nursery.start_soon(bench.rig.engine.wait, bench.id)
        await wait_all_tasks_blocked()
        assert nursery.child_tasks
        await bench.rig.engine.resume(bench.id)
        bench.gate.open(2)


async def test_a_pause_before_the_first_step_keeps_the_plan() -> None:
    class SlowPlan(CountKind):
        async def plan(self, context: Context, args: CountArgs) -> object:  # type: ignore[override]
            await gate(context, 0)
            return await super().plan(context, args)

    gate = Gate()
    kind = SlowPlan()
    async with running_engine(kind) as rig:
        record = await rig.engine.submit("Count", CountArgs(2))
        await gate.arrival()
        await rig.engine.pause(record.id)
        gate.open()
        await rig.until_state(record.id, JobState.PAUSED)
        assert kind.effects == []
        await rig.engine.resume(record.id)
        await rig.engine.wait(record.id)
        assert kind.plans == 1


async def test_a_cancel_is_stronger_than_a_pause() -> None:
    for actions in (("pause", "cancel"), ("cancel", "pause")):
        async with job_in(JobState.RUNNING) as bench:
            for action in actions:
                assert await getattr(bench.rig.engine, action)(bench.id)
            assert (await bench.rig.engine.wait(bench.id)).fault == CANCELED


async def test_a_pause_is_obeyed_by_a_step_that_asks_for_a_retry() -> None:
    gate = Gate()

    async def step(context: Context, position: int) -> AnyOutcome:
        await gate(context, position)
        return RetryAfter(1, CountCursor(0))

    async with running_engine(CountKind(step)) as rig:
        record = await rig.engine.submit("Count", CountArgs())
        await gate.arrival()
        await rig.engine.pause(record.id)
        gate.open()
        assert (await rig.until_state(record.id, JobState.PAUSED)).retry_at is None


async def test_a_job_paused_in_retry_is_not_woken(autojump_clock: MockClock) -> None:
    async with job_in(JobState.RETRY) as bench:
        await bench.rig.engine.pause(bench.id)
        await trio.sleep(2000)
        assert bench.state() is JobState.PAUSED
        assert await bench.rig.engine.cancel(bench.id)
        assert await bench.rig.engine.delete(bench.id)


async def test_a_wake_comes_after_the_pause_that_is_being_saved(autojump_clock: MockClock) -> None:
    async def slow() -> None:
        await trio.sleep(10)

    async with job_in(JobState.RETRY) as bench:
        await trio.sleep(995)
        bench.rig.store.before_write = slow
        await bench.rig.engine.pause(bench.id)
        await trio.sleep(1000)
        assert bench.state() is JobState.PAUSED


async def test_a_resubmitted_job_runs_again_from_its_start() -> None:
    async with job_in(JobState.FAILURE) as bench:
        engine = bench.rig.engine
        assert await engine.resubmit(bench.id)
        record = decode_record(bench.rig.store.records[bench.id])
        assert (record.state, record.cursor, record.runtime_s) == (JobState.PENDING, None, 0)
        bench.gate.open(3)
        record = await engine.wait(bench.id)
        assert (record.state, record.id) == (JobState.SUCCESS, bench.id)
        assert [position for _, position in bench.kind.effects] == [0, 0, 1, 2]
        assert bench.kind.plans == 2


async def test_a_resubmitted_job_has_no_plan_until_it_starts() -> None:
    async with job_in(JobState.FAILURE) as bench:
        assert bench.id in bench.rig.store.plans
        await bench.rig.engine.submit("Count", CountArgs(label="blocker"))
        await bench.rig.engine.resubmit(bench.id)
        assert bench.id not in bench.rig.store.plans


async def test_a_fleeting_job_can_be_resubmitted() -> None:
    async with running_engine() as rig:
        record = await rig.engine.submit("Count", CountArgs(3), SubmitOptions(is_durable=False))
        await rig.engine.cancel(record.id)
        await rig.engine.wait(record.id)
        assert await rig.engine.resubmit(record.id)
        assert (await rig.engine.wait(record.id)).state is JobState.SUCCESS


async def test_a_resubmission_comes_after_the_cancel_has_cleaned_up() -> None:
    cleaning = Gate()

    class Slow(CountKind):
        async def discard(self, context: Context, args: CountArgs) -> None:
            await cleaning(context, 0)
            await super().discard(context, args)

    kind = Slow()
    async with running_engine(kind) as rig, trio.open_nursery() as nursery:
        gate = Gate()
        kind.hook = gate
        record = await rig.engine.submit("Count", CountArgs(2))
        await gate.arrival()
        await rig.engine.pause(record.id)
        gate.open()
        await rig.until_state(record.id, JobState.PAUSED)
        nursery.start_soon(rig.engine.cancel, record.id)
        await cleaning.arrival()
        nursery.start_soon(rig.engine.resubmit, record.id)
        await wait_all_tasks_blocked()
        assert gate.waiting == []
        cleaning.open()
        await gate.arrival()
        assert kind.discarded == [record.id]
        gate.open(2)
        await rig.engine.wait(record.id)


async def test_a_job_whose_pause_is_being_saved_is_not_started() -> None:
    async with job_in(JobState.PENDING) as bench:
        saving = trio.Semaphore(0)
        bench.rig.store.before_write = saving.acquire
        async with trio.open_nursery() as nursery:
            nursery.start_soon(bench.rig.engine.pause, bench.id)
            await wait_all_tasks_blocked()
            bench.rig.store.before_write = trio.lowlevel.checkpoint
            bench.gate.open(10)
            await wait_all_tasks_blocked()
            assert bench.state() is JobState.PENDING
            saving.release()
        assert bench.state() is JobState.PAUSED
        assert bench.kind.effects == [("blocker", 0)]


async def test_an_action_goes_on_when_its_caller_leaves() -> None:
    async with job_in(JobState.PAUSED) as bench:
        saving = trio.Semaphore(0)
        bench.rig.store.before_write = saving.acquire
        with trio.CancelScope() as scope:
            scope.cancel()
            await bench.rig.engine.cancel(bench.id)
        saving.release()
        await bench.rig.until_state(bench.id, JobState.FAILURE)
        bench.rig.store.before_write = trio.lowlevel.checkpoint


async def test_an_action_that_cannot_be_saved_is_an_error_and_takes_effect(
    autojump_clock: MockClock,
) -> None:
    async with job_in(JobState.PENDING) as bench:
        bench.rig.store.is_failing = True
        with pytest.raises(DatabaseError):
            await bench.rig.engine.pause(bench.id)
        assert bench.state() is JobState.PAUSED
        bench.rig.store.is_failing = False
        await trio.sleep(10)
        assert decode_record(bench.rig.store.records[bench.id]).state is JobState.PAUSED


async def test_an_action_that_the_end_of_the_engine_cuts_off_is_an_error(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    async with job_in(JobState.PAUSED) as bench, trio.open_nursery() as nursery:

        async def stop_and_hang() -> None:
            nursery.start_soon(bench.rig.engine.stop, 0)
            await trio.sleep_forever()

        bench.rig.store.before_write = stop_and_hang
        with pytest.raises(DatabaseUnavailable):
            await bench.rig.engine.resume(bench.id)
    assert "took too long" in caplog.text


async def test_a_cancelled_job_closes_the_channel_to_its_caller() -> None:
    gate = Gate()
    async with running_engine(CountKind(gate), concurrent_jobs=1) as rig:
        await rig.engine.submit("Count", CountArgs())
        await gate.arrival()
        send, receive = trio.open_memory_channel[Chunk](0)
        record = await rig.engine.submit("Count", CountArgs(), SubmitOptions(is_durable=False), sink=send)
        await rig.engine.cancel(record.id)
        assert [chunk async for chunk in receive] == []


async def test_a_deleted_job_is_gone_from_everywhere(tmp_path: Path) -> None:
    outputs = Outputs(tmp_path, max_files=1)
    async with running_engine(CountKind(leave_output(True)), outputs=outputs) as rig:
        record = await rig.engine.wait((await rig.engine.submit("Count", CountArgs())).id)
        assert await rig.engine.delete(record.id)
        assert (rig.engine.get(record.id), rig.store.records, rig.store.plans) == (None, {}, {})
        assert rig.forgotten() == [record.id]
        assert await rig.engine.open_output(record.id, "archive") is None
        await rig.engine.stop(0)
        assert names(tmp_path) == set()


async def test_a_deleted_output_is_gone_and_its_job_stays(tmp_path: Path) -> None:
    outputs = Outputs(tmp_path, max_files=1)
    async with running_engine(CountKind(leave_output(True)), outputs=outputs) as rig:
        record = await rig.engine.wait((await rig.engine.submit("Count", CountArgs())).id)
        assert await rig.engine.delete_output(record.id, "archive")
        assert not await rig.engine.delete_output(record.id, "archive")
        assert not await rig.engine.delete_output("x", "archive")
        left = rig.engine.get(record.id)
        assert left is not None
        assert (left.state, left.outputs) == (JobState.SUCCESS, ())
        assert decode_record(rig.store.records[record.id]) == left


async def test_the_output_used_least_makes_place_and_its_job_stays(tmp_path: Path) -> None:
    outputs = Outputs(tmp_path, max_files=2)
    async with running_engine(CountKind(leave_output(True)), outputs=outputs) as rig:
        jobs = [await rig.engine.wait((await rig.engine.submit("Count", CountArgs())).id) for _ in range(2)]
        opened = await rig.engine.open_output(jobs[0].id, "archive")
        assert opened is not None
        os.close(opened[0])
        await rig.engine.wait((await rig.engine.submit("Count", CountArgs())).id)
        kept = [(await rig.engine.open_output(job.id, "archive")) for job in jobs]
        assert kept[0] is not None
        assert kept[1] is None
        os.close(kept[0][0])
        evicted = rig.engine.get(jobs[1].id)
        assert evicted is not None
        assert (evicted.state, evicted.outputs) == (JobState.SUCCESS, ())


async def test_an_output_that_vanished_is_no_output(tmp_path: Path) -> None:
    outputs = Outputs(tmp_path, max_files=1)
    async with running_engine(CountKind(leave_output(True)), outputs=outputs) as rig:
        record = await rig.engine.wait((await rig.engine.submit("Count", CountArgs())).id)
        (tmp_path / record.outputs[0].file).unlink()
        assert await rig.engine.open_output(record.id, "archive") is None
