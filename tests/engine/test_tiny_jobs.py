"""Jobs that are looked up, and perhaps done, in the hop that saves them."""

import os
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from orthanc_trio.jobs.journal import decode_record
from orthanc_trio.jobs.kind import Look
from orthanc_trio.jobs.options import Limits
from orthanc_trio.jobs.outputs import Outputs
from orthanc_trio.model.errors import FullStorage, UnknownResource
from orthanc_trio.model.job import Done, JobOutput, JobState, SubmitOptions
from tests.support.jobs import CountArgs, CountKind, Gate, MemoryStore, names, running_engine

DONE_AT_ONCE = [JobState.PENDING, JobState.RUNNING, JobState.SUCCESS]


class TinyLook:
    def __init__(self, kind: "TinyKind", args: CountArgs) -> None:
        self._kind = kind
        self._args = args

    def content(self, view: Any) -> dict[str, Any]:
        if self._kind.refusal is not None:
            raise self._kind.refusal
        return {"Label": self._args.label}

    def do_whole(self, output_path: Callable[[str], Path]) -> Done | None:
        if self._args.steps > 1:
            return None
        path = output_path("archive")
        if self._kind.has_files:
            path.write_bytes(b"x")
        if self._kind.fault is not None:
            raise self._kind.fault
        self._kind.effects.append((self._args.label, 0))
        output = JobOutput(
            key="archive", file=path.name, filename="a", media_type="x", size_bytes=1, crc32=zlib.crc32(b"x")
        )
        return Done({"Counted": 1}, (output,) if self._kind.has_files else ())


class TinyKind(CountKind):
    """A job of one step is done at once; `fault` is what happens then."""

    fault: Exception | None = None
    has_files = False

    async def check(self, args: CountArgs) -> Look:
        return TinyLook(self, args)


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


async def test_a_job_that_is_not_tiny_is_looked_up_and_run_as_any_other() -> None:
    async with running_engine(TinyKind()) as rig:
        record = await rig.engine.submit("Count", CountArgs(2, "a"))
        assert (record.state, record.content) == (JobState.PENDING, {"Label": "a"})
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
        assert not any(await rig.store.load())
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


async def test_a_tiny_job_that_could_not_be_saved_leaves_neither_job_nor_file(tmp_path: Path) -> None:
    kind, store = TinyKind(), MemoryStore()
    kind.has_files = True
    async with running_engine(kind, store=store, outputs=Outputs(tmp_path, max_files=1)) as rig:
        store.is_failing = True
        with pytest.raises(Exception, match="made by the test"):
            await rig.engine.submit("Count", CountArgs())
        store.is_failing = False
        assert rig.engine.records() == []
    assert names(tmp_path) == set()


async def test_the_output_of_a_tiny_job_is_kept_and_makes_place_for_the_next(tmp_path: Path) -> None:
    kind = TinyKind()
    kind.has_files = True
    async with running_engine(kind, outputs=Outputs(tmp_path, max_files=1)) as rig:
        records = [await rig.engine.submit("Count", CountArgs()) for _ in range(2)]
        kept = [rig.engine.get(record.id) for record in records]
        assert [bool(record and record.outputs) for record in kept] == [False, True]
    assert names(tmp_path) == {records[1].outputs[0].file}


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


async def test_a_job_whose_output_was_not_yet_on_the_disk_when_the_power_failed_runs_again(
    tmp_path: Path,
) -> None:
    kind, store = TinyKind(), MemoryStore()
    kind.has_files = True
    async with running_engine(kind, store=store, outputs=Outputs(tmp_path, max_files=1)) as rig:
        first, last = [await rig.engine.submit("Count", CountArgs()) for _ in range(2)]
        rig.crash()
    (tmp_path / last.outputs[0].file).write_bytes(b"")
    kind.has_files = False
    store = store.survivor()
    async with running_engine(kind, store=store, outputs=Outputs(tmp_path, max_files=1)) as rig:
        again = await rig.engine.wait(last.id)
        assert (again.state, again.outputs) == (JobState.SUCCESS, ())
        assert rig.states(last.id) == [JobState.RUNNING, JobState.SUCCESS]
        assert rig.states(first.id)[-1:] in ([], [JobState.SUCCESS])
    assert names(tmp_path) == set()


async def test_a_job_whose_output_is_whole_does_not_run_again(tmp_path: Path) -> None:
    kind, store = TinyKind(), MemoryStore()
    kind.has_files = True
    async with running_engine(kind, store=store, outputs=Outputs(tmp_path, max_files=1)) as rig:
        record = await rig.engine.submit("Count", CountArgs())
        rig.crash()
    async with running_engine(kind, store=store.survivor(), outputs=Outputs(tmp_path, max_files=1)) as rig:
        assert rig.engine.get(record.id) == record
        opened = await rig.engine.open_output(record.id, "archive")
        assert opened is not None
        os.close(opened[0])
    assert kind.effects == [("", 0)]
