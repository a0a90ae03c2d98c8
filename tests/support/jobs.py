"""Jobs for tests: kinds that do what the test says, a store in memory that can fail and crash, a rig."""

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import trio
from msgspec import Raw, Struct
from outcome import Outcome, capture

from orthanc_trio.bus import EventBus
from orthanc_trio.index.index import Index
from orthanc_trio.jobs.attempt import AnyKind, AnyOutcome, InWorker
from orthanc_trio.jobs.engine import JobsEngine, Signal
from orthanc_trio.jobs.kind import Look, StepContext
from orthanc_trio.jobs.options import EngineOptions, HistoryOptions
from orthanc_trio.jobs.outputs import Outputs
from orthanc_trio.jobs.submission_log import NewJob, OutputNews
from orthanc_trio.model.errors import DatabaseError
from orthanc_trio.model.event import Event, JobEvent, JobForgotten
from orthanc_trio.model.job import Continue, Done, JobRecord, JobState

T = TypeVar("T")

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


def now() -> datetime:
    """The time of Trio's clock, so that a mock clock moves it."""
    return EPOCH + timedelta(seconds=trio.current_time())


def make_record(**fields: Any) -> JobRecord:
    defaults: dict[str, Any] = {
        "id": "00000000-0000-4000-8000-000000000000",
        "kind": "Count",
        "args": Raw(b"{}"),
        "state": JobState.PENDING,
        "sequence": 1,
        "created": EPOCH,
        "changed": EPOCH,
        "content": {},
    }
    return JobRecord(**(defaults | fields))


class CountArgs(Struct, frozen=True):
    steps: int = 1
    label: str = ""
    destination: str = ""
    resources: tuple[str, ...] = ()


class CountPlan(Struct, frozen=True):
    positions: tuple[int, ...]


class CountCursor(Struct, frozen=True):
    position: int


Context = StepContext[CountCursor]
StepHook = Callable[[Context, int], Awaitable[AnyOutcome | None]]


async def _just_go_on(context: Context, position: int) -> None:
    await trio.lowlevel.checkpoint()


class CountKind:
    """Counts to `steps`, one per step, and notes each in `effects`. The hooks are the test's."""

    name = "Count"
    args_type = CountArgs
    plan_type = CountPlan
    cursor_type = CountCursor
    plan_is_repeatable = False

    def __init__(self, step: StepHook = _just_go_on) -> None:
        self.hook = step
        """Called at the begin of a step; what it returns replaces the outcome of the step."""
        self.refusal: Exception | None = None
        self.effects: list[tuple[str, int]] = []
        self.plans = 0
        self.discarded: list[str] = []

    def destination(self, args: CountArgs) -> str | None:
        return args.destination or None

    def resources(self, args: CountArgs) -> tuple[str, ...]:
        return args.resources

    async def check(self, args: CountArgs) -> dict[str, Any] | Look:
        await trio.lowlevel.checkpoint()
        if self.refusal is not None:
            raise self.refusal
        return {"Label": args.label}

    async def plan(self, context: Context, args: CountArgs) -> CountPlan:
        await trio.lowlevel.checkpoint()
        self.plans += 1
        return CountPlan(tuple(range(args.steps)))

    def start(self, plan: CountPlan) -> CountCursor:
        return CountCursor(0)

    async def step(
        self, context: Context, args: CountArgs, plan: CountPlan, cursor: CountCursor
    ) -> AnyOutcome:
        outcome = await self.hook(context, cursor.position)
        if outcome is not None:
            return outcome
        total = len(plan.positions)
        if cursor.position < total:
            self.effects.append((args.label, cursor.position))
        done = cursor.position + 1
        if done >= total:
            return Done({"Counted": done})
        return Continue(CountCursor(done), done, total)

    async def discard(self, context: Context, args: CountArgs) -> None:
        await trio.lowlevel.checkpoint()
        self.discarded.append(context.job_id)


