"""The engine against a small model: hypothesis drives users, steps, time, crashes and restarts.

The engine runs in a thread of its own on a clock that stands still; each rule acts, waits until all tasks
wait, and compares.
"""

import math
import threading
from collections.abc import Awaitable, Callable
from typing import TypeVar

import hypothesis.strategies as st
import trio
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from trio.testing import MockClock, wait_all_tasks_blocked

from orthanc_trio.jobs.attempt import AnyOutcome
from orthanc_trio.jobs.options import Limits
from orthanc_trio.model.errors import RemoteUnavailable, UnknownResource
from orthanc_trio.model.job import JobState, RetryAfter, RetryPolicy, SubmitOptions
from tests.support.jobs import Context, CountArgs, CountCursor, CountKind, MemoryStore, Rig, running_engine

T = TypeVar("T")

SLOTS = 3
HISTORY = 3
STEPS = 3
LIMITS = {"a": 1}
POLICY = RetryPolicy(max_attempts=3, delay_s=50, backoff=2, max_delay_s=60)
TIMEOUT_S = 400
TICK_S = 0.0005  # per rule: distinct times, and far from the period of the journal
CLOCK_ERROR_S = 0.00005  # records have microseconds


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
        async with running_engine(
            self.kind,
            store=self.store,
            concurrent_jobs=SLOTS,
            history_size=HISTORY,
            limits=Limits(destinations=LIMITS),
        ) as rig:
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
    def __init__(self, id: str, args: CountArgs, options: SubmitOptions, sequence: int) -> None:
        self.id = id
        self.rank = (-options.priority, sequence)
        self.destination = args.destination
        self.options = options
        self.state = JobState.PENDING
        self.attempt = 1
        self.done = self.saved_done = 0
        self.runtime = self.saved_runtime = 0.0
        """Until `since`, as at the last boundary; `saved_...` is what a crash leaves."""
        self.since = 0.0
        self.retry_at = self.ended_at = 0.0
        self.is_to_pause = self.is_to_yield = False

    @property
    def timeout_at(self) -> float:
        return self.since + (self.options.timeout_s or math.inf) - self.runtime


