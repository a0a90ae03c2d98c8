"""What of the jobs is saved, and when.

Submission, control and end are saved at once and awaited; boundaries are saved lazily, those of all jobs
together. One record is never in two saves at the same time, so an older state cannot overtake a newer one.
"""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from sys import intern
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

import msgspec
import trio
from msgspec import UNSET, Raw, Struct, UnsetType
from msgspec.structs import replace

from ..model.errors import OrthancError
from ..model.job import JobRecord
from .options import Holds
from .submission import Submission
from .submission_log import NewJob, OutputNews

if TYPE_CHECKING:
    from outcome import Outcome

T = TypeVar("T")

LAZY_DELAY_S: Final = 0.1
RETRY_DELAY_S: Final = 1.0

_logger = logging.getLogger(__name__)


class _Saved(Struct, frozen=True):
    """A record as it lies in the store. msgspec decodes no `Raw | None`, so these two fields are apart."""

    record: JobRecord
    cursor: Raw | UnsetType = UNSET
    user_data: Raw | UnsetType = UNSET


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(_Saved)


def encode_record(record: JobRecord) -> bytes:
    """Return the record as the store keeps it."""
    bare = replace(record, cursor=None, user_data=None)
    cursor, user_data = record.cursor, record.user_data
    return _encoder.encode(
        _Saved(bare, UNSET if cursor is None else cursor, UNSET if user_data is None else user_data)
    )


def decode_record(data: bytes) -> JobRecord:
    """Return what `encode_record` was given. Raises msgspec.MsgspecError if it is not readable."""
    saved = _decoder.decode(data)
    record = saved.record
    # There may be many: what they have in common is kept once. Without the copies the whole of `data` would
    # live on in each `Raw`.
    return replace(
        record,
        kind=intern(record.kind),
        changed=record.created if record.changed == record.created else record.changed,
        args=record.args.copy(),
        cursor=None if saved.cursor is UNSET else saved.cursor.copy(),
        user_data=None if saved.user_data is UNSET else saved.user_data.copy(),
    )


def _readable(data: bytes) -> JobRecord | None:
    try:
        return decode_record(data)
    except msgspec.MsgspecError:
        _logger.warning("A saved job cannot be read and is passed over")
        return None


class JobsStore(Protocol):
    """Where records, plans and small outputs are kept. Each call returns when its effect is durable."""

    async def save(
        self, records: Mapping[str, bytes], removed: Sequence[str], output_news: OutputNews
    ) -> None:
        """Insert or replace `records` by id, drop `removed` with their plans, and enter the news of outputs.

        All or nothing.
        """
        ...

    async def insert(self, job: NewJob) -> None:
        """Save a new job. It may get to where the others are with the next `save` only."""
        ...

    async def load_output(self, file: str) -> bytes | None:
        """Return a saved output."""
        ...

    async def output_uses(self) -> dict[str, float | None]:
        """Return when each saved output was used last, in seconds since 1970; None if never."""
        ...

    def look_at_once(self, function: Callable[[Any], T]) -> "Outcome[T] | None":
        """Run a function of a view of what the store holds in the event loop; None if that takes too long."""
        ...

    async def look(self, function: Callable[[Any], T]) -> T:
        """Run a function of a view of what the store holds."""
        ...

    async def load(self, read: Callable[[bytes], T]) -> list[T]:
        """Return what `read` makes of each saved record, in no order. It may be called in another thread."""
        ...

    async def save_plan(self, job_id: str, plan: bytes | None) -> None:
        """Save or (None) drop the plan of a job."""
        ...

    async def load_plan(self, job_id: str) -> bytes | None:
        """Return the saved plan of a job."""
        ...

    async def save_holds(self, holds: bytes) -> None:
        """Save which jobs are kept from running."""
        ...

    async def load_holds(self) -> bytes | None:
        """Return what `save_holds` was given last."""
        ...


