"""The engine against a small model: hypothesis drives users, steps, time, crashes and restarts.

The engine runs in a thread of its own on a clock that stands still; each rule acts, waits until all tasks
wait, and compares.
"""

import threading
from collections.abc import Awaitable, Callable
from typing import TypeVar

import hypothesis.strategies as st
import trio
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from trio.testing import MockClock, wait_all_tasks_blocked

from orthanc_trio.jobs.attempt import AnyOutcome
from orthanc_trio.model.errors import UnknownResource
from orthanc_trio.model.job import JobState, RetryAfter
from tests.support.jobs import Context, CountArgs, CountCursor, CountKind, MemoryStore, Rig, running_engine

T = TypeVar("T")

SLOTS = 2
HISTORY = 3
STEPS = 3
TICK_S = 0.0005  # per rule: distinct times, and far from the period of the journal
CLOCK_ERROR_S = 0.00001  # records have microseconds


class Stage:
    """An engine in a thread, whose jobs make a step when they are told to."""

    def __init__(self) -> None:
        self.clock = MockClock()
        self.store = MemoryStore()
        self.kind = CountKind(self._step)
        self._commands: dict[str, AnyOutcome | Exception | None] = {}
        self._command_given = trio.Event()
        self._over = trio.Event()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: trio.run(self._main, clock=self.clock))
        self._thread.start()
        self._ready.wait()

    async def _main(self) -> None:
        self._token = trio.lowlevel.current_trio_token()
        async with trio.open_nursery() as self._nursery:
            await self.start()
            self._ready.set()
            await self._over.wait()
            await self.stop()

    async def start(self) -> None:
        self._end = trio.Event()
        self._ended = trio.Event()
        self.rig: Rig = await self._nursery.start(self._run)

    async def _run(self, *, task_status: trio.TaskStatus[Rig]) -> None:
        options = {"store": self.store, "concurrent_jobs": SLOTS, "history_size": HISTORY}
        async with running_engine(self.kind, **options) as rig:  # type: ignore[arg-type]
            task_status.started(rig)
            await self._end.wait()
        self._ended.set()

    async def stop(self) -> None:
        self._end.set()
        await self._ended.wait()

    async def crash(self) -> None:
        self.rig.crash()
        await self._ended.wait()
        self.store = self.store.survivor()

    async def _step(self, context: Context, position: int) -> AnyOutcome | None:
        while context.job_id not in self._commands:
            await self._command_given.wait()
        command = self._commands.pop(context.job_id)
        if isinstance(command, Exception):
            raise command
        return command

    def command(self, job_id: str, command: AnyOutcome | Exception | None) -> None:
        """Let the running step of a job end in this way."""
        self._commands[job_id] = command
        self._command_given.set()
        self._command_given = trio.Event()

    def act(self, action: Callable[[], Awaitable[T]]) -> T:
        """Do something in the thread of the engine, and return when everything waits again."""

        async def act_and_settle() -> T:
            result = await action()
            await wait_all_tasks_blocked()
            return result

        return trio.from_thread.run(act_and_settle, trio_token=self._token)

    def close(self) -> None:
        self._token.run_sync_soon(self._over.set)
        self._thread.join()


class ModelJob:
    def __init__(self, id: str, priority: int, sequence: int) -> None:
        self.id = id
        self.rank = (-priority, sequence)
        self.state = JobState.PENDING
        self.done = 0
        self.saved_done = 0
        self.is_to_pause = False
        self.retry_at = 0.0
        self.ended_at = 0.0


class Model:
    """What the engine promises, in few words."""

    def __init__(self) -> None:
        self.jobs: dict[str, ModelJob] = {}
        self.forgotten: list[ModelJob] = []
        """Out of the history, perhaps still in the store."""

    def in_state(self, *states: JobState) -> list[ModelJob]:
        return [job for job in self.jobs.values() if job.state in states]

    def to(self, job: ModelJob, state: JobState, now: float = 0.0) -> None:
        job.state, job.saved_done, job.ended_at, job.is_to_pause = state, job.done, now, False
        self.settle()

    def settle(self) -> None:
        ended = sorted(self.in_state(JobState.SUCCESS, JobState.FAILURE), key=lambda job: job.ended_at)
        for job in ended[: max(len(ended) - HISTORY, 0)]:
            self.forgotten.append(self.jobs.pop(job.id))
        for job in sorted(self.in_state(JobState.PENDING), key=lambda job: job.rank):
            if len(self.in_state(JobState.RUNNING)) < SLOTS:
                job.state = JobState.RUNNING

    def save_all(self) -> None:
        self.forgotten.clear()
        for job in self.jobs.values():
            job.saved_done = job.done

    def restart(self) -> None:
        for job in self.in_state(JobState.RUNNING, JobState.RETRY):
            job.state = JobState.PENDING
        for job in self.jobs.values():
            job.done, job.is_to_pause = job.saved_done, False
        self.settle()


jobs = st.integers(0, 9)


class JobsMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.stage = Stage()
        self.model = Model()
        self.submitted = 0

    def teardown(self) -> None:
        self.stage.close()

    @property
    def now(self) -> float:
        return self.stage.clock.current_time()

    def pick(self, number: int) -> ModelJob:
        return list(self.model.jobs.values())[number % len(self.model.jobs)]

    def ask(self, action: str, job: ModelJob) -> bool:
        self.pass_time(TICK_S)
        is_accepted: bool = self.stage.act(lambda: getattr(self.stage.rig.engine, action)(job.id))
        return is_accepted

    def end_step(self, job: ModelJob, command: AnyOutcome | Exception | None) -> None:
        async def command_it() -> None:
            self.stage.command(job.id, command)

        self.pass_time(TICK_S)
        self.stage.act(command_it)

    @rule(priority=st.integers(-1, 1))
    def submit(self, priority: int) -> None:
        self.pass_time(TICK_S)
        self.submitted += 1
        engine = self.stage.rig.engine
        record = self.stage.act(lambda: engine.submit("Count", CountArgs(STEPS), priority=priority))
        self.model.jobs[record.id] = ModelJob(record.id, priority, self.submitted)
        self.model.settle()

    @precondition(lambda self: self.model.jobs)
    @rule(number=jobs)
    def pause(self, number: int) -> None:
        job = self.pick(number)
        assert self.ask("pause", job)
        if job.state is JobState.RUNNING:
            job.is_to_pause = True
        elif job.state in (JobState.PENDING, JobState.RETRY):
            self.model.to(job, JobState.PAUSED)

    @precondition(lambda self: self.model.jobs)
    @rule(number=jobs)
    def cancel(self, number: int) -> None:
        job = self.pick(number)
        assert self.ask("cancel", job)
        if not job.state.is_completed:
            self.model.to(job, JobState.FAILURE, self.now)

    @precondition(lambda self: self.model.jobs)
    @rule(number=jobs)
    def resume(self, number: int) -> None:
        job = self.pick(number)
        assert self.ask("resume", job) == (job.state is JobState.PAUSED)
        if job.state is JobState.PAUSED:
            self.model.to(job, JobState.PENDING)

    @precondition(lambda self: self.model.jobs)
    @rule(number=jobs)
    def resubmit(self, number: int) -> None:
        job = self.pick(number)
        assert self.ask("resubmit", job) == (job.state is JobState.FAILURE)
        if job.state is JobState.FAILURE:
            job.done = 0
            self.model.to(job, JobState.PENDING)

    @precondition(lambda self: self.model.jobs)
    @rule(number=jobs)
    def delete(self, number: int) -> None:
        job = self.pick(number)
        assert self.ask("delete", job) == job.state.is_completed
        if job.state.is_completed:
            del self.model.jobs[job.id]

    @precondition(lambda self: self.model.in_state(JobState.RUNNING))
    @rule(number=jobs)
    def step(self, number: int) -> None:
        running = self.model.in_state(JobState.RUNNING)
        job = running[number % len(running)]
        self.end_step(job, None)
        job.done += 1
        if job.done == STEPS:
            self.model.to(job, JobState.SUCCESS, self.now)
        elif job.is_to_pause:
            self.model.to(job, JobState.PAUSED)

    @precondition(lambda self: self.model.in_state(JobState.RUNNING))
    @rule(number=jobs)
    def fail(self, number: int) -> None:
        running = self.model.in_state(JobState.RUNNING)
        job = running[number % len(running)]
        self.end_step(job, UnknownResource())
        self.model.to(job, JobState.FAILURE, self.now)

    @precondition(lambda self: self.model.in_state(JobState.RUNNING))
    @rule(number=jobs)
    def delay(self, number: int) -> None:
        running = self.model.in_state(JobState.RUNNING)
        job = running[number % len(running)]
        self.end_step(job, RetryAfter(50, CountCursor(job.done)))
        job.retry_at = self.now + 50
        self.model.to(job, JobState.PAUSED if job.is_to_pause else JobState.RETRY)

    @rule()
    def let_the_journal_save(self) -> None:
        self.pass_time(1)
        self.model.save_all()

    @precondition(lambda self: self.model.in_state(JobState.RETRY))
    @rule()
    def let_a_delay_pass(self) -> None:
        self.pass_time(min(job.retry_at for job in self.model.in_state(JobState.RETRY)) - self.now)
        self.model.save_all()

    def pass_time(self, seconds: float) -> None:
        """Move the clock, and let the delays that end meanwhile end one by one."""
        target = self.now + seconds
        for job in sorted(self.model.in_state(JobState.RETRY), key=lambda job: job.retry_at):
            if job.retry_at <= target:
                self.jump_to(job.retry_at + CLOCK_ERROR_S)
                self.model.to(job, JobState.PENDING)
        self.jump_to(target)

    def jump_to(self, time: float) -> None:
        self.stage.clock.jump(max(time - self.now, 0))
        self.stage.act(trio.lowlevel.checkpoint)

    @rule()
    def crash(self) -> None:
        self.stage.act(self.stage.crash)
        self.model.jobs |= {job.id: job for job in self.model.forgotten}
        self.model.forgotten.clear()
        self.stage.act(self.stage.start)
        self.model.restart()

    @rule()
    def stop_and_start(self) -> None:
        self.stage.act(self.stage.stop)
        self.model.save_all()
        for job in self.model.in_state(JobState.RUNNING):
            if job.is_to_pause:
                job.state = JobState.PAUSED
        self.stage.act(self.stage.start)
        self.model.restart()

    @invariant()
    def the_engine_is_as_the_model(self) -> None:
        engine = self.stage.rig.engine
        expected = {job.id: job.state for job in self.model.jobs.values()}
        assert {record.id: record.state for record in engine.records()} == expected
        assert engine.slots.borrowed_tokens == len(self.model.in_state(JobState.RUNNING))
        for job in self.model.in_state(JobState.RUNNING, JobState.PAUSED):
            record = engine.get(job.id)
            assert record is not None
            cursor = record.cursor if job.done else b'{"position":0}'
            assert bytes(cursor or b"") == b'{"position":%d}' % job.done

    @invariant()
    def what_was_answered_is_in_the_store(self) -> None:
        assert self.model.jobs.keys() <= self.stage.store.records.keys()


TestJobsMachine = JobsMachine.TestCase
TestJobsMachine.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
