"""Jobs that are looked up, and perhaps done, before they are saved."""

import os
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from orthanc_trio.extent import Chunk
from orthanc_trio.jobs.attempt import AnyOutcome
from orthanc_trio.jobs.journal import decode_record
from orthanc_trio.jobs.kind import Look, NotNear
from orthanc_trio.jobs.options import Limits
from orthanc_trio.jobs.outputs import Outputs
from orthanc_trio.model.errors import DatabaseUnavailable, FullStorage, UnknownResource
from orthanc_trio.model.job import Done, DoneWhole, JobOutput, JobState, SmallOutput, SubmitOptions
from tests.support.jobs import (
    Context,
    CountArgs,
    CountKind,
    Gate,
    MemoryStore,
    Rig,
    StepHook,
    names,
    running_engine,
)

DONE_AT_ONCE = [JobState.PENDING, JobState.RUNNING, JobState.SUCCESS]


class TinyLook:
    def __init__(self, kind: "TinyKind", args: CountArgs) -> None:
        self._kind = kind
        self._args = args

    def content(self, view: Any) -> dict[str, Any]:
        if self._kind.refusal is not None:
            raise self._kind.refusal
        return {"Label": self._args.label}

    def do_whole(self, *, is_near: bool) -> DoneWhole | None:
        if self._args.steps > 1:
            return None
        if is_near and self._kind.is_far:
            raise NotNear
        if self._kind.fault is not None:
            raise self._kind.fault
        self._kind.effects.append((self._args.label, 0))
        output = SmallOutput("archive", "a", "x", self._args.label.encode())
        return DoneWhole({"Counted": 1}, (output,) if self._kind.has_output else ())

    def leave_for_later(self) -> None:
        self._kind.left.append(self._args.label)


class TinyKind(CountKind):
    """A job of one step is done at once; `fault` is what happens then."""

    fault: Exception | None = None
    has_output = False
    is_far = False
    """Whether it would keep the event loop waiting."""

    def __init__(self, step: StepHook | None = None) -> None:
        super().__init__(*filter(None, [step]))
        self.left: list[str] = []
        """What will run in its turn."""

    async def check(self, args: CountArgs) -> Look:
        return TinyLook(self, args)


def kind_with_output() -> TinyKind:
    kind = TinyKind(leave_large_output)
    kind.has_output = True
    return kind


LARGE = CountArgs(2)


async def leave_large_output(context: Context, position: int) -> AnyOutcome:
    await trio.lowlevel.checkpoint()
    path = context.output_path("archive")
    path.write_bytes(b"large")
    return Done(
        outputs=(JobOutput(key="archive", file=path.name, filename="x", media_type="x", size_bytes=5),)
    )


async def test_a_tiny_job_is_done_and_durable_when_its_submission_is_answered() -> None:
    kind = TinyKind()
    async with running_engine(kind) as rig:
        record = await rig.engine.submit("Count", CountArgs(label="a"))
        assert (record.state, record.content) == (JobState.SUCCESS, {"Label": "a", "Counted": 1})
        assert rig.states(record.id) == DONE_AT_ONCE
        assert rig.store.writes == 1
        assert decode_record(rig.store.records[record.id]) == record == rig.engine.get(record.id)
        assert await rig.engine.wait(record.id) == record
        assert kind.effects == [("a", 0)]
        rig.check_at_rest()


async def test_a_tiny_job_whose_result_streams_waits_for_its_turn() -> None:
    async def step(context: Context, position: int) -> None:
        assert context.sink is not None
        await context.sink.send(b"x")

    async with running_engine(TinyKind(step)) as rig:
        send, receive = trio.open_memory_channel[Chunk](0)
        options = SubmitOptions(is_durable=False)
        record = await rig.engine.submit("Count", CountArgs(label="a"), options, sink=send)
        assert (record.state, record.content) == (JobState.PENDING, {"Label": "a"})
        assert [chunk async for chunk in receive] == [b"x"]