class Model:
    """What the engine promises, in few words."""

    def __init__(self) -> None:
        self.jobs: dict[str, ModelJob] = {}
        self.held: set[str] = set()
        self.forgotten: list[ModelJob] = []
        """Out of the history, perhaps still in the store."""

    def in_state(self, *states: JobState) -> list[ModelJob]:
        return [job for job in self.jobs.values() if job.state in states]

    def with_key(self, key: str) -> list[ModelJob]:
        return [job for job in [*self.jobs.values(), *self.forgotten] if job.options.unique_key == key]

    def to(self, job: ModelJob, state: JobState, now: float) -> None:
        self.pass_boundary(job, now)
        job.state, job.ended_at = state, now
        job.saved_done, job.saved_runtime = job.done, job.runtime
        job.is_to_pause = job.is_to_yield = False
        if job.options.auto_delete and state is JobState.SUCCESS:
            del self.jobs[job.id]
        self.settle(now)

    def pass_boundary(self, job: ModelJob, now: float) -> None:
        if job.state is JobState.RUNNING:
            job.runtime += now - job.since
            job.since = now

    def may_start(self, job: ModelJob) -> bool:
        running = self.in_state(JobState.RUNNING)
        neighbours = [one for one in running if one.destination == job.destination]
        has_room = len(neighbours) < LIMITS.get(job.destination, SLOTS)
        return len(running) < SLOTS and has_room and job.destination not in self.held

    def settle(self, now: float) -> None:
        for is_fleeting in (False, True):
            ended = self.in_state(JobState.SUCCESS, JobState.FAILURE)
            ended = [job for job in ended if job.options.auto_delete is is_fleeting]
            ended.sort(key=lambda job: job.ended_at)
            for job in ended[: max(len(ended) - HISTORY, 0)]:
                self.forgotten.append(self.jobs.pop(job.id))
        for job in sorted(self.in_state(JobState.PENDING), key=lambda job: job.rank):
            if self.may_start(job):
                job.state, job.since = JobState.RUNNING, now

    def save_all(self) -> None:
        self.forgotten.clear()
        for job in self.jobs.values():
            job.saved_done, job.saved_runtime = job.done, job.runtime

    def stop(self, now: float) -> None:
        for job in self.in_state(JobState.RUNNING):
            self.pass_boundary(job, now)
            job.state = JobState.PAUSED if job.is_to_pause else JobState.PENDING
        self.save_all()

    def restart(self, now: float) -> None:
        for job in self.in_state(JobState.RUNNING):
            job.state = JobState.PENDING
        for job in self.jobs.values():
            job.done, job.runtime = job.saved_done, job.saved_runtime
            job.is_to_pause = job.is_to_yield = False
        self.settle(now)


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
        return bool(self.stage.act(lambda: getattr(self.stage.rig.engine, action)(job.id)))

    def end_step(self, job: ModelJob, command: AnyOutcome | Exception | None) -> None:
        async def command_it() -> None:
            self.stage.command(job.id, command)

        self.pass_time(TICK_S)
        self.stage.act(command_it)

    @rule(
        priority=st.integers(-1, 1),
        destination=st.sampled_from(["a", "b"]),
        is_timed=st.booleans(),
        auto_delete=st.booleans(),
        key=st.sampled_from([None, None, "k"]),
    )
    def submit(
        self, priority: int, destination: str, is_timed: bool, auto_delete: bool, key: str | None
    ) -> None:
        self.pass_time(TICK_S)
        twins = self.model.with_key(key) if key else []
        known = [job for job in twins if job.id in self.model.jobs]
        if len(twins) != len(known):
            return  # a crash would bring the other one back
        self.submitted += 1
        options = SubmitOptions(
            priority=priority,
            retry=POLICY,
            # No two jobs reach their limits at the same moment.
            timeout_s=TIMEOUT_S + 0.0101 * self.submitted if is_timed else None,
            auto_delete=auto_delete,
            unique_key=key,
        )
        args = CountArgs(STEPS, destination=destination)
        record = self.stage.act(lambda: self.stage.rig.engine.submit("Count", args, options))
        assert [record.id for _ in known] == [job.id for job in known]
        if not known:
            self.model.jobs[record.id] = ModelJob(record.id, args, options, self.submitted)
            self.model.settle(self.now)

    @precondition(lambda self: self.model.jobs)
    @rule(number=jobs)
    def pause(self, number: int) -> None:
        job = self.pick(number)
        assert self.ask("pause", job)
        if job.state is JobState.RUNNING:
            job.is_to_pause = True
        elif job.state in (JobState.PENDING, JobState.RETRY):
            self.model.to(job, JobState.PAUSED, self.now)

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
            self.model.to(job, JobState.PENDING, self.now)

    @precondition(lambda self: self.model.jobs)
    @rule(number=jobs)
    def resubmit(self, number: int) -> None:
        job = self.pick(number)
        is_accepted = self.ask("resubmit", job)
        assert is_accepted == (job.state in (JobState.FAILURE, JobState.RETRY))
        if job.state is JobState.FAILURE:
            job.done, job.runtime, job.attempt = 0, 0.0, 1
        if is_accepted:
            self.model.to(job, JobState.PENDING, self.now)

    @rule(destination=st.sampled_from(["a", "b"]), is_held=st.booleans())
    def hold_or_release(self, destination: str, is_held: bool) -> None:
        self.pass_time(TICK_S)
        engine = self.stage.rig.engine
        if is_held:
            self.stage.act(lambda: engine.hold(destination=destination))
            self.model.held.add(destination)
            for job in self.model.in_state(JobState.RUNNING):
                job.is_to_yield = job.is_to_yield or job.destination == destination
        else:
            self.stage.act(lambda: engine.release(destination=destination))
            self.model.held.discard(destination)
            self.model.settle(self.now)

    @precondition(lambda self: self.model.jobs)
    @rule(number=jobs)
    def delete(self, number: int) -> None:
        job = self.pick(number)
        is_accepted = self.ask("delete", job)
        assert is_accepted == (job.state.is_completed or job.state is JobState.RETRY)
        if is_accepted:
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
            self.model.to(job, JobState.PAUSED, self.now)
        elif job.is_to_yield:
            self.model.to(job, JobState.PENDING, self.now)
        else:
            self.model.pass_boundary(job, self.now)

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
        self.model.to(job, JobState.PAUSED if job.is_to_pause else JobState.RETRY, self.now)

    @precondition(lambda self: self.model.in_state(JobState.RUNNING))
    @rule(number=jobs)
    def fail_for_now(self, number: int) -> None:
        running = self.model.in_state(JobState.RUNNING)
        job = running[number % len(running)]
        self.end_step(job, RemoteUnavailable())
        if job.attempt == POLICY.max_attempts:
            self.model.to(job, JobState.FAILURE, self.now)
            return
        job.retry_at = self.now + POLICY.delay_after(job.attempt)
        job.attempt += 1
        self.model.to(job, JobState.PAUSED if job.is_to_pause else JobState.RETRY, self.now)

    @rule()
    def let_the_journal_save(self) -> None:
        self.pass_time(1)
        self.model.save_all()

    @precondition(lambda self: self.model.in_state(JobState.RETRY))
    @rule()
    def let_a_delay_pass(self) -> None:
        first = min(job.retry_at for job in self.model.in_state(JobState.RETRY))
        self.pass_time(first + CLOCK_ERROR_S - self.now)
        self.model.save_all()

    @precondition(lambda self: self.timeouts())
    @rule()
    def let_a_limit_pass(self) -> None:
        self.pass_time(min(job.timeout_at for job in self.timeouts()) + CLOCK_ERROR_S - self.now)
        self.model.save_all()

    def timeouts(self) -> list[ModelJob]:
        running = self.model.in_state(JobState.RUNNING)
        return [job for job in running if job.timeout_at < math.inf]

    def pass_time(self, seconds: float) -> None:
        """Move the clock, and let the delays and the limits that end meanwhile end one by one."""
        target = self.now + seconds
        while True:
            events = [(job.retry_at, job.id) for job in self.model.in_state(JobState.RETRY)]
            events += [(job.timeout_at, job.id) for job in self.timeouts()]
            time, job_id = min(events, default=(math.inf, ""))
            if time > target:
                break
            self.jump_to(time + CLOCK_ERROR_S)
            job = self.model.jobs[job_id]
            is_delayed = job.state is JobState.RETRY
            self.model.to(job, JobState.PENDING if is_delayed else JobState.FAILURE, self.now)
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
        self.model.restart(self.now)

    @rule()
    def stop_and_start(self) -> None:
        self.stage.act(self.stage.stop)
        self.model.stop(self.now)
        self.stage.act(self.stage.start)
        self.model.restart(self.now)

    @invariant()
    def the_engine_is_as_the_model(self) -> None:
        engine = self.stage.rig.engine
        expected = {job.id: job.state for job in self.model.jobs.values()}
        assert {record.id: record.state for record in engine.records()} == expected
        attempts = {job.id: job.attempt for job in self.model.jobs.values()}
        assert {record.id: record.attempt for record in engine.records()} == attempts
        assert set(engine.holds.destinations) == self.model.held
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