class Gate:
    """A step hook that lets steps pass one by one, when the test says so."""

    def __init__(self) -> None:
        self._permits = trio.Semaphore(0)
        self._arrivals = trio.Semaphore(0)
        self.waiting: list[str] = []

    async def __call__(self, context: Context, position: int) -> None:
        self.waiting.append(context.job_id)
        self._arrivals.release()
        try:
            await self._permits.acquire()
        finally:
            self.waiting.remove(context.job_id)

    async def arrival(self) -> None:
        """Wait until one more step has begun."""
        await self._arrivals.acquire()

    def open(self, steps: int = 1) -> None:
        for _ in range(steps):
            self._permits.release()


class MemoryStore:
    """A JobsStore that keeps what it is given, and can fail, hang or die; `index` is what looks see."""

    def __init__(self, index: Index | None = None) -> None:
        self.index = index
        self.records: dict[str, bytes] = {}
        self.plans: dict[str, bytes] = {}
        self.outputs: dict[str, bytes] = {}
        self.uses: dict[str, float] = {}
        self.holds: bytes | None = None
        self.writes = 0
        self.is_failing = False
        self.is_dead = False
        """As after SIGKILL: nothing arrives any more."""
        self.dies_at_write: int | None = None
        self.is_near = True
        """Whether looks may be done at once; else in what stands for a thread."""
        self.before_look: Callable[[], Awaitable[None]] = trio.lowlevel.checkpoint
        self.before_write: Callable[[], Awaitable[None]] = trio.lowlevel.checkpoint

    async def save(
        self, records: Mapping[str, bytes], removed: Sequence[str], output_news: OutputNews
    ) -> None:
        if await self._may_write():
            self.records.update(records)
            for job_id in removed:
                self.records.pop(job_id, None)
                self.plans.pop(job_id, None)
            for file, used_s in output_news.items():
                if used_s is None:
                    self.outputs.pop(file, None)
                else:
                    self.uses[file] = used_s

    async def insert(self, job: NewJob) -> None:
        await self.save({job.id: job.record}, (), job.news)
        if not self.is_dead:
            self.outputs.update(job.outputs)

    async def load_output(self, file: str) -> bytes | None:
        await trio.lowlevel.checkpoint()
        return self.outputs.get(file)

    async def output_uses(self) -> dict[str, float | None]:
        await trio.lowlevel.checkpoint()
        return {file: self.uses.get(file) for file in self.outputs}

    def look_at_once(self, function: Callable[[Any], T]) -> Outcome[T] | None:
        if not self.is_near:
            return None
        return capture(function, None) if self.index is None else self.index.read_at_once(function)

    async def look(self, function: Callable[[Any], T]) -> T:
        await self.before_look()
        if self.index is not None:
            return await self.index.read(function)
        return function(None)

    async def load(self, read: Callable[[bytes], T]) -> list[T]:
        await trio.lowlevel.checkpoint()
        return list(map(read, self.records.values()))

    async def save_plan(self, job_id: str, plan: bytes | None) -> None:
        if await self._may_write():
            if plan is None:
                self.plans.pop(job_id, None)
            else:
                self.plans[job_id] = plan

    async def load_plan(self, job_id: str) -> bytes | None:
        await trio.lowlevel.checkpoint()
        return self.plans.get(job_id)

    async def save_holds(self, holds: bytes) -> None:
        if await self._may_write():
            self.holds = holds

    async def load_holds(self) -> bytes | None:
        await trio.lowlevel.checkpoint()
        return self.holds

    async def _may_write(self) -> bool:
        await self.before_write()
        if self.is_failing:
            raise DatabaseError("made by the test")
        self.writes += 1
        if self.dies_at_write is not None and self.writes > self.dies_at_write:
            self.is_dead = True
        return not self.is_dead

    def survivor(self) -> "MemoryStore":
        """What the next process finds."""
        store = MemoryStore(self.index)
        store.records, store.plans, store.holds = dict(self.records), dict(self.plans), self.holds
        store.outputs = dict(self.outputs)
        return store