async def test_a_job_that_is_not_tiny_is_looked_up_and_run_as_any_other() -> None:
    kind = TinyKind()
    async with running_engine(kind) as rig:
        record = await rig.engine.submit("Count", CountArgs(2, "a"))
        assert (record.state, record.content) == (JobState.PENDING, {"Label": "a"})
        assert kind.left == ["a"]
        assert (await rig.engine.wait(record.id)).content == {"Label": "a", "Counted": 2}


@pytest.mark.parametrize("fault", [FullStorage(), ValueError("of the test")])
async def test_a_tiny_job_that_fails_at_once_gets_its_turn_and_its_error_there(fault: Exception) -> None:
    kind = TinyKind()
    kind.fault = fault
    async with running_engine(kind) as rig:
        record = await rig.engine.submit("Count", CountArgs())
        assert record.state is JobState.PENDING
        assert (await rig.engine.wait(record.id)).state is JobState.SUCCESS
        assert kind.effects == [("", 0)]


async def test_what_is_refused_leaves_no_job() -> None:
    kind = TinyKind()
    kind.refusal = UnknownResource()
    async with running_engine(kind) as rig:
        with pytest.raises(UnknownResource):
            await rig.engine.submit("Count", CountArgs())
        assert rig.engine.records() == []
        assert not any(await rig.store.load(bytes))
        rig.check_at_rest()


async def test_a_tiny_job_does_not_overtake_what_waits_for_a_slot() -> None:
    gate = Gate()
    kind, busy = TinyKind(), CountKind(gate)
    busy.name = "Busy"
    async with running_engine(kind, busy, concurrent_jobs=1) as rig:
        first = await rig.engine.submit("Busy", CountArgs())
        await gate.arrival()
        tiny = await rig.engine.submit("Count", CountArgs())
        assert tiny.state is JobState.PENDING
        gate.open()
        await rig.engine.wait(first.id)
        assert (await rig.engine.wait(tiny.id)).state is JobState.SUCCESS


@pytest.mark.parametrize("is_held", [False, True])
async def test_a_tiny_job_waits_while_its_lane_is_full_or_held(is_held: bool) -> None:
    gate = Gate()
    kind = TinyKind(gate)
    limits = Limits(types={"Count": 1})
    async with running_engine(kind, limits=limits) as rig:
        if is_held:
            await rig.engine.hold(type="Count")
        else:
            await rig.engine.submit("Count", CountArgs(2))
            await gate.arrival()
        tiny = await rig.engine.submit("Count", CountArgs())
        assert tiny.state is JobState.PENDING
        await rig.engine.cancel(tiny.id)
        await rig.engine.release(type="Count")
        gate.open(2)


async def test_a_tiny_job_that_could_not_be_saved_leaves_neither_job_nor_output(tmp_path: Path) -> None:
    kind, store = kind_with_output(), MemoryStore()
    async with running_engine(kind, store=store, outputs=Outputs(tmp_path, max_files=1)) as rig:
        first = await rig.engine.submit("Count", CountArgs(label="first"))
        second = await rig.engine.submit("Count", CountArgs(label="second"))
        store.is_failing = True
        with pytest.raises(Exception, match="made by the test"):
            await rig.engine.submit("Count", CountArgs(label="lost"))
        store.is_failing = False
        assert [record.id for record in rig.engine.records()] == sorted([first.id, second.id])
    assert store.outputs == {second.outputs[0].file: b"second"}
    assert names(tmp_path) == set()


async def read_output(rig: Rig, job_id: str) -> bytes | None:
    opened = await rig.engine.open_output(job_id, "archive")
    if opened is None:
        return None
    descriptor, output = opened
    try:
        data = os.pread(descriptor, 1000, 0)
    finally:
        os.close(descriptor)
    assert len(data) == output.size_bytes
    return data


