"""The engine: takes jobs, runs the best ones in its slots, and stops in good order.

Decisions are made in synchronous code (registry, states); this carries them out. What a step raises never
gets here. Any exception that does is a bug: it rises and ends the process, after a last save.
"""

import logging
import math
from collections.abc import Callable, Iterable, Set
from datetime import datetime
from enum import Enum
from typing import Final
from uuid import uuid4

import msgspec
import trio
from msgspec import Raw, Struct
from msgspec.structs import replace

from ..extent import Chunk
from ..model.errors import BadRequest, DatabaseUnavailable, OrthancError
from ..model.event import Event
from ..model.job import MAX_RESOURCES, JobRecord, JobState, SubmitOptions
from .attempt import AnyKind, Attempt, InWorker
from .control import JobsControl
from .journal import JobsStore, Journal
from .kind import Look
from .ledger import Ledger
from .options import EngineOptions
from .outputs import Outputs
from .registry import JobsRegistry
from .states import Move, moved
from .submission import Submission

CLOSE_TIMEOUT_S: Final = 10.0
_PLAIN: Final = SubmitOptions()

_logger = logging.getLogger(__name__)


class Signal(Enum):
    """What a probe is told, besides the events that everybody gets."""

    ATTEMPT_BEGUN = "begun"
    ATTEMPT_ENDED = "ended"
    """The slot is back."""


Probe = Callable[[Signal, str], None]


