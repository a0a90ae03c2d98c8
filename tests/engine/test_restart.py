"""Stop, crash and restart: no job is lost, none runs twice."""

from pathlib import Path

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from orthanc_trio.extent import Chunk
from orthanc_trio.jobs.attempt import AnyOutcome
from orthanc_trio.jobs.journal import decode_record, encode_record
from orthanc_trio.jobs.outputs import Outputs
from orthanc_trio.model.errors import DatabaseError, DatabaseUnavailable, UnknownResource
from orthanc_trio.model.job import Continue, Done, JobOutput, JobState, RetryAfter, SubmitOptions
from tests.support.jobs import (
    Context,
    CountArgs,
    CountCursor,
    CountKind,
    CountPlan,
    Gate,
    MemoryStore,
    make_record,
    names,
    running_engine,
)


async def test_a_stop_lets_steps_reach_their_boundary() -> None:
    gate = Gate()
    kind = CountKind(gate)
    async with running_engine(kind) as rig, trio.open_nursery() as nursery:
        record = await rig.engine.submit("Count", CountArgs(3))
        await gate.arrival()
        nursery.start_soon(rig.engine.stop, 60)
        await wait_all_tasks_blocked()
        gate.open()
    assert rig.states(record.id) == [JobState.PENDING, JobState.RUNNING, JobState.PENDING]
    gate.open(2)
    async with running_engine(kind, store=rig.store) as rig:
        assert (await rig.engine.wait(record.id)).state is JobState.SUCCESS
    assert [position for _, position in kind.effects] == [0, 1, 2]
    assert kind.plans == 1


async def test_a_stop_cancels_steps_after_the_grace(autojump_clock: MockClock) -> None:
    gate = Gate()
    kind = CountKind(gate)
    async with running_engine(kind) as rig:
        record = await rig.engine.submit("Count", CountArgs(2))
        await gate.arrival()
        gate.open()
        await gate.arrival()
        await rig.engine.stop(7)
        assert trio.current_time() == pytest.approx(7, abs=0.2)
    saved = decode_record(rig.store.records[record.id])
    assert (saved.state, saved.done, saved.fault) == (JobState.PENDING, 1, None)
    assert kind.discarded == []


async def test_a_pause_that_a_stop_overtakes_is_not_forgotten(autojump_clock: MockClock) -> None:
    gate = Gate()
    async with running_engine(CountKind(gate)) as rig:
        record = await rig.engine.submit("Count", CountArgs())
        await gate.arrival()
        await rig.engine.pause(record.id)
        await rig.engine.stop(1)
    assert decode_record(rig.store.records[record.id]).state is JobState.PAUSED


async def test_callers_that_wait_are_told_of_a_stop(autojump_clock: MockClock) -> None:
    gate = Gate()
    async with running_engine(CountKind(gate), concurrent_jobs=1) as rig:
        told_at = []

        async def caller() -> None:
            record = await rig.engine.submit("Count", CountArgs())
            with pytest.raises(DatabaseUnavailable):
                await rig.engine.wait(record.id)
            told_at.append(trio.current_time())

        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(caller)
            await gate.arrival()
            await wait_all_tasks_blocked()
            await rig.engine.stop(60)
        # At once, except for the one whose job might still have ended.
        assert told_at == [0, 0, 60]


async def test_a_job_that_ends_within_the_grace_is_told_to_its_caller() -> None:
    gate = Gate()
    async with running_engine(CountKind(gate)) as rig, trio.open_nursery() as nursery:
        record = await rig.engine.submit("Count", CountArgs())
        await gate.arrival()
        nursery.start_soon(rig.engine.stop, 60)
        nursery.start_soon(rig.engine.wait, record.id)
        await wait_all_tasks_blocked()
        gate.open()


async def test_a_stop_closes_the_channels_to_callers() -> None:
    async with running_engine(CountKind(Gate())) as rig:
        send, receive = trio.open_memory_channel[Chunk](0)
        await rig.engine.submit("Count", CountArgs(), SubmitOptions(is_durable=False), sink=send)
        await rig.engine.stop(0)
        assert [chunk async for chunk in receive] == []


async def test_a_fleeting_job_ends_with_its_process() -> None:
    async with running_engine(CountKind(Gate())) as rig:
        await rig.engine.submit("Count", CountArgs(), SubmitOptions(is_durable=False))
    async with running_engine(store=rig.store) as rig:
        assert rig.engine.records() == []


async def test_after_a_crash_a_job_goes_on_from_its_last_saved_cursor(autojump_clock: MockClock) -> None:
    gate = Gate()
    kind = CountKind(gate)
    async with running_engine(kind) as rig:
        record = await rig.engine.submit("Count", CountArgs(4))
        gate.open(2)
        for _ in range(3):
            await gate.arrival()
        await trio.sleep(1)  # the journal saves the second boundary
        gate.open()
        await gate.arrival()
        rig.crash()
    gate.open(2)
    async with running_engine(kind, store=rig.store.survivor()) as rig:
        assert (await rig.engine.wait(record.id)).state is JobState.SUCCESS
    assert [position for _, position in kind.effects] == [0, 1, 2, 2, 3]
    assert kind.plans == 1