async def test_the_output_of_a_tiny_job_is_kept_and_makes_place_for_the_next(tmp_path: Path) -> None:
    outputs = Outputs(tmp_path, max_files=1)
    async with running_engine(kind_with_output(), outputs=outputs) as rig:
        records = [await rig.engine.submit("Count", CountArgs(label=label)) for label in "ab"]
        kept = [rig.engine.get(record.id) for record in records]
        assert [bool(record and record.outputs) for record in kept] == [False, True]
        assert [await read_output(rig, record.id) for record in records] == [None, b"b"]
    assert rig.store.outputs == {records[1].outputs[0].file: b"b"}
    assert names(tmp_path) == set()


async def test_an_output_that_makes_place_is_removed_with_the_next_save(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    outputs = Outputs(tmp_path, max_files=1)
    async with running_engine(kind_with_output(), outputs=outputs) as rig:
        records = [await rig.engine.submit("Count", CountArgs(label=label)) for label in "abc"]
        files = [record.outputs[0].file for record in records]
        assert rig.store.writes == 3
        assert rig.store.outputs == {files[1]: b"b", files[2]: b"c"}
        await trio.sleep(1)
        assert rig.store.outputs == {files[2]: b"c"}


async def test_the_limit_of_outputs_is_one_for_small_and_large_ones(tmp_path: Path) -> None:
    outputs = Outputs(tmp_path, max_files=2)
    async with running_engine(kind_with_output(), outputs=outputs) as rig:
        small = await rig.engine.submit("Count", CountArgs(label="a"))
        large = [await rig.engine.wait((await rig.engine.submit("Count", LARGE)).id) for _ in range(2)]
        assert await read_output(rig, small.id) is None
        assert [await read_output(rig, record.id) for record in large] == [b"large"] * 2
        assert await rig.engine.delete_output(large[0].id, "archive")
        again = await rig.engine.submit("Count", CountArgs(label="c"))
        assert await read_output(rig, large[1].id) == b"large"
        later = await rig.engine.submit("Count", CountArgs(label="d"))
        assert await read_output(rig, again.id) is None
        assert await read_output(rig, large[1].id) == b"large"
        assert await read_output(rig, later.id) == b"d"


async def test_a_deleted_output_or_job_leaves_nothing(tmp_path: Path) -> None:
    outputs = Outputs(tmp_path, max_files=9)
    async with running_engine(kind_with_output(), outputs=outputs) as rig:
        kept, other = [await rig.engine.submit("Count", CountArgs(label=label)) for label in "ab"]
        assert await rig.engine.delete_output(kept.id, "archive")
        assert list(rig.store.outputs) == [other.outputs[0].file]
        assert await rig.engine.delete(other.id)
        assert (rig.store.outputs, list(rig.store.records)) == ({}, [kept.id])
        assert not await rig.engine.delete_output(kept.id, "archive")


async def test_a_tiny_job_may_vanish_when_it_is_done() -> None:
    async with running_engine(TinyKind()) as rig:
        record = await rig.engine.submit("Count", CountArgs(), SubmitOptions(auto_delete=True))
        assert rig.engine.get(record.id) is None
        assert rig.forgotten() == [record.id]


async def test_a_job_that_is_not_saved_is_done_at_once_too() -> None:
    async with running_engine(TinyKind()) as rig:
        record = await rig.engine.submit("Count", CountArgs(), SubmitOptions(is_durable=False))
        assert record.state is JobState.SUCCESS
        assert rig.store.writes == 0


async def test_the_output_of_a_job_that_is_not_saved_is_kept_in_memory(tmp_path: Path) -> None:
    outputs = Outputs(tmp_path, max_files=1)
    async with running_engine(kind_with_output(), outputs=outputs) as rig:
        options = SubmitOptions(is_durable=False)
        records = [await rig.engine.submit("Count", CountArgs(label=label), options) for label in "ab"]
        assert [await read_output(rig, record.id) for record in records] == [None, b"b"]
        assert (rig.store.writes, rig.store.outputs) == (0, {})


async def test_after_a_crash_the_output_of_a_tiny_job_is_there_and_what_had_gone_is_not(
    tmp_path: Path,
) -> None:
    kind, store = kind_with_output(), MemoryStore()
    async with running_engine(kind, store=store, outputs=Outputs(tmp_path, max_files=1)) as rig:
        first, last = [await rig.engine.submit("Count", CountArgs(label=label)) for label in "ab"]
        rig.crash()
    assert len(store.outputs) == 2  # the first one was to go with the next save
    store = store.survivor()
    async with running_engine(kind, store=store, outputs=Outputs(tmp_path, max_files=1)) as rig:
        assert rig.engine.get(last.id) == last
        assert [await read_output(rig, record.id) for record in (first, last)] == [None, b"b"]
        gone = rig.engine.get(first.id)
        assert gone is not None
        assert (gone.state, gone.outputs) == (JobState.SUCCESS, ())
    assert store.outputs == {last.outputs[0].file: b"b"}
    assert kind.effects == [("a", 0), ("b", 0)]


async def test_a_start_removes_outputs_of_no_job(tmp_path: Path) -> None:
    store = MemoryStore()
    store.outputs = {f"{'0' * 36}.archive": b"stray"}
    async with running_engine(store=store, outputs=Outputs(tmp_path, max_files=1)):
        pass
    assert store.outputs == {}


async def test_tiny_jobs_that_come_together_are_all_done_at_once() -> None:
    kind = TinyKind()
    async with running_engine(kind, concurrent_jobs=1) as rig:
        async with trio.open_nursery() as nursery:
            for _ in range(10):
                nursery.start_soon(rig.engine.submit, "Count", CountArgs())
        assert rig.store.writes == 10
        assert rig.engine.count(JobState.SUCCESS) == 10
        rig.check_at_rest()


@pytest.mark.parametrize("is_near", [False, True])
async def test_what_would_keep_the_event_loop_waiting_is_done_in_a_thread(*, is_near: bool) -> None:
    kind, store = TinyKind(), MemoryStore()
    store.is_near, kind.is_far = is_near, is_near
    looks: list[None] = []

    async def note() -> None:
        looks.append(None)
        await trio.lowlevel.checkpoint()

    store.before_look = note
    async with running_engine(kind, store=store) as rig:
        record = await rig.engine.submit("Count", CountArgs(label="a"))
        assert (record.state, record.content) == (JobState.SUCCESS, {"Label": "a", "Counted": 1})
        assert (kind.effects, kind.left, looks) == ([("a", 0)], [], [None])
        rig.check_at_rest()


async def test_tiny_jobs_that_wait_leave_the_slot_to_a_job_that_is_there() -> None:
    gate, store, may_look = Gate(), MemoryStore(), trio.Event()
    store.is_near, store.before_look = False, may_look.wait
    async with running_engine(TinyKind(gate), store=store, concurrent_jobs=1) as rig:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(rig.engine.submit, "Count", LARGE)
            await trio.testing.wait_all_tasks_blocked()
            for _ in range(3):
                nursery.start_soon(rig.engine.submit, "Count", CountArgs())
            await trio.testing.wait_all_tasks_blocked()
            assert rig.engine.ids() == []
            may_look.set()
        await gate.arrival()
        assert rig.engine.count(JobState.RUNNING) == 1
        gate.open(5)
        for job_id in rig.engine.ids():
            assert (await rig.engine.wait(job_id)).state is JobState.SUCCESS


async def test_a_submission_that_waits_for_its_turn_ends_with_the_engine() -> None:
    store, may_look = MemoryStore(), trio.Event()
    store.is_near, store.before_look = False, may_look.wait
    refused: list[bool] = []

    async def submit(rig: Rig) -> None:
        try:
            await rig.engine.submit("Count", CountArgs())
        except DatabaseUnavailable:
            refused.append(True)

    async with (
        running_engine(TinyKind(), store=store, concurrent_jobs=1) as rig,
        trio.open_nursery() as nursery,
    ):
        for _ in range(3):
            nursery.start_soon(submit, rig)
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(rig.engine.stop, 0)
        await trio.testing.wait_all_tasks_blocked()
        may_look.set()
    assert refused == [True, True]
