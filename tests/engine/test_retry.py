"""Transient errors are tried again, if a policy says so: when, how often, from where."""

from datetime import timedelta
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from orthanc_trio.extent import Chunk
from orthanc_trio.jobs.attempt import AnyOutcome
from orthanc_trio.jobs.options import Retries
from orthanc_trio.model.error_code import ErrorCode
from orthanc_trio.model.errors import (
    DatabaseError,
    DatabaseUnavailable,
    InternalError,
    OrthancError,
    RemoteTimeout,
    RemoteUnavailable,
    UnknownResource,
)
from orthanc_trio.model.job import Done, JobFault, JobRecord, JobState, RetryPolicy, SubmitOptions
from tests.support.jobs import (
    Context,
    CountArgs,
    CountCursor,
    CountKind,
    Gate,
    MemoryStore,
    Rig,
    now,
    running_engine,
)

POLICY = RetryPolicy(max_attempts=4, delay_s=10, backoff=2, max_delay_s=30)
RETRIED = SubmitOptions(retry=POLICY)


class Failing:
    """A step that notes when it began, and raises the next of the errors at the second position."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.begun: list[float] = []

    async def __call__(self, context: Context, position: int) -> None:
        await trio.lowlevel.checkpoint()
        if position == 1:
            self.begun.append(round(trio.current_time(), 3))
            if self.errors:
                raise self.errors.pop(0)


async def finish(rig: Rig, options: SubmitOptions = RETRIED, args: CountArgs | None = None) -> JobRecord:
    return await rig.engine.wait((await rig.engine.submit("Count", args or CountArgs(3), options)).id)


async def test_a_transient_error_is_tried_again_later_and_later(autojump_clock: MockClock) -> None:
    step = Failing(*(RemoteUnavailable("refused") for _ in range(3)))
    kind = CountKind(step)
    async with running_engine(kind) as rig:
        record = await finish(rig)
        assert (record.state, record.attempt, record.fault) == (
            JobState.SUCCESS,
            4,
            JobFault(code=ErrorCode.SUCCESS, details="refused"),
        )
        assert step.begun == [0, 10, 30, 60]


async def test_what_was_done_is_not_done_again(autojump_clock: MockClock) -> None:
    kind = CountKind(Failing(RemoteUnavailable(), RemoteTimeout()))
    async with running_engine(kind) as rig:
        await finish(rig)
        assert kind.effects == [("", 0), ("", 1), ("", 2)]
        assert (kind.plans, kind.discarded) == (1, [])


async def test_a_cursor_that_a_step_saved_before_its_error_counts(autojump_clock: MockClock) -> None:
    positions = []

    async def step(context: Context, position: int) -> AnyOutcome | None:
        positions.append(position)
        if position == 0:
            await context.checkpoint(CountCursor(5))
            raise RemoteUnavailable
        return Done()

    async with running_engine(CountKind(step)) as rig:
        await finish(rig)
        assert positions == [0, 5]


async def test_the_job_fails_with_the_error_of_the_last_attempt(autojump_clock: MockClock) -> None:
    kind = CountKind(Failing(*(RemoteUnavailable(str(number)) for number in range(9))))
    async with running_engine(kind) as rig:
        record = await finish(rig)
        assert record.fault == JobFault(code=ErrorCode.NETWORK_PROTOCOL, details="3")
        assert (record.attempt, record.last_error) == (4, "Error in the network protocol: 3")
        assert rig.states(record.id)[-2:] == [JobState.RUNNING, JobState.FAILURE]
        assert kind.discarded == [record.id]


@pytest.mark.parametrize(
    "error",
    [
        UnknownResource("x"),
        InternalError(),
        ValueError("not ours"),
        ExceptionGroup("", [RemoteUnavailable(), UnknownResource("x")]),
        ExceptionGroup("", [RemoteUnavailable(), ValueError("not ours")]),
    ],
)
async def test_other_errors_are_final(error: Exception) -> None:
    async with running_engine(CountKind(Failing(error))) as rig:
        record = await finish(rig)
        assert (record.state, record.attempt) == (JobState.FAILURE, 1)
        if isinstance(error, ExceptionGroup) and isinstance(error.exceptions[1], UnknownResource):
            assert record.fault == JobFault(code=ErrorCode.UNKNOWN_RESOURCE, details="x")


@pytest.mark.parametrize(
    "error", [DatabaseUnavailable(), ExceptionGroup("", [RemoteUnavailable(), RemoteTimeout()])]
)
async def test_transient_errors_also_come_together(error: Exception, autojump_clock: MockClock) -> None:
    async with running_engine(CountKind(Failing(error))) as rig:
        assert (await finish(rig)).attempt == 2


async def test_nothing_is_tried_again_without_a_policy() -> None:
    async with running_engine(CountKind(Failing(RemoteUnavailable()))) as rig:
        assert (await finish(rig, SubmitOptions())).state is JobState.FAILURE


async def test_a_peer_may_ask_for_a_longer_delay(autojump_clock: MockClock) -> None:
    step = Failing(RemoteUnavailable(retry_after_s=17), RemoteUnavailable(retry_after_s=9999))
    async with running_engine(CountKind(step)) as rig:
        await finish(rig)
        assert step.begun == [0, 17, 47]


async def test_the_configuration_may_say_it_of_a_type_or_a_destination() -> None:
    retries = Retries(types={"Count": POLICY}, destinations={"PACS": RetryPolicy(max_attempts=9)})
    send, _ = trio.open_memory_channel[Chunk](0)
    async with running_engine(CountKind(Gate()), retries=retries) as rig:
        submit = rig.engine.submit
        plain = await submit("Count", CountArgs())
        to_pacs = await submit("Count", CountArgs(destination="PACS"))
        asked = await submit("Count", CountArgs(destination="PACS"), SubmitOptions(retry=RetryPolicy()))
        streaming = await submit("Count", CountArgs(), SubmitOptions(is_durable=False), sink=send)
        found = [record.retry for record in (plain, to_pacs, asked, streaming)]
        assert found == [POLICY, RetryPolicy(max_attempts=9), RetryPolicy(), None]


async def in_retry(rig: Rig) -> JobRecord:
    record = await rig.engine.submit("Count", CountArgs(3), RETRIED)
    return await rig.until_state(record.id, JobState.RETRY)


async def test_a_job_in_retry_says_what_comes_next() -> None:
    async with running_engine(CountKind(Failing(RemoteUnavailable("busy")))) as rig:
        record = await in_retry(rig)
        assert record.retry_at is not None
        assert timedelta(seconds=9.9) < record.retry_at - now() <= timedelta(seconds=10)
        assert (record.attempt, record.last_error) == (2, "Error in the network protocol: busy")
        assert record.fault == JobFault(code=ErrorCode.NETWORK_PROTOCOL, details="busy")


async def test_a_resubmission_in_retry_means_now() -> None:
    kind = CountKind(Failing(RemoteUnavailable()))
    async with running_engine(kind) as rig:
        record = await in_retry(rig)
        assert await rig.engine.resubmit(record.id)
        record = await rig.engine.wait(record.id)
        assert (record.state, record.attempt) == (JobState.SUCCESS, 2)
        assert kind.effects == [("", 0), ("", 1), ("", 2)]


async def test_a_resubmitted_failure_has_all_its_attempts_again(autojump_clock: MockClock) -> None:
    kind = CountKind(Failing(*(RemoteUnavailable() for _ in range(4))))
    async with running_engine(kind) as rig:
        record = await finish(rig)
        assert record.state is JobState.FAILURE
        await rig.engine.resubmit(record.id)
        record = await rig.engine.wait(record.id)
        assert (record.state, record.attempt, record.last_error) == (JobState.SUCCESS, 1, "")


async def test_cancel_and_pause_in_retry(autojump_clock: MockClock) -> None:
    step = Failing(RemoteUnavailable(), RemoteUnavailable())
    async with running_engine(CountKind(step)) as rig:
        cancelled, paused = await in_retry(rig), await in_retry(rig)
        assert await rig.engine.cancel(cancelled.id)
        assert await rig.engine.delete(cancelled.id)
        assert await rig.engine.pause(paused.id)
        await trio.sleep(1000)
        assert step.begun == [0, 0]
        assert await rig.engine.resume(paused.id)
        assert (await rig.engine.wait(paused.id)).attempt == 2


async def test_a_job_in_retry_can_be_deleted(autojump_clock: MockClock) -> None:
    kind = CountKind(Failing(RemoteUnavailable()))
    async with running_engine(kind, history_size=1) as rig:
        kept = await rig.engine.submit("Count", CountArgs())
        await rig.engine.wait(kept.id)
        record = await in_retry(rig)
        ended: list[JobRecord] = []

        async def caller() -> None:
            ended.append(await rig.engine.wait(record.id))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(caller)
            await wait_all_tasks_blocked()
            assert await rig.engine.delete(record.id)
        assert [one.fault for one in ended] == [JobFault(code=ErrorCode.CANCELED_JOB)]
        assert (rig.states(record.id)[-1], rig.forgotten()) == (JobState.FAILURE, [record.id])
        assert kind.discarded == [record.id]
        await trio.sleep(1000)
        assert (rig.engine.ids(), list(rig.store.records)) == ([kept.id], [kept.id])


async def test_a_deletion_in_retry_that_cannot_be_saved_is_caught_up(autojump_clock: MockClock) -> None:
    async with running_engine(CountKind(Failing(RemoteUnavailable()))) as rig:
        record = await in_retry(rig)
        rig.store.is_failing = True
        with pytest.raises(DatabaseError):
            await rig.engine.delete(record.id)
        rig.store.is_failing = False
        await trio.sleep(10)
        assert (rig.engine.ids(), rig.store.records) == ([], {})


async def test_a_pause_outlasts_a_transient_error() -> None:
    gate = Gate()

    async def step(context: Context, position: int) -> None:
        await gate(context, position)
        raise RemoteUnavailable("busy")

    async with running_engine(CountKind(step)) as rig:
        record = await rig.engine.submit("Count", CountArgs(), RETRIED)
        await gate.arrival()
        await rig.engine.pause(record.id)
        gate.open()
        record = await rig.until_state(record.id, JobState.PAUSED)
        assert (record.attempt, record.last_error) == (2, "Error in the network protocol: busy")


@pytest.mark.parametrize("pause_s", [3, 100])
async def test_a_retry_outlives_a_restart(pause_s: float, autojump_clock: MockClock) -> None:
    store = MemoryStore()
    step = Failing(RemoteUnavailable("busy"))
    async with running_engine(CountKind(step), store=store) as rig:
        record = await in_retry(rig)
    await trio.sleep(pause_s)
    async with running_engine(CountKind(step), store=store) as rig:
        restored = rig.engine.get(record.id)
        assert restored is not None
        if pause_s < 10:
            assert (restored.state, restored.retry_at) == (JobState.RETRY, record.retry_at)
        record = await rig.engine.wait(record.id)
        assert (record.state, record.attempt) == (JobState.SUCCESS, 2)
        assert step.begun == [0, max(10, pause_s)]


async def test_a_job_that_is_delayed_while_the_server_stops_waits_for_its_time() -> None:
    gate, store = Gate(), MemoryStore()

    async def step(context: Context, position: int) -> None:
        await gate(context, position)
        raise RemoteUnavailable

    async with running_engine(CountKind(step), store=store) as rig:
        record = await rig.engine.submit("Count", CountArgs(), RETRIED)
        await gate.arrival()
        rig.nursery.start_soon(rig.engine.stop, 5)
        await wait_all_tasks_blocked()
        gate.open()
        await rig.until_state(record.id, JobState.RETRY)


async def test_many_jobs_wake_in_their_order(autojump_clock: MockClock) -> None:
    order: list[str] = []

    async def step(context: Context, position: int) -> None:
        record = rigs[0].engine.get(context.job_id)
        assert record is not None
        if record.attempt == 1:
            raise RemoteUnavailable
        order.append(context.job_id)

    rigs: list[Rig] = []
    async with running_engine(CountKind(step), concurrent_jobs=1, history_size=500) as rig:
        rigs.append(rig)
        delays = [(number * 7) % 250 for number in range(250)]
        ids: dict[str, int] = {}
        for delay in delays:
            policy = RetryPolicy(delay_s=1000 + delay, max_delay_s=5000)
            ids[(await rig.engine.submit("Count", CountArgs(), SubmitOptions(retry=policy))).id] = delay
        for job_id in ids:
            await rig.engine.wait(job_id)
        assert [ids[job_id] for job_id in order] == sorted(delays)


async def test_a_job_that_is_being_changed_when_its_time_comes(autojump_clock: MockClock) -> None:
    store = MemoryStore()
    async with running_engine(CountKind(Failing(RemoteUnavailable())), store=store) as rig:
        record = await in_retry(rig)

        async def write_slowly() -> None:
            store.before_write = trio.lowlevel.checkpoint
            await trio.sleep(60)

        store.before_write = write_slowly
        assert await rig.engine.pause(record.id)
        assert trio.current_time() >= 60
        await wait_all_tasks_blocked()
        assert rig.states(record.id)[-1] is JobState.PAUSED


@pytest.mark.parametrize(
    ("fields", "delays"),
    [
        ({}, [10, 20, 40, 80]),
        ({"backoff": 1.0}, [10, 10, 10, 10]),
        ({"delay_s": 0.0}, [0, 0, 0, 0]),
        ({"max_delay_s": 25.0}, [10, 20, 25, 25]),
        ({"max_delay_s": 5.0}, [5, 5, 5, 5]),
        ({"backoff": 100.0, "delay_s": 1.0, "max_delay_s": 1e5}, [1, 100, 10_000, 100_000]),
    ],
)
def test_delays_grow_up_to_a_limit(fields: dict[str, Any], delays: list[float]) -> None:
    policy = RetryPolicy(**fields)
    assert [policy.delay_after(attempt) for attempt in (1, 2, 3, 4)] == delays
    assert policy.delay_after(10**9) >= delays[-1]


def test_only_errors_that_may_pass_are_transient() -> None:
    def all_of(cls: type[OrthancError]) -> set[type[OrthancError]]:
        return {cls}.union(*(all_of(child) for child in cls.__subclasses__()))

    transient = {cls for cls in all_of(OrthancError) if cls.is_transient}
    assert transient == {RemoteUnavailable, RemoteTimeout, DatabaseUnavailable}
