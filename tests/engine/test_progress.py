"""What jobs tell of their progress, and what the engine makes of it."""

from typing import Any

import trio
from trio.testing import MockClock

from orthanc_trio.jobs.attempt import AnyOutcome
from orthanc_trio.jobs.progress import MAX_FAILED_INSTANCES, progress_content
from orthanc_trio.model.errors import UnknownResource
from orthanc_trio.model.job import (
    Continue,
    Done,
    FailedInstance,
    JobRecord,
    JobState,
    Progress,
    SubmitOptions,
)
from tests.support.jobs import Context, CountArgs, CountCursor, CountKind, StepHook, running_engine


def news(done: int, size: int = 0, *failed: FailedInstance, step: str = "Sending") -> dict[str, Any]:
    progress = Progress(
        instances_done=done, instances_total=9, instances_failed=len(failed), bytes=size, step=step
    )
    return progress_content(progress, failed)


async def run(step: StepHook, steps: int = 1) -> JobRecord:
    async with running_engine(CountKind(step)) as rig:
        record = await rig.engine.submit("Count", CountArgs(steps), SubmitOptions())
        return await rig.engine.wait(record.id)


async def test_progress_is_shown_as_the_kind_tells_it() -> None:
    async def step(context: Context, position: int) -> None:
        await trio.lowlevel.checkpoint()
        context.report(2, 9, news(2, 100, FailedInstance("a", "refused")))
        raise UnknownResource

    record = await run(step)
    assert record.content["Progress"] | {"BytesPerSecond": 0} == {
        "InstancesDone": 2,
        "InstancesFailed": 1,
        "InstancesTotal": 9,
        "Bytes": 100,
        "BytesPerSecond": 0,
        "Step": "Sending",
    }
    assert record.content["FailedInstances"] == [{"ID": "a", "Error": "refused"}]


async def test_a_success_shows_no_progress_any_more_but_what_failed() -> None:
    async def step(context: Context, position: int) -> None:
        await trio.lowlevel.checkpoint()
        context.report(2, 9, news(2, 100, FailedInstance("a", "refused")))

    record = await run(step)
    assert record.content.keys() == {"Label", "Counted", "FailedInstances"}


async def test_a_job_that_tells_nothing_shows_nothing() -> None:
    record = await run(CountKind().hook)
    assert record.state is JobState.SUCCESS
    assert record.content.keys() == {"Label", "Counted"}


async def test_the_rate_is_that_of_the_last_seconds(autojump_clock: MockClock) -> None:
    rates: list[int] = []

    async def step(context: Context, position: int) -> AnyOutcome:
        size = 0
        for speed in [100] * 20 + [1000] * 20 + [0] * 20:
            await trio.sleep(1)
            size += speed
            context.report(1, 9, news(1, size))
            record = rig.engine.get(context.job_id)
            assert record is not None
            rates.append(record.content["Progress"]["BytesPerSecond"])
        return Done()

    async with running_engine(CountKind(step)) as rig:
        await rig.engine.wait((await rig.engine.submit("Count", CountArgs())).id)
    assert (rates[0], rates[19], rates[39], rates[59]) == (100, 100, 1000, 0)
    assert all(0 <= rate <= 1000 for rate in rates)


async def test_the_rate_of_a_resumed_job_counts_only_what_is_new(autojump_clock: MockClock) -> None:
    async def step(context: Context, position: int) -> AnyOutcome:
        await trio.sleep(10)
        if position == 0:
            await rig.engine.pause(context.job_id)
            return Continue(CountCursor(1), 1, 2, news(1, 5000))
        return Done(news(2, 6000))

    async with running_engine(CountKind(step)) as rig:
        record = await rig.engine.submit("Count", CountArgs())
        await rig.until_state(record.id, JobState.PAUSED)
        await trio.sleep(100)
        await rig.engine.resume(record.id)
        content = (await rig.engine.wait(record.id)).content
        assert (content["Progress"]["Bytes"], content["Progress"]["BytesPerSecond"]) == (6000, 100)


async def test_a_job_that_starts_over_has_no_negative_rate() -> None:
    async def step(context: Context, position: int) -> None:
        await trio.lowlevel.checkpoint()
        context.report(1, 9, news(1, 1000))
        context.report(1, 9, news(1, 0))
        raise UnknownResource

    record = await run(step)
    assert record.content["Progress"]["BytesPerSecond"] == 0


async def test_a_resubmitted_job_tells_of_its_own_run() -> None:
    runs: list[str] = []

    async def step(context: Context, position: int) -> AnyOutcome:
        await trio.lowlevel.checkpoint()
        runs.append(context.job_id)
        if len(runs) == 1:
            context.report(1, 9, news(1, 100, FailedInstance("a", "refused")))
            raise UnknownResource
        return Done()

    async with running_engine(CountKind(step)) as rig:
        record = await rig.engine.submit("Count", CountArgs())
        assert "FailedInstances" in (await rig.engine.wait(record.id)).content
        await rig.engine.resubmit(record.id)
        assert (await rig.engine.wait(record.id)).content == {"Label": ""}


async def test_failures_join_those_before_and_are_bounded() -> None:
    async def step(context: Context, position: int) -> None:
        await trio.lowlevel.checkpoint()
        context.report(1, 9, news(1, 0, FailedInstance("again", "first error")))
        many = [FailedInstance(str(number), "x" * 1000) for number in range(MAX_FAILED_INSTANCES)]
        context.report(1, 9, news(1, 0, *many, FailedInstance("again", "second error")))
        context.report(1, 9, news(1, 0))

    failures = (await run(step)).content["FailedInstances"]
    assert len(failures) == MAX_FAILED_INSTANCES
    assert failures[0] == {"ID": "again", "Error": "second error"}
    assert len(failures[1]["Error"]) == 256