async def test_a_plan_that_was_saved_before_a_crash_is_used_again() -> None:
    gate = Gate()
    kind = CountKind(gate)
    async with running_engine(kind) as rig:
        record = await rig.engine.submit("Count", CountArgs(1))
        await gate.arrival()
        rig.crash()
    gate.open()
    async with running_engine(kind, store=rig.store.survivor()) as rig:
        await rig.engine.wait(record.id)
    assert kind.plans == 1


async def test_a_plan_that_a_step_has_extended_is_saved_and_used_again() -> None:
    gate = Gate()

    async def step(context: Context, position: int) -> Continue[CountCursor] | None:
        await gate(context, position)
        return Continue(CountCursor(1), 1, 3, None, CountPlan((0, 1, 2))) if position == 0 else None

    kind = CountKind(step)
    async with running_engine(kind) as rig:
        record = await rig.engine.submit("Count", CountArgs(1))
        gate.open()
        for _ in range(2):
            await gate.arrival()
        assert rig.store.plans == {record.id: b'{"positions":[0,1,2]}'}
        await rig.engine.stop(0)
    gate.open(2)
    async with running_engine(kind, store=rig.store.survivor()) as rig:
        assert (await rig.engine.wait(record.id)).state is JobState.SUCCESS
    assert kind.effects == [("", 1), ("", 2)]
    assert kind.plans == 1


async def test_a_job_whose_plan_was_lost_begins_anew(autojump_clock: MockClock) -> None:
    gate = Gate()
    kind = CountKind(gate)
    async with running_engine(kind) as rig:
        record = await rig.engine.submit("Count", CountArgs(2))
        gate.open()
        for _ in range(2):
            await gate.arrival()
        await rig.engine.stop(0)
    rig.store.plans.clear()
    gate.open(2)
    async with running_engine(kind, store=rig.store) as rig:
        await rig.engine.wait(record.id)
    assert [position for _, position in kind.effects] == [0, 0, 1]


async def test_after_a_restart_states_priorities_and_runtimes_are_kept(autojump_clock: MockClock) -> None:
    async def step(context: Context, position: int) -> AnyOutcome | None:
        await trio.sleep(1)
        if position == 1:
            raise UnknownResource
        return RetryAfter(99, CountCursor(0)) if len(kind.discarded) else None

    kind = CountKind(step)
    async with running_engine(kind, concurrent_jobs=1) as rig:
        engine = rig.engine
        succeeded = await engine.wait((await engine.submit("Count", CountArgs(1))).id)
        failed = await engine.wait((await engine.submit("Count", CountArgs(2))).id)
        delayed = await engine.submit("Count", CountArgs(1), SubmitOptions(priority=-2))
        await rig.until_state(delayed.id, JobState.RETRY)
        paused = await engine.submit("Count", CountArgs(1), SubmitOptions(priority=5))
        await engine.pause(paused.id)
    kind.discarded.clear()
    async with running_engine(kind, store=rig.store.survivor()) as rig:
        assert rig.engine.get(succeeded.id) == succeeded
        assert rig.engine.get(failed.id) == failed
        record = rig.engine.get(paused.id)
        assert record is not None
        assert (record.state, record.priority) == (JobState.PAUSED, 5)
        record = await rig.engine.wait(delayed.id)
        assert (record.state, record.priority, record.runtime_s) == (JobState.SUCCESS, -2, 2)


async def test_restored_jobs_keep_their_order() -> None:
    gate = Gate()
    kind = CountKind(gate)
    async with running_engine(kind, concurrent_jobs=1) as rig:
        for label in "abc":
            await rig.engine.submit("Count", CountArgs(label=label))
    gate.open(4)
    async with running_engine(kind, store=rig.store, concurrent_jobs=1) as rig:
        await rig.engine.wait((await rig.engine.submit("Count", CountArgs(label="d"))).id)
    assert [label for label, _ in kind.effects] == ["a", "b", "c", "d"]


async def test_a_saved_job_of_an_unknown_kind_is_passed_over(caplog: pytest.LogCaptureFixture) -> None:
    store = MemoryStore()
    store.records["x"] = encode_record(make_record(id="x", kind="Vanished"))
    async with running_engine(store=store) as rig:
        assert rig.engine.records() == []
    assert "Vanished" in caplog.text


async def test_saved_jobs_can_be_given_up(autojump_clock: MockClock) -> None:
    store = MemoryStore()
    store.records["x"] = encode_record(make_record(id="x"))
    async with running_engine(store=store, restores=False) as rig:
        assert rig.engine.records() == []
        await trio.sleep(1)
        assert store.records == {}


async def test_a_history_that_became_shorter_is_trimmed(autojump_clock: MockClock) -> None:
    store = MemoryStore()
    for id in "abc":
        store.records[id] = encode_record(make_record(id=id, state=JobState.SUCCESS))
    async with running_engine(store=store, history_size=1) as rig:
        assert [record.id for record in rig.engine.records()] == ["c"]
        await trio.sleep(1)
        assert store.records.keys() == {"c"}