class Rig:
    """An engine that runs, and what it has told."""

    def __init__(self, engine: JobsEngine, store: MemoryStore, nursery: trio.Nursery) -> None:
        self.engine = engine
        self.store = store
        self.nursery = nursery
        self.bus = EventBus()
        self.events: list[Event] = []
        self.writes_at_events: list[int] = []
        self._ended: Counter[str] = Counter()
        self._changed = trio.Event()

    def states(self, job_id: str) -> list[JobState]:
        """The states of a job as they were told, without repetitions."""
        told = [e.record.state for e in self.events if isinstance(e, JobEvent) and e.record.id == job_id]
        return [state for i, state in enumerate(told) if i == 0 or told[i - 1] is not state]

    def forgotten(self) -> list[str]:
        return [event.id for event in self.events if isinstance(event, JobForgotten)]

    def publish(self, event: Event) -> None:
        self.events.append(event)
        self.writes_at_events.append(self.store.writes)
        self.bus.publish(event)
        self._stir()

    def probe(self, signal: Signal, job_id: str) -> None:
        if signal is Signal.ATTEMPT_ENDED:
            self._ended[job_id] += 1
        self._stir()

    async def until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            await self._changed.wait()

    async def until_state(self, job_id: str, state: JobState) -> JobRecord:
        def is_there() -> bool:
            record = self.engine.get(job_id)
            return record is not None and record.state is state

        await self.until(is_there)
        record = self.engine.get(job_id)
        assert record is not None
        return record

    async def until_ended(self, job_id: str, attempts: int = 1) -> None:
        await self.until(lambda: self._ended[job_id] >= attempts)

    def crash(self) -> None:
        """End as by SIGKILL: nothing more reaches the store."""
        self.store.is_dead = True
        self.nursery.cancel_scope.cancel()

    def check_at_rest(self) -> None:
        """Assert what holds when no job runs."""
        assert self.engine.slots.borrowed_tokens == 0
        assert self.engine.count(JobState.RUNNING) == 0
        assert all(record.state is not JobState.RUNNING for record in self.engine.records())

    def _stir(self) -> None:
        self._changed.set()
        self._changed = trio.Event()


def names(folder: Path) -> set[str]:
    """The files in a folder."""
    return {path.name for path in folder.iterdir()}


async def run_here(function: Callable[..., Any], *args: Any) -> Any:
    """Stands for the worker processes."""
    await trio.lowlevel.checkpoint()
    return function(*args)


@asynccontextmanager
async def running_engine(
    *kinds: AnyKind,
    store: MemoryStore | None = None,
    outputs: Outputs | None = None,
    concurrent_jobs: int = 2,
    history_size: int = 10,
    restores: bool = True,
    is_probed: bool = True,
    in_worker: InWorker | None = None,
    **options: Any,
) -> AsyncIterator[Rig]:
    """Run an engine; at the end stop it without grace and check that nothing is left.

    `options` are more of EngineOptions, also those of its history.
    """
    names = HistoryOptions.__struct_fields__
    history = {name: options.pop(name) for name in names if name in options}
    store = store or MemoryStore()
    rigs: list[Rig] = []
    engine = JobsEngine(
        kinds or (CountKind(),),
        store,
        outputs or NoOutputs(),
        lambda event: rigs[0].publish(event),
        EngineOptions(
            concurrent_jobs=concurrent_jobs,
            history=HistoryOptions(size=history_size, **history),
            **options,
        ),
        now=now,
        in_worker=in_worker or run_here,
        restores=restores,
        probe=(lambda signal, job_id: rigs[0].probe(signal, job_id)) if is_probed else None,
    )
    async with trio.open_nursery() as nursery:
        rigs.append(Rig(engine, store, nursery))
        await nursery.start(engine.run)
        yield rigs[0]
        if not store.is_dead:
            await engine.stop(0)
    rigs[0].check_at_rest()


class NoOutputs(Outputs):
    """For jobs without outputs: uses no thread, so that a mock clock works."""

    def __init__(self) -> None:
        super().__init__(Path("/nonexistent"), max_files=0)

    async def restore(self, records: Iterable[JobRecord]) -> set[str]:
        await trio.lowlevel.checkpoint()
        return set()
