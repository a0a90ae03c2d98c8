"""A job that runs for longer than its limit fails, whatever it waits for."""

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from orthanc_trio.jobs.attempt import AnyOutcome
from orthanc_trio.model.error_code import ErrorCode
from orthanc_trio.model.errors import RemoteUnavailable
from orthanc_trio.model.job import JobFault, JobRecord, JobState, RetryAfter, RetryPolicy, SubmitOptions
from tests.support.jobs import Context, CountArgs, CountCursor, CountKind, MemoryStore, Rig, running_engine

LIMITED = SubmitOptions(timeout_s=30)
TIMEOUT = JobFault(code=ErrorCode.TIMEOUT, details="The job ran for longer than its limit of 30 s")


async def ten_seconds(context: Context, position: int) -> None:
    await trio.sleep(10)


async def submit(rig: Rig, steps: int, options: SubmitOptions = LIMITED) -> JobRecord:
    return await rig.engine.submit("Count", CountArgs(steps), options)


async def test_a_job_fails_at_its_limit(autojump_clock: MockClock) -> None:
    kind = CountKind(ten_seconds)
    async with running_engine(kind) as rig:
        record = await rig.engine.wait((await submit(rig, 9)).id)
        assert (record.state, record.fault, record.runtime_s) == (JobState.FAILURE, TIMEOUT, 30)
        assert kind.discarded == [record.id]


async def test_a_job_that_ends_before_has_succeeded(autojump_clock: MockClock) -> None:
    async with running_engine(CountKind(ten_seconds)) as rig:
        assert (await rig.engine.wait((await submit(rig, 2)).id)).state is JobState.SUCCESS


async def test_the_making_of_the_plan_counts(autojump_clock: MockClock) -> None:
    class Stuck(CountKind):
        async def plan(self, context: Context, args: CountArgs) -> object:  # type: ignore[override]
            return await trio.sleep_forever()

    async with running_engine(Stuck()) as rig:
        assert (await rig.engine.wait((await submit(rig, 1)).id)).fault == TIMEOUT


async def test_the_configuration_may_limit_all_jobs(autojump_clock: MockClock) -> None:
    async with running_engine(CountKind(ten_seconds), concurrent_jobs=3, timeout_s=30) as rig:
        default = await submit(rig, 9, SubmitOptions())
        longer = await submit(rig, 9, SubmitOptions(timeout_s=95))
        unlimited = await submit(rig, 50, SubmitOptions(timeout_s=0))
        assert (await rig.engine.wait(default.id)).fault == TIMEOUT
        assert (await rig.engine.wait(longer.id)).state is JobState.SUCCESS
        assert (await rig.engine.wait(unlimited.id)).state is JobState.SUCCESS


async def test_time_adds_up_over_pauses_delays_and_restarts(autojump_clock: MockClock) -> None:
    async def step(context: Context, position: int) -> AnyOutcome | None:
        await trio.sleep(9)
        return RetryAfter(500, CountCursor(1)) if position == 0 else None

    store = MemoryStore()
    async with running_engine(CountKind(step), store=store) as rig:
        record = await submit(rig, 9)
        await rig.until_state(record.id, JobState.RETRY)
        await trio.sleep(505)
        assert await rig.engine.pause(record.id)
        await rig.until_state(record.id, JobState.PAUSED)
    await trio.sleep(1000)
    async with running_engine(CountKind(step), store=store) as rig:
        await rig.engine.resume(record.id)
        assert (await rig.engine.wait(record.id)).fault == TIMEOUT
        assert round(trio.current_time()) == 9 + 500 + 9 + 1000 + 12


async def test_a_job_that_ran_for_too_long_is_not_tried_again(autojump_clock: MockClock) -> None:
    async with running_engine(CountKind(ten_seconds)) as rig:
        options = SubmitOptions(timeout_s=30, retry=RetryPolicy())
        assert (await rig.engine.wait((await submit(rig, 9, options)).id)).fault == TIMEOUT


async def test_delays_between_attempts_do_not_count(autojump_clock: MockClock) -> None:
    async def step(context: Context, position: int) -> None:
        await trio.sleep(10)
        raise RemoteUnavailable

    async with running_engine(CountKind(step)) as rig:
        options = SubmitOptions(timeout_s=30, retry=RetryPolicy(max_attempts=2, delay_s=100))
        record = await rig.engine.wait((await submit(rig, 9, options)).id)
        assert (record.fault, record.runtime_s) == (JobFault(code=ErrorCode.NETWORK_PROTOCOL), 20)


async def test_a_resubmitted_job_has_all_its_time_again(autojump_clock: MockClock) -> None:
    async with running_engine(CountKind(ten_seconds)) as rig:
        record = await submit(rig, 9)
        assert (await rig.engine.wait(record.id)).fault == TIMEOUT
        await rig.engine.resubmit(record.id)
        record = await rig.engine.wait(record.id)
        assert (record.fault, record.runtime_s) == (TIMEOUT, 30)


async def test_an_error_after_the_limit_is_a_timeout(autojump_clock: MockClock) -> None:
    async def step(context: Context, position: int) -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise RemoteUnavailable

    async with running_engine(CountKind(step)) as rig:
        assert (await rig.engine.wait((await submit(rig, 1)).id)).fault == TIMEOUT


@pytest.mark.parametrize(
    ("action", "state", "fault"),
    [
        ("pause", JobState.FAILURE, TIMEOUT),
        ("cancel", JobState.FAILURE, JobFault(code=ErrorCode.CANCELED_JOB)),
    ],
)
async def test_an_order_and_a_limit(
    action: str, state: JobState, fault: JobFault, autojump_clock: MockClock
) -> None:
    async def step(context: Context, position: int) -> None:
        await trio.sleep_forever()

    async with running_engine(CountKind(step)) as rig:
        record = await submit(rig, 1)
        await trio.sleep(1)
        await getattr(rig.engine, action)(record.id)
        record = await rig.until_state(record.id, state)
        assert record.fault == fault


async def test_a_stop_leaves_a_job_with_its_time_so_far(autojump_clock: MockClock) -> None:
    async def step(context: Context, position: int) -> None:
        await trio.sleep_forever()

    store = MemoryStore()
    async with running_engine(CountKind(step), store=store) as rig:
        record = await submit(rig, 1)
        await trio.sleep(10)
        await rig.engine.stop(5)
    async with running_engine(CountKind(step), store=store) as rig:
        assert (await rig.engine.wait(record.id)).fault == TIMEOUT
        assert round(trio.current_time()) == 30


async def test_a_paused_job_of_a_stopping_server_is_paused(autojump_clock: MockClock) -> None:
    async def step(context: Context, position: int) -> None:
        await trio.sleep_forever()

    async with running_engine(CountKind(step)) as rig:
        record = await submit(rig, 1)
        await wait_all_tasks_blocked()
        await rig.engine.pause(record.id)
        await rig.engine.stop(5)
        assert rig.states(record.id)[-1] is JobState.PAUSED