async def test_an_end_that_cannot_be_saved_is_told_and_saved_later(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    gate = Gate()
    async with running_engine(CountKind(gate)) as rig:
        record = await rig.engine.submit("Count", CountArgs())
        await gate.arrival()
        rig.store.is_failing = True
        gate.open()
        assert (await rig.engine.wait(record.id)).state is JobState.SUCCESS
        await trio.sleep(5)
        assert decode_record(rig.store.records[record.id]).state is JobState.PENDING
        rig.store.is_failing = False
        await trio.sleep(5)
        assert decode_record(rig.store.records[record.id]).state is JobState.SUCCESS
    assert "cannot be saved" in caplog.text


async def test_a_plan_that_cannot_be_saved_fails_the_job() -> None:
    async def step(context: Context, position: int) -> None:
        rig.store.is_failing = True

    kind = CountKind(step)
    kind.plan_is_repeatable = True
    async with running_engine(kind) as rig:
        record = await rig.engine.submit("Count", CountArgs(2))
        record = await rig.engine.wait(record.id)
        rig.store.is_failing = False
    assert record.fault is not None
    assert record.fault.code == DatabaseError.code


async def test_a_bug_of_the_engine_ends_it_with_a_saved_journal() -> None:
    class Bug(Exception):
        pass

    def broken_now() -> None:
        raise Bug

    gate = Gate()
    store = MemoryStore()
    with pytest.RaisesGroup(pytest.RaisesGroup(Bug)):
        async with running_engine(CountKind(gate), store=store) as rig:
            record = await rig.engine.submit("Count", CountArgs(3))
            await gate.arrival()
            gate.open()
            await gate.arrival()
            rig.engine._fill_slots = broken_now  # type: ignore[method-assign]
            gate.open(2)
            await trio.sleep_forever()
    assert decode_record(store.records[record.id]).state is JobState.SUCCESS


async def test_outputs_survive_a_restart_and_strays_do_not(tmp_path: Path) -> None:
    gate = Gate()

    async def step(context: Context, position: int) -> AnyOutcome:
        path = context.output_path("archive")
        await trio.Path(path).write_bytes(b"zip")
        await gate(context, position)
        output = JobOutput(key="archive", file=path.name, filename="a.zip", media_type="x", size_bytes=3)
        return Done(outputs=(output,))

    kind = CountKind(step)
    async with running_engine(kind, outputs=Outputs(tmp_path, max_files=9)) as rig:
        gate.open(2)
        kept = await rig.engine.wait((await rig.engine.submit("Count", CountArgs())).id)
        lost = await rig.engine.wait((await rig.engine.submit("Count", CountArgs())).id)
        cut_off = await rig.engine.submit("Count", CountArgs())
        for _ in range(3):
            await gate.arrival()
        rig.crash()
    assert len(names(tmp_path)) == 3
    (tmp_path / lost.outputs[0].file).unlink()
    (tmp_path / "stray").touch()
    gate.open()
    async with running_engine(
        kind, store=rig.store.survivor(), outputs=Outputs(tmp_path, max_files=9)
    ) as rig:
        record = rig.engine.get(lost.id)
        assert record is not None
        assert (record.state, record.outputs) == (JobState.SUCCESS, ())
        assert rig.engine.get(kept.id) == kept
        ended = await rig.engine.wait(cut_off.id)
    assert names(tmp_path) == {kept.outputs[0].file, ended.outputs[0].file}


@pytest.mark.parametrize("is_repeatable", [False, True])
async def test_a_crash_at_any_write_loses_no_answered_job(
    autojump_clock: MockClock, is_repeatable: bool
) -> None:
    async def step(context: Context, position: int) -> None:
        await trio.sleep(0.04)

    for crash_at in range(1, 40):
        kind = CountKind(step)
        kind.plan_is_repeatable = is_repeatable
        store = MemoryStore()
        store.dies_at_write = crash_at
        answered: set[str] = set()
        ended: set[str] = set()
        async with running_engine(kind, store=store, history_size=99) as rig:
            for number in range(4):
                record = await rig.engine.submit("Count", CountArgs(5, str(number)))
                if not store.is_dead:
                    answered.add(record.id)
            for record in rig.engine.records():
                await rig.engine.wait(record.id)
                if not store.is_dead:
                    ended.add(record.id)
            is_over = not store.is_dead
            rig.crash()
        before = len(kind.effects)
        async with running_engine(kind, store=store.survivor(), history_size=99) as rig:
            assert answered <= {record.id for record in rig.engine.records()}
            for id in ended:
                assert rig.engine.count(JobState.SUCCESS) >= len(ended)
                assert (await rig.engine.wait(id)).state is JobState.SUCCESS
            for id in answered:
                assert (await rig.engine.wait(id)).state is JobState.SUCCESS
        assert len(kind.effects) - before <= 5 * (4 - len(ended))
        if is_over:
            return
    raise AssertionError("the jobs never ended")
