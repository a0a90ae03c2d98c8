"""Cancel at the first, second, third ... checkpoint, and look at what is left behind."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path

import trio

from orthanc_trio.jobs.attempt import AnyOutcome
from orthanc_trio.jobs.journal import decode_record
from orthanc_trio.jobs.options import Limits
from orthanc_trio.jobs.outputs import Outputs
from orthanc_trio.model.errors import DatabaseUnavailable, RemoteUnavailable
from orthanc_trio.model.job import Done, JobOutput, JobState, RetryPolicy, SubmitOptions
from tests.support.jobs import (
    Context,
    CountArgs,
    CountKind,
    MemoryStore,
    Rig,
    StepHook,
    names,
    running_engine,
)

STEPS = 3


class AtCheckpoint(trio.abc.Instrument):
    """Acts when the tasks that are meant have come to their N-th checkpoint."""

    def __init__(self, number: int, is_meant: Callable[[str], bool], act: Callable[[], None]) -> None:
        self._left = number
        self._is_meant = is_meant
        self._act = act

    @property
    def has_acted(self) -> bool:
        return self._left <= 0

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        if self._is_meant(task.name):
            self._left -= 1
            if self._left == 0:
                self._act()


@asynccontextmanager
async def instrumented(instrument: AtCheckpoint) -> AsyncIterator[None]:
    trio.lowlevel.add_instrument(instrument)
    try:
        yield
    finally:
        trio.lowlevel.remove_instrument(instrument)


async def append(context: Context, position: int) -> AnyOutcome | None:
    """Write one byte of the output per step; the last step leaves it."""
    path = trio.Path(context.output_path("archive"))
    async with await path.open("r+b" if position else "wb") as file:
        await file.seek(position)
        await file.write(b"x")
    context.report(position, STEPS)
    if position < STEPS - 1:
        return None
    await context.checkpoint(CountKind().start(None))  # type: ignore[arg-type]
    output = JobOutput(key="archive", file=path.name, filename="a", media_type="x", size_bytes=STEPS)
    return Done(outputs=(output,))


class Flaky:
    """Appends, but the second step of each job fails once when it has written."""

    def __init__(self) -> None:
        self._failed: set[str] = set()

    async def __call__(self, context: Context, position: int) -> AnyOutcome | None:
        outcome = await append(context, position)
        if position == 1 and context.job_id not in self._failed:
            self._failed.add(context.job_id)
            raise RemoteUnavailable
        return outcome


RETRIED = SubmitOptions(retry=RetryPolicy(max_attempts=3, delay_s=0), timeout_s=5, unique_key="k")


def is_of_job(job_id: str, task: str) -> bool:
    return task == f"job {job_id}" or "Wakes" in task


def check_files(rig: Rig, folder: Path) -> None:
    """Only the outputs of jobs that succeeded are there."""
    named = {output.file for record in rig.engine.records() for output in record.outputs}
    assert names(folder) == named


def check_store(rig: Rig) -> None:
    """The store knows what the registry knows."""
    assert {id: decode_record(data) for id, data in rig.store.records.items()} == {
        record.id: record for record in rig.engine.records()
    }


async def finish(rig: Rig) -> None:
    """Resume what is paused until all jobs have ended."""
    under_way = (JobState.PENDING, JobState.RUNNING)
    await rig.until(lambda: not any(map(rig.engine.count, under_way)))
    for record in rig.engine.records():
        await rig.engine.resume(record.id)
    await rig.until(lambda: all(record.state.is_completed for record in rig.engine.records()))


@asynccontextmanager
async def engine_with_files(
    folder: Path, store: MemoryStore | None = None, step: StepHook = append
) -> AsyncIterator[Rig]:
    outputs = Outputs(folder, max_files=100)
    limits = Limits(types={"Count": 1})
    async with running_engine(CountKind(step), store=store, outputs=outputs, limits=limits) as rig:
        yield rig
        await rig.until(lambda: not rig.engine.slots.borrowed_tokens)
        rig.check_at_rest()
        if not store:
            await rig.engine.stop(0)
            check_files(rig, folder)
            check_store(rig)


def start_cancel(rig: Rig, id: str) -> None:
    async def cancel() -> None:
        with suppress(DatabaseUnavailable):  # at the last checkpoint the test stops the engine
            await rig.engine.cancel(id)

    rig.nursery.start_soon(cancel)


async def test_a_job_that_is_cancelled_anywhere_leaves_nothing(tmp_path: Path) -> None:
    for number in range(1, 200):
        async with engine_with_files(tmp_path / str(number)) as rig:
            record = await rig.engine.submit("Count", CountArgs(STEPS))

            instrument = AtCheckpoint(
                number, lambda name: name.startswith("job "), partial(start_cancel, rig, record.id)
            )
            async with instrumented(instrument):
                record = await rig.engine.wait(record.id)
            is_over = not instrument.has_acted
            assert record.state is (JobState.SUCCESS if record.outputs else JobState.FAILURE)
        if is_over:
            return
    raise AssertionError("the job never ended")


async def test_a_job_that_is_tried_again_and_cancelled_anywhere_leaves_nothing(tmp_path: Path) -> None:
    for number in range(1, 200):
        async with engine_with_files(tmp_path / str(number), step=Flaky()) as rig:
            record = await rig.engine.submit("Count", CountArgs(STEPS), RETRIED)
            other = await rig.engine.submit("Count", CountArgs(STEPS))

            instrument = AtCheckpoint(
                number,
                partial(is_of_job, record.id),
                partial(start_cancel, rig, record.id),
            )
            async with instrumented(instrument):
                record = await rig.engine.wait(record.id)
            is_over = not instrument.has_acted
            assert record.state is (JobState.SUCCESS if record.outputs else JobState.FAILURE)
            await rig.until(lambda: not rig.engine.count(JobState.PENDING))
            await rig.until_ended(other.id)
        if is_over:
            assert record.attempt == 2
            return
    raise AssertionError("the job never ended")


async def test_a_caller_that_leaves_anywhere_leaves_nothing_half_done(tmp_path: Path) -> None:
    async def caller(rig: Rig) -> None:
        first = await rig.engine.submit("Count", CountArgs(STEPS))
        second = await rig.engine.submit("Count", CountArgs(STEPS), RETRIED)
        assert (await rig.engine.submit("Count", CountArgs(STEPS), RETRIED)).id == second.id
        await rig.engine.hold(type="Count", destination="x")
        await rig.engine.release(type="Count")
        await rig.engine.pause(second.id)
        await rig.engine.resume(second.id)
        await rig.engine.cancel(second.id)
        await rig.engine.wait(second.id)
        await rig.engine.resubmit(second.id)
        await rig.engine.wait(first.id)
        await rig.engine.delete_output(first.id, "archive")
        await rig.engine.delete(first.id)

    for number in range(1, 200):
        async with engine_with_files(tmp_path / str(number)) as rig:
            with trio.CancelScope() as scope:
                instrument = AtCheckpoint(number, lambda name: name == "caller", scope.cancel)
                async with instrumented(instrument), trio.open_nursery() as nursery:
                    nursery.start_soon(caller, rig, name="caller")
            await rig.engine.release(type="Count")
            await finish(rig)
        if not instrument.has_acted:
            return
    raise AssertionError("the caller never ended")


async def test_an_engine_that_is_cancelled_anywhere_goes_on_at_its_next_start(tmp_path: Path) -> None:
    async def caller(rig: Rig, submitted: list[str]) -> None:
        for _ in range(2):
            options = SubmitOptions(retry=RETRIED.retry)
            record = await rig.engine.submit("Count", CountArgs(STEPS), options)
            submitted.append(record.id)
        for id in submitted:
            await rig.engine.wait(id)

    for number in range(1, 400):
        folder, store, submitted = tmp_path / str(number), MemoryStore(), list[str]()
        outputs = Outputs(folder, max_files=100)
        with trio.CancelScope() as scope:
            instrument = AtCheckpoint(number, lambda name: name.startswith(("job ", "caller")), scope.cancel)
            async with (
                instrumented(instrument),
                running_engine(CountKind(Flaky()), store=store, outputs=outputs) as rig,
                trio.open_nursery() as nursery,
            ):
                nursery.start_soon(caller, rig, submitted, name="caller")
        rig.check_at_rest()
        check_store(rig)
        assert set(submitted) <= store.records.keys()
        async with engine_with_files(folder, store) as rig:
            for id in submitted:
                assert (await rig.engine.wait(id)).state is JobState.SUCCESS
            await rig.engine.stop(0)
            check_files(rig, folder)
        if not instrument.has_acted:
            return
    raise AssertionError("the jobs never ended")