class UnsavedStore:
    """The store of `SaveJobs: false`: it shows what an earlier run saved, and writes nothing."""

    def __init__(self, earlier: JobsStore) -> None:
        self._earlier = earlier
        self._plans: dict[str, bytes | None] = {}
        self._outputs: dict[str, bytes] = {}

    async def insert(self, job: NewJob) -> None:
        """Write nothing; the outputs are kept in memory."""
        self._drop_outputs(job.news)
        self._outputs |= job.outputs

    async def load_output(self, file: str) -> bytes | None:
        """Return an output of this or an earlier run."""
        return self._outputs[file] if file in self._outputs else await self._earlier.load_output(file)

    async def output_uses(self) -> dict[str, float | None]:
        """Return what an earlier run saved."""
        return await self._earlier.output_uses()

    def _drop_outputs(self, news: OutputNews) -> None:
        for file, used_s in news.items():
            if used_s is None:
                self._outputs.pop(file, None)

    def look_at_once(self, function: Callable[[Any], T]) -> "Outcome[T] | None":
        """Run a function of a view of what the store holds in the event loop."""
        return self._earlier.look_at_once(function)

    async def look(self, function: Callable[[Any], T]) -> T:
        """Run a function of a view of what the store holds."""
        return await self._earlier.look(function)

    async def save_holds(self, holds: bytes) -> None:
        """Write nothing."""

    async def load_holds(self) -> bytes | None:
        """Return what an earlier run saved."""
        return await self._earlier.load_holds()

    async def save(
        self,
        records: Mapping[str, bytes],  # noqa: ARG002
        removed: Sequence[str],
        output_news: OutputNews,
    ) -> None:
        """Write nothing."""
        for job_id in removed:
            self._plans.pop(job_id, None)
        self._drop_outputs(output_news)

    async def load(self, read: Callable[[bytes], T]) -> list[T]:
        """Return what an earlier run saved."""
        return await self._earlier.load(read)

    async def save_plan(self, job_id: str, plan: bytes | None) -> None:
        """Keep the plan in memory, where a paused job finds it again."""
        self._plans[job_id] = plan

    async def load_plan(self, job_id: str) -> bytes | None:
        """Return the plan that this or an earlier run made."""
        return self._plans[job_id] if job_id in self._plans else await self._earlier.load_plan(job_id)


