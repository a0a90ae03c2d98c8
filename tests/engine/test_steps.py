"""What a step may do, and what becomes of what it returns and raises."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import trio
from msgspec import Struct
from trio.testing import MockClock

from orthanc_trio.extent import Chunk
from orthanc_trio.jobs.attempt import AnyOutcome
from orthanc_trio.jobs.journal import decode_record
from orthanc_trio.jobs.outputs import Outputs
from orthanc_trio.model.error_code import ErrorCode
from orthanc_trio.model.errors import CannotWriteFile, Timeout, UnknownResource
from orthanc_trio.model.event import JobEvent
from orthanc_trio.model.job import Done, JobFault, JobOutput, JobRecord, JobState, RetryAfter, SubmitOptions
from tests.support.jobs import Context, CountArgs, CountCursor, CountKind, Gate, Rig, names, running_engine


async def outcome_of(step: Callable[[Context, int], Awaitable[AnyOutcome | None]]) -> JobRecord:
    """Run a job with this step and return how it ended."""
    async with running_engine(CountKind(step)) as rig:
        return await rig.engine.wait((await rig.engine.submit("Count", CountArgs(2))).id)


async def test_a_job_does_its_steps_in_order_and_succeeds() -> None:
    kind = CountKind()
    async with running_engine(kind) as rig:
        record = await rig.engine.submit("Count", CountArgs(3, "x"))
        record = await rig.engine.wait(record.id)
    assert kind.effects == [("x", 0), ("x", 1), ("x", 2)]
    assert (record.state, record.progress, record.fault) == (JobState.SUCCESS, 1.0, None)
    assert record.content == {"Label": "x", "Counted": 3}
    assert kind.plans == 1
    assert kind.discarded == []


async def test_an_orthanc_error_is_the_fault_of_the_job() -> None:
    async def step(context: Context, position: int) -> None:
        raise UnknownResource("study", payload={"Type": "X"})

    kind = CountKind(step)
    async with running_engine(kind) as rig:
        record = await rig.engine.wait((await rig.engine.submit("Count", CountArgs())).id)
    assert record.state is JobState.FAILURE
    assert record.fault == JobFault(code=ErrorCode.UNKNOWN_RESOURCE, details="study", payload={"Type": "X"})
    assert kind.discarded == [record.id]


async def test_an_unexpected_error_is_internal_and_its_text_is_not_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def step(context: Context, position: int) -> None:
        name = "Doe"
        raise ValueError(f"{name}^John")

    record = await outcome_of(step)
    assert record.fault == JobFault(code=ErrorCode.INTERNAL_ERROR)
    assert "ValueError" in caplog.text
    assert "test_steps.py" in caplog.text
    assert "Doe^John" not in caplog.text


async def test_the_error_in_a_group_is_found() -> None:
    async def fail(error: Exception) -> None:
        raise error

    async def step(context: Context, position: int) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(fail, ValueError())
            nursery.start_soon(fail, Timeout("peer"))

    assert (await outcome_of(step)).fault == JobFault(code=ErrorCode.TIMEOUT, details="peer")


async def test_an_error_of_the_plan_fails_the_job() -> None:
    class Planless(CountKind):
        async def plan(self, context: Context, args: CountArgs) -> Any:
            raise UnknownResource

    async with running_engine(Planless()) as rig:
        record = await rig.engine.wait((await rig.engine.submit("Count", CountArgs())).id)
    assert record.fault == JobFault(code=ErrorCode.UNKNOWN_RESOURCE)


async def test_arguments_that_cannot_be_read_fail_the_job() -> None:
    class OtherArgs(Struct):
        steps: str
        label: str = ""
        destination: str = ""
        resources: tuple[str, ...] = ()

    kind = CountKind()
    async with running_engine(kind) as rig:
        record = await rig.engine.submit("Count", OtherArgs("many"))
        record = await rig.engine.wait(record.id)
    assert record.fault == JobFault(code=ErrorCode.INTERNAL_ERROR)
    assert kind.discarded == []


@pytest.mark.parametrize("value", [object(), "\ud800"])
async def test_content_that_cannot_be_shown_is_an_error_of_the_step(value: object) -> None:
    async def step(context: Context, position: int) -> Done:
        return Done({"x": value})

    assert (await outcome_of(step)).fault == JobFault(code=ErrorCode.INTERNAL_ERROR)


async def test_a_payload_that_cannot_be_shown_is_left_out() -> None:
    async def step(context: Context, position: int) -> Done:
        raise Timeout("x", payload=object())

    assert (await outcome_of(step)).fault == JobFault(code=ErrorCode.TIMEOUT, details="x")


async def test_an_error_of_discard_is_only_logged(caplog: pytest.LogCaptureFixture) -> None:
    class Messy(CountKind):
        async def discard(self, context: Context, args: CountArgs) -> None:
            raise CannotWriteFile("x")

    async def step(context: Context, position: int) -> None:
        raise Timeout

    async with running_engine(Messy(step)) as rig:
        record = await rig.engine.wait((await rig.engine.submit("Count", CountArgs())).id)
    assert record.fault == JobFault(code=ErrorCode.TIMEOUT)
    assert "Cannot write to file" in caplog.text


async def test_a_discard_that_hangs_does_not_hold_the_slot(autojump_clock: MockClock) -> None:
    class Stuck(CountKind):
        async def discard(self, context: Context, args: CountArgs) -> None:
            await trio.sleep_forever()

    async def step(context: Context, position: int) -> None:
        raise Timeout

    async with running_engine(Stuck(step)) as rig:
        record = await rig.engine.wait((await rig.engine.submit("Count", CountArgs())).id)
    assert record.state is JobState.FAILURE


async def test_progress_is_told_at_most_ten_times_a_second(autojump_clock: MockClock) -> None:
    async def step(context: Context, position: int) -> None:
        await trio.sleep(0.01)

    async with running_engine(CountKind(step)) as rig:
        record = await rig.engine.submit("Count", CountArgs(100))
        await rig.engine.wait(record.id)
        progress = [
            event.record.done
            for event in rig.events
            if isinstance(event, JobEvent) and event.record.state is JobState.RUNNING
        ]
    assert 8 <= len(progress) <= 13
    assert progress == sorted(progress)
    assert progress[-1] >= 85


async def test_boundaries_of_all_jobs_are_saved_together(autojump_clock: MockClock) -> None:
    async def step(context: Context, position: int) -> None:
        await trio.sleep(0.01)

    async with running_engine(CountKind(step), concurrent_jobs=5) as rig:
        jobs = [await rig.engine.submit("Count", CountArgs(100)) for _ in range(5)]
        before = rig.store.writes
        await trio.sleep(0.95)
        assert rig.store.writes - before <= 5 + 10  # the plans, and a save every 100 ms
        saved = [decode_record(data) for data in rig.store.records.values()]
        assert all(record.done > 70 for record in saved)
        for job in jobs:
            await rig.engine.wait(job.id)


async def test_a_step_reports_progress_in_its_middle() -> None:
    gate = Gate()

    async def step(context: Context, position: int) -> None:
        context.report(1, 4, {"Size": "12"})
        await gate(context, position)

    async with running_engine(CountKind(step)) as rig:
        record = await rig.engine.submit("Count", CountArgs())
        await gate.arrival()
        shown = rig.engine.get(record.id)
        assert shown is not None
        assert (shown.progress, shown.content) == (0.25, {"Label": "", "Size": "12"})
        await rig.until(lambda: any(isinstance(e, JobEvent) and e.record.done == 1 for e in rig.events))
        gate.open()
        await rig.engine.wait(record.id)


async def test_no_progress_is_told_after_the_end(autojump_clock: MockClock) -> None:
    async def step(context: Context, position: int) -> None:
        context.report(1, 2)

    async with running_engine(CountKind(step), history_size=1) as rig:
        for _ in range(2):
            record = await rig.engine.submit("Count", CountArgs())
            await rig.engine.wait(record.id)
        await trio.sleep(1)
        told = [event.record.state for event in rig.events if isinstance(event, JobEvent)]
        assert told.count(JobState.SUCCESS) == 2
        assert len(rig.forgotten()) == 1


async def test_a_checkpoint_returns_when_the_cursor_is_durable() -> None:
    saved: list[JobRecord] = []
    rigs: list[Rig] = []

    async def step(context: Context, position: int) -> None:
        await context.checkpoint(CountCursor(7))
        saved.append(decode_record(rigs[0].store.records[context.job_id]))

    async with running_engine(CountKind(step)) as rig:
        rigs.append(rig)
        await rig.engine.wait((await rig.engine.submit("Count", CountArgs())).id)
    assert bytes(saved[0].cursor or b"") == b'{"position":7}'


async def test_a_plan_is_saved_before_the_first_step() -> None:
    gate = Gate()
    async with running_engine(CountKind(gate)) as rig:
        record = await rig.engine.submit("Count", CountArgs(2))
        await gate.arrival()
        assert rig.store.plans == {record.id: b'{"positions":[0,1]}'}
        gate.open(2)
        await rig.engine.wait(record.id)


async def test_a_repeatable_plan_is_saved_with_the_first_cursor_only() -> None:
    gate = Gate()
    kind = CountKind(gate)
    kind.plan_is_repeatable = True
    async with running_engine(kind) as rig:
        record = await rig.engine.submit("Count", CountArgs(2))
        await gate.arrival()
        assert rig.store.plans == {}
        gate.open()
        await gate.arrival()
        assert rig.store.plans.keys() == {record.id}
        gate.open()
        await rig.engine.wait(record.id)


async def test_a_step_that_never_waits_leaves_room_for_others() -> None:
    async def step(context: Context, position: int) -> None:
        pass

    async with running_engine(CountKind(step), concurrent_jobs=1) as rig:
        record = await rig.engine.submit("Count", CountArgs(100_000))
        await rig.until_state(record.id, JobState.RUNNING)
        await rig.engine.cancel(record.id)
        assert (await rig.engine.wait(record.id)).progress < 1


async def test_functions_run_in_workers() -> None:
    async def step(context: Context, position: int) -> Done:
        return Done({"Sum": await context.in_worker(sum, [1, 2])})

    assert (await outcome_of(step)).content["Sum"] == 3


async def test_the_result_streams_to_the_caller_and_the_end_closes_the_channel() -> None:
    async def step(context: Context, position: int) -> None:
        assert context.sink is not None
        await context.sink.send(b"x")

    async with running_engine(CountKind(step)) as rig:
        send, receive = trio.open_memory_channel[Chunk](0)
        record = await rig.engine.submit("Count", CountArgs(3), SubmitOptions(is_durable=False), sink=send)
        assert [chunk async for chunk in receive] == [b"x"] * 3
        assert (await rig.engine.wait(record.id)).state is JobState.SUCCESS


async def test_runtime_is_the_time_in_running(autojump_clock: MockClock) -> None:
    async def step(context: Context, position: int) -> None:
        await trio.sleep(2)

    async with running_engine(CountKind(step), concurrent_jobs=1) as rig:
        await rig.engine.submit("Count", CountArgs(1))
        record = await rig.engine.submit("Count", CountArgs(2))
        await rig.engine.pause(record.id)
        await trio.sleep(10)
        await rig.engine.resume(record.id)
        await trio.sleep(3)
        running = rig.engine.get(record.id)
        assert running is not None
        assert running.running_since is not None
        assert (running.runtime_s, running.running_since.second) == (2.0, 12)
        record = await rig.engine.wait(record.id)
    assert (record.runtime_s, record.running_since) == (4.0, None)


async def test_a_step_can_ask_to_be_tried_again_later(autojump_clock: MockClock) -> None:
    attempts: list[float] = []

    async def step(context: Context, position: int) -> AnyOutcome | None:
        attempts.append(trio.current_time())
        fault = JobFault(code=ErrorCode.TIMEOUT)
        return RetryAfter(30, CountCursor(position), fault) if len(attempts) == 2 else None

    kind = CountKind(step)
    async with running_engine(kind) as rig:
        record = await rig.engine.submit("Count", CountArgs(2))
        delayed = await rig.until_state(record.id, JobState.RETRY)
        assert delayed.fault == JobFault(code=ErrorCode.TIMEOUT)
        assert decode_record(rig.store.records[record.id]) == delayed
        assert rig.engine.slots.borrowed_tokens == 0
        record = await rig.engine.wait(record.id)
    assert attempts[2] - attempts[1] == 30
    assert kind.effects == [("", 0), ("", 1)]
    assert (record.state, record.fault) == (JobState.SUCCESS, None)


def leave_output(is_named: bool) -> Callable[[Context, int], Awaitable[AnyOutcome]]:
    async def step(context: Context, position: int) -> AnyOutcome:
        path = context.output_path("archive")
        await trio.Path(path).write_bytes(b"zip")
        output = JobOutput(
            key="archive", file=path.name, filename="a.zip", media_type="application/zip", size_bytes=3
        )
        if not is_named:
            raise Timeout
        return Done(outputs=(output,))

    return step


async def test_a_job_leaves_an_output(tmp_path: Path) -> None:
    outputs = Outputs(tmp_path, max_files=1)
    async with running_engine(CountKind(leave_output(True)), outputs=outputs) as rig:
        record = await rig.engine.wait((await rig.engine.submit("Count", CountArgs())).id)
        assert [output.key for output in record.outputs] == ["archive"]
        opened = await rig.engine.open_output(record.id, "archive")
        assert opened is not None
        with open(opened[0], "rb") as file:  # noqa: ASYNC230  # three bytes
            assert file.read() == b"zip"
        assert opened[1].filename == "a.zip"


async def test_a_failed_job_leaves_no_file(tmp_path: Path) -> None:
    outputs = Outputs(tmp_path, max_files=1)
    async with running_engine(CountKind(leave_output(False)), outputs=outputs) as rig:
        record = await rig.engine.wait((await rig.engine.submit("Count", CountArgs())).id)
        assert record.state is JobState.FAILURE
        assert names(tmp_path) == set()