class JobsEngine(JobsControl):
    """Runs jobs. Other methods may be called once `run` has started, and until it ends."""

    def __init__(
        self,
        kinds: Iterable[AnyKind],
        store: JobsStore,
        outputs: Outputs,
        publish: Callable[[Event], None],
        options: EngineOptions,
        *,
        now: Callable[[], datetime],
        in_worker: InWorker,
        restores: bool = True,
        probe: Probe | None = None,
    ) -> None:
        registry = JobsRegistry(options.history, options.limits)
        super().__init__(Ledger(registry, Journal(store), outputs, publish, now))
        self._kinds = {kind.name: kind for kind in kinds}
        self._options = options
        self._in_worker = in_worker
        self._restores = restores
        self._probe = probe
        self.slots = trio.CapacityLimiter(options.concurrent_jobs)
        """One token per running job that takes a slot, borrowed on behalf of its id."""
        self._at_once = 0
        """How many of the tokens are those of submissions that may do their jobs at once."""
        self._slot_is_back = trio.lowlevel.ParkingLot()
        self._is_stopping = False
        self._stopped = trio.Event()

    @property
    def kinds(self) -> Set[str]:
        """The names of what can run."""
        return self._kinds.keys()

    def get(self, job_id: str) -> JobRecord | None:
        """Return a job as it is now, or None."""
        return self._ledger.registry.find(job_id)

    def records(self) -> list[JobRecord]:
        """Return all jobs, sorted by id."""
        return self._ledger.registry.records()

    def ids(self) -> list[str]:
        """Return the ids of all jobs, sorted; cheap."""
        return self._ledger.registry.catalog.ids()

    def page(self, limit: int, *, after: str = "") -> list[JobRecord]:
        """Return at most `limit` jobs in the order of their ids, from the next one after the id `after`."""
        registry = self._ledger.registry
        return registry.pick(registry.catalog.ids_after(after, limit))

    def page_by_submission(self, limit: int, *, after: int = 0) -> list[JobRecord]:
        """Return at most `limit` jobs in the order of submission, from the next `sequence` after `after`."""
        registry = self._ledger.registry
        return registry.pick(registry.catalog.submitted_after(after, limit))

    def page_newest_first(self, limit: int, *, before: int | None = None) -> list[JobRecord]:
        """Return at most `limit` jobs, newest submission first, those with a `sequence` below `before`."""
        registry = self._ledger.registry
        return registry.pick(registry.catalog.submitted_before(before, limit))

    def count(self, state: JobState) -> int:
        """Return the number of jobs in a state; cheap."""
        return self._ledger.registry.count(state)

    async def submit(
        self,
        kind_name: str,
        args: Struct,
        options: SubmitOptions = _PLAIN,
        *,
        sink: trio.abc.SendChannel[Chunk] | None = None,
    ) -> JobRecord:
        """Make a job, and return its record when it is saved. The highest priority runs first.

        A submission with the unique key of a known job and the same request gives that job. `sink` is closed
        at the end of the job; of a submission that failed it stays with the caller. A caller that is
        cancelled before the return leaves no job.
        Raises what the kind's `check` and the store raise, DuplicateResource if the unique key was given with
        another request, BadRequest for a unique key with a sink, and DatabaseUnavailable while the engine
        stops; then there is no job.
        """
        key = options.unique_key
        if key is None:
            return await self._submit(self._kinds[kind_name], args, options, sink)
        if sink is not None:
            raise BadRequest("A job whose result streams cannot have a unique key")
        async with self._turn(f"key {key}"):
            twin = self._ledger.registry.find_twin(key, options.request_digest)
            return twin or await self._submit(self._kinds[kind_name], args, options, None)

    async def _submit(
        self,
        kind: AnyKind,
        args: Struct,
        options: SubmitOptions,
        sink: trio.abc.SendChannel[Chunk] | None,
    ) -> JobRecord:
        checked = await kind.check(args)
        if self._is_stopping:
            raise DatabaseUnavailable
        record = self._new_record(kind, args, options)
        if sink is not None:
            record = replace(record, retry=None)  # what was streamed cannot be taken back
        if isinstance(checked, dict):
            record = replace(record, content=checked)
            await self._ledger.admit(record, sink)
        else:
            may_wait = sink is None
            submission = Submission(record, checked, has_turn=may_wait and self._has_room(record))
            if not self._ledger.journal.look_up_at_once(submission):
                submission = await self._looked_up_in_thread(record, checked, may_wait=may_wait)
            record = await self._ledger.admit_looked_up(submission, sink)
        self._fill_slots()
        return record

    def _has_room(self, record: JobRecord) -> bool:
        """Whether a new job may be done at once, since no other one has a better right to a slot."""
        has_slot = self.slots.borrowed_tokens < self._options.concurrent_jobs
        return has_slot and self._ledger.registry.has_room(record)

    async def _looked_up_in_thread(self, record: JobRecord, look: Look, *, may_wait: bool) -> Submission:
        """Look a new job up in a thread. One that is done there has a slot meanwhile.

        Slots that are taken by such submissions are waited for: a turn as a job costs several times as much.
        """
        registry, slots, journal = self._ledger.registry, self.slots, self._ledger.journal
        while may_wait and self._at_once and not slots.available_tokens:
            await self._slot_is_back.park()
        if self._is_stopping:
            raise DatabaseUnavailable
        has_turn = may_wait and self._has_room(record)
        submission = Submission(record, look, has_turn=has_turn)
        if not has_turn:
            await journal.look_up(submission)
            return submission
        slots.acquire_on_behalf_of_nowait(record.id)
        registry.reserve(record)
        self._at_once += 1
        try:
            await journal.look_up(submission)
            return submission
        finally:
            self._at_once -= 1
            slots.release_on_behalf_of(record.id)
            registry.release(record)
            self._fill_slots()  # who waits for a slot comes before who may come again
            self._slot_is_back.unpark(count=1 if self._at_once else math.inf)

    def _new_record(self, kind: AnyKind, args: Struct, options: SubmitOptions) -> JobRecord:
        now, user_data, ours = self._ledger.now(), options.user_data, self._options
        destination = kind.destination(args)
        return JobRecord(
            id=str(uuid4()),
            kind=kind.name,
            args=Raw(msgspec.json.encode(args)),
            state=JobState.PENDING,
            priority=options.priority,
            sequence=self._ledger.registry.take_sequence(),
            created=now,
            changed=now,
            content={},
            user_data=None if user_data is None else user_data.copy(),
            is_durable=options.is_durable,
            destination=destination,
            resources=kind.resources(args)[:MAX_RESOURCES],
            retry=options.retry or ours.retries.find(kind.name, destination),
            timeout_s=ours.timeout_s if options.timeout_s is None else options.timeout_s,
            auto_delete=options.auto_delete,
            unique_key=options.unique_key,
            request_digest=options.request_digest,
        )

    async def wait(self, job_id: str) -> JobRecord:
        """Return the record of a job once it is completed, as it was at that moment.

        A failed or cancelled job is returned like any other; a paused one is waited for. Raises
        InexistentItem if the job is unknown or is not kept in the history, DatabaseUnavailable if the engine
        stops first.
        """
        return await self._ledger.wait(job_id)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Take over the saved jobs and run the engine until `stop`; started when jobs can be submitted."""
        if self._restores:
            self._wakes.add_all(await self._ledger.restore(self._kinds))
        else:
            await self._ledger.start_empty()
        try:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                ledger = self._ledger
                for task in (
                    ledger.journal.run,
                    ledger.outputs.run,
                    ledger.run,
                    ledger.run_expiry,
                    ledger.run_history,
                ):
                    nursery.start_soon(task)
                nursery.start_soon(self._wakes.run, self._wake)
                self._fill_slots()
                task_status.started()
        finally:
            self._is_stopping = True
            self._nursery = None
            with trio.move_on_after(CLOSE_TIMEOUT_S, shield=True) as scope:
                await self._ledger.close()
            if scope.cancelled_caught:
                _logger.error("The last save of the jobs took too long")
            self._stopped.set()

    async def stop(self, grace_s: float) -> None:
        """Stop and return when all is saved.

        Running jobs reach a boundary, or after `grace_s` are cancelled, and will go on from there at the next
        start. Callers of `wait` get DatabaseUnavailable.
        """
        self._is_stopping = True
        self._ledger.abandon(except_for=self._attempts)
        deadline = trio.current_time() + grace_s
        for attempt in self._attempts.values():
            attempt.stop_by(deadline)
        self._end_if_idle()
        await self._stopped.wait()

    def _attempt(self, record: JobRecord) -> Attempt:
        kind, sink = self._kinds[record.kind], self._ledger.sink(record.id)
        return Attempt(
            record,
            kind,
            self._ledger,
            in_worker=self._in_worker,
            discard_timeout_s=self._options.cancel_timeout_s,
            sink=sink,
        )

    def _fill_slots(self) -> None:
        """Start the best jobs, as many as there are free slots. Nothing waits here, so priority decides."""
        slotless = self._options.slotless
        while not self._is_stopping and self._ledger.registry.waiting:
            record = self._ledger.begin(None if self.slots.available_tokens else slotless)
            if record is None:
                return
            assert self._nursery is not None
            if record.kind not in slotless:
                self.slots.acquire_on_behalf_of_nowait(record.id)
            attempt = self._attempts[record.id] = self._attempt(record)
            self._nursery.start_soon(self._conduct, attempt, name=f"job {record.id}")

    async def _conduct(self, attempt: Attempt) -> None:
        """Run an attempt and make its ending true. The slot is held until that is saved.

        So there are never more jobs in Running than slots, but for those that take none.
        """
        self._signal(Signal.ATTEMPT_BEGUN, attempt.record.id)
        record: JobRecord | None = None
        try:
            ending = await attempt.run()
            record = moved(attempt.record, ending.move, self._ledger.now(), **ending.changes)
            await self._save_ending(attempt, record)
        finally:
            # Also if the engine itself is being cancelled: what was decided stands.
            self._release(attempt, record)
        if record.state is JobState.RETRY:
            self._wakes.add(record)
        self._fill_slots()
        self._end_if_idle()

    async def _save_ending(self, attempt: Attempt, record: JobRecord) -> None:
        if record.state.is_completed:
            await self._ledger.close_sink(record.id)
        try:
            await self._ledger.journal.save(record)
        except OrthancError as exc:
            # The journal tries again. Nobody is left waiting for it: the worst is that a crash before then
            # repeats a step.
            _logger.error("The end of a job cannot be saved now (%s)", exc.code.description)
        if record.state is JobState.FAILURE:
            await attempt.discard()

    def _release(self, attempt: Attempt, record: JobRecord | None) -> None:
        if record is None:
            record = moved(attempt.record, Move.INTERRUPT, self._ledger.now())
            self._ledger.journal.note(record)
        del self._attempts[record.id]
        if record.kind not in self._options.slotless:
            self.slots.release_on_behalf_of(record.id)
        self._ledger.settle(record)
        self._signal(Signal.ATTEMPT_ENDED, record.id)

    def _end_if_idle(self) -> None:
        if self._is_stopping and not self._attempts and self._nursery is not None:
            self._nursery.cancel_scope.cancel()

    def _signal(self, signal: Signal, job_id: str) -> None:
        if self._probe is not None:
            self._probe(signal, job_id)