class Journal:
    """Knows which records are unsaved, and saves them. `run` must run."""

    def __init__(self, store: JobsStore) -> None:
        self._store = store
        self._unsaved: dict[str, JobRecord | None] = {}
        """The newest state of each; None for one that is to be removed."""
        self._in_flight: dict[str, trio.Event] = {}
        self._has_work = trio.Event()
        self._fleeting_plans: dict[str, bytes] = {}
        """Those of jobs that are never saved."""
        self._fleeting_outputs: dict[str, bytes] = {}
        """Those too."""
        self._output_news: dict[str, float | None] = {}
        """It goes with the next save, whatever that is."""
        self._has_inserted = False
        """Whether the store waits for a save to put new jobs where the others are."""
        self._last_restored = 0
        """The highest sequence of a restored job. One without a cursor may have a plan all the same, if the
        crash came between that and its first cursor.
        """

    def note(self, record: JobRecord) -> None:
        """Save `record` soon."""
        if record.is_durable:
            self._unsaved[record.id] = record
            self._has_work.set()

    async def save(self, record: JobRecord) -> None:
        """Return when `record`, or a newer state of it, is durable. Raises what the store raises.

        After an error or a cancel it is still noted.
        """
        if record.is_durable:
            self._unsaved[record.id] = record
            await self._write_through(record.id)

    def look_up_at_once(self, submission: Submission) -> bool:
        """Let a new job look up what it needs in the event loop; False if that takes long.

        Raises what its look and the store raise.
        """
        looked = self._store.look_at_once(submission.look_up_near)
        return looked is not None and looked.unwrap()

    async def look_up(self, submission: Submission) -> None:
        """Do so in a thread."""
        await self._store.look(submission.look_up)

    async def insert(self, record: JobRecord, outputs: Mapping[str, bytes]) -> None:
        """Return when a new job is durable, with outputs that it may have. Raises what the store raises.

        After an error or a cancel it is noted that there is no such job.
        """
        if not record.is_durable:
            self._fleeting_outputs |= outputs
            return
        news, self._output_news = self._output_news, {}
        is_saved = False
        try:
            await self._store.insert(NewJob(record.id, encode_record(record), outputs, news))
            self._has_inserted = True
            self._has_work.set()
            is_saved = True
        finally:
            if not is_saved:  # it may be saved all the same
                self._output_news = {**news, **self._output_news}
                self.forget(record)
                self.drop_outputs(outputs)

    async def load_output(self, file: str) -> bytes | None:
        """Return a saved output. Raises what the store raises."""
        if file in self._fleeting_outputs:
            return self._fleeting_outputs[file]
        return await self._store.load_output(file)

    async def output_uses(self) -> dict[str, float | None]:
        """Return when each output that an earlier process saved was used last; None if never."""
        return await self._store.output_uses()

    def drop_outputs(self, files: Iterable[str]) -> None:
        """Remove saved outputs soon, with the next save."""
        for file in files:
            if self._fleeting_outputs.pop(file, None) is None:
                self._output_news[file] = None
                self._has_work.set()

    def note_output_use(self, file: str, used_s: float) -> None:
        """Keep soon, with the next save, when a saved output was used last; in seconds since 1970."""
        if file not in self._fleeting_outputs:
            self._output_news[file] = used_s
            self._has_work.set()

    def forget(self, record: JobRecord) -> None:
        """Remove a job and its plan soon."""
        self._fleeting_plans.pop(record.id, None)
        if record.is_durable:
            self._unsaved[record.id] = None
            self._has_work.set()

    async def erase(self, record: JobRecord) -> None:
        """Return when a job and its plan are removed. Raises what the store raises."""
        self.forget(record)
        await self._write_through(record.id)

    async def save_plan(self, record: JobRecord, plan: bytes) -> None:
        """Return when the plan is durable."""
        if record.is_durable:
            await self._store.save_plan(record.id, plan)
        else:
            self._fleeting_plans[record.id] = plan

    async def load_plan(self, record: JobRecord) -> bytes | None:
        """Return the plan of a job; None if it was not made yet."""
        if not record.is_durable:
            return self._fleeting_plans.get(record.id)
        if record.cursor is None and record.sequence > self._last_restored:
            return None
        return await self._store.load_plan(record.id)

    async def drop_plan(self, record: JobRecord) -> None:
        """Return when the job has no plan any more."""
        if record.is_durable:
            await self._store.save_plan(record.id, None)
        else:
            self._fleeting_plans.pop(record.id, None)

    async def load(self) -> list[JobRecord]:
        """Return what an earlier process saved. An unreadable record is passed over with a warning."""
        records = [record for record in await self._store.load(_readable) if record is not None]
        self._last_restored = max((record.sequence for record in records), default=0)
        return records

    async def save_holds(self, holds: Holds) -> None:
        """Return when `holds` are durable. Raises what the store raises."""
        await self._store.save_holds(_encoder.encode(holds))

    async def load_holds(self) -> Holds:
        """Return what is held since an earlier process."""
        saved = await self._store.load_holds()
        return Holds() if saved is None else msgspec.json.decode(saved, type=Holds)

    async def run(self) -> None:
        """Save what was noted, forever. An error of the store is logged, and the save tried again."""
        while True:
            await self._has_work.wait()
            await trio.sleep(LAZY_DELAY_S)
            self._has_work = trio.Event()
            try:
                await self._write(set(self._unsaved) - set(self._in_flight))
            except OrthancError as exc:
                _logger.warning("Jobs cannot be saved now (%s); trying again", exc.code.description)
                await trio.sleep(RETRY_DELAY_S)
            if self._unsaved or self._output_news or self._has_inserted:
                self._has_work.set()

    async def flush(self) -> None:
        """Save all that is unsaved: the last save of this process. Raises what the store raises."""
        for flight in set(self._in_flight.values()):
            await flight.wait()
        await self._write(self._unsaved)

    async def _write_through(self, job_id: str) -> None:
        while (flight := self._in_flight.get(job_id)) is not None:
            self._has_work.set()  # in case this caller leaves
            await flight.wait()
        await self._write([job_id])

    async def _write(self, ids: Iterable[str]) -> None:
        batch = {job_id: self._unsaved.pop(job_id) for job_id in tuple(ids) if job_id in self._unsaved}
        news, self._output_news = self._output_news, {}
        if not batch and not news and not self._has_inserted:
            return
        had_inserted, self._has_inserted = self._has_inserted, False
        flight = trio.Event()
        self._in_flight.update(dict.fromkeys(batch, flight))
        is_saved = False
        try:
            records = {
                job_id: encode_record(record) for job_id, record in batch.items() if record is not None
            }
            removed = [job_id for job_id in batch if job_id not in records]
            await self._store.save(records, removed, news)
            is_saved = True
        finally:
            for job_id in batch:
                del self._in_flight[job_id]
            flight.set()
            if not is_saved:
                self._unsaved = batch | self._unsaved
                self._output_news = {**news, **self._output_news}
                self._has_inserted |= had_inserted
                self._has_work.set()
