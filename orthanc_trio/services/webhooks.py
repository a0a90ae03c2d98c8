"""Hand over events to jobs of the kind `Webhook`: each once, over restarts, and without a queue in memory.

Changes are read from the log of changes, events of jobs from the journal: both are durable. What this process
hears of changes only says when to look; what it hears of jobs is a bounded shortcut.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Final
from uuid import UUID, uuid4

import msgspec
import trio

from ..index.index import Index
from ..index.transaction import ChangesPage, Transaction
from ..jobs.engine import JobsEngine
from ..jobs.journal import JobsStore, decode_record
from ..model.errors import DatabaseUnavailable, OrthancError
from ..model.event import ChangeEvent, ChangeType, Event, JobEvent, JobForgotten
from ..model.job import JobRecord, SubmitOptions
from .webhook_event import ENDINGS, SUBMITTED, Delivery
from .webhook_handover import Handed, Hooks
from .webhook_receiver import Receiver

KIND: Final = "Webhook"
BATCH: Final = 100
MAX_UNDELIVERED: Final = 1000
"""Deliveries of changes that one receiver may be behind; then its changes wait in the log."""
RETRY_S: Final = 5.0
_SOURCE: Final = "WebhooksSource"

_logger = logging.getLogger(__name__)


class Webhooks:
    """Tells the receivers.

    `load` first, then `notice` is subscribed to the bus for the events that it `hears`, then `run` must run.
    """

    def __init__(
        self,
        hooks: Hooks,
        jobs: JobsEngine,
        index: Index,
        store: JobsStore,
        *,
        now: Callable[[], datetime],
    ) -> None:
        self._hooks = hooks
        self._jobs = jobs
        self._index = index
        self._store = store
        self._now = now
        self._receivers: list[Receiver] = []
        self._change_types: set[ChangeType] = set()
        self._unended: set[str] = set()
        """Jobs of the users that may still end."""
        self._news = trio.Event()

    async def load(self, *, loads_jobs: bool = True) -> None:
        """Find out what was not handed over. Call it before the engine changes what is saved.

        `loads_jobs` False: the jobs of an earlier run are forgotten. Raises what the index raises.
        """
        if not self._hooks.all():
            return
        records = await self._saved_jobs() if loads_jobs else []
        deliveries = {r.id: msgspec.json.decode(r.args, type=Delivery) for r in records if r.kind == KIND}
        self._receivers = await self._index.write(lambda tx: self._load_notes(tx, deliveries))
        self._change_types = {type for receiver in self._receivers for type in receiver.change_types}
        for record in records:
            if record.kind != KIND:
                self._take_over(record)
        self._news.set()

    @property
    def hears(self) -> tuple[type[Event], ...]:
        """The types of events to be told of: none without receivers."""
        return (ChangeEvent, JobEvent, JobForgotten) if self._receivers else ()

    def notice(self, event: Event) -> None:
        """Look at an event. Never waits."""
        match event:
            case ChangeEvent(change):
                if change.type in self._change_types:
                    for receiver in self._receivers:
                        receiver.has_unread_changes |= change.type in receiver.change_types
                    self._news.set()
            case JobEvent(record):
                self._notice_job(record)
            case JobForgotten(id=id):
                self._unended.discard(id)
            case _:
                pass

    async def run(self) -> None:
        """Hand over events, forever. An error of the index is logged, and the same tried again."""
        while True:
            await self._news.wait()
            self._news = trio.Event()
            for receiver in self._receivers:
                try:
                    has_more = await self._hand_over(receiver)
                except OrthancError as exc:
                    if not isinstance(exc, DatabaseUnavailable):  # the server stops
                        _logger.warning("Webhooks cannot be handed over now (%s)", exc.code.description)
                    receiver.has_unread_changes = has_more = True
                    await trio.sleep(RETRY_S)
                if has_more:
                    self._news.set()

    def _load_notes(self, tx: Transaction, deliveries: Mapping[str, Delivery]) -> list[Receiver]:
        source = UUID(tx.get_property(_SOURCE) or str(uuid4()))
        tx.set_property(_SOURCE, str(source))
        now, last_seq = self._now(), tx.changes(limit=1, from_end=True).last_seq
        receivers = []
        for hook, webhook in self._hooks.all().items():
            saved = tx.get_property(_note_name(hook))
            note = Handed(seq=last_seq, jobs_since=now) if saved is None else Handed.decode(saved)
            note = note.telling(webhook.event_names, last_seq, now)
            receiver = Receiver(source, hook, webhook, note)
            receiver.adopt({id: delivery for id, delivery in deliveries.items() if delivery.hook == hook})
            tx.set_property(_note_name(hook), receiver.handed.encode())
            receivers.append(receiver)
        return receivers

    async def _saved_jobs(self) -> list[JobRecord]:
        records = []
        for data in await self._store.load(bytes):
            # The journal warns of those that cannot be read.
            with suppress(msgspec.MsgspecError):
                records.append(decode_record(data))
        return records

    def _take_over(self, record: JobRecord) -> None:
        """Look at a saved job before the engine does."""
        if not record.state.is_completed:
            self._unended.add(record.id)
        for receiver in self._receivers:
            receiver.recall(record)

    def _notice_job(self, record: JobRecord) -> None:
        if record.kind == KIND:
            # Perhaps there is place for another one.
            if record.state.is_completed:
                self._news.set()
        elif record.state.is_completed:
            # An ended job is told of again when its outputs go.
            if record.id in self._unended:
                self._unended.discard(record.id)
                self._hear(ENDINGS[record.state], record)
        elif record.id not in self._unended:
            self._unended.add(record.id)
            if record.changed == record.created:
                self._hear(SUBMITTED, record)

    def _hear(self, name: str, record: JobRecord) -> None:
        for receiver in self._receivers:
            if receiver.hear(name, record):
                self._news.set()

    async def _hand_over(self, receiver: Receiver) -> bool:
        """Hand over a batch; return whether there is more at once."""
        if receiver.has_missed and not receiver.has_heard:
            receiver.has_missed = False
            for record in await self._saved_jobs():
                if record.kind != KIND:
                    receiver.recall(record)
        page = await self._next_page(receiver)
        deliveries = receiver.next_jobs(BATCH)
        if page is not None:
            deliveries += receiver.next_changes(page)
        if deliveries:
            await self._submit_all(receiver, deliveries)
            note = receiver.note(deliveries, self._now())
            await self._index.write(lambda tx: tx.set_property(_note_name(receiver.hook), note.encode()))
            self._hooks.release(receiver.hand_over(note))
        if page is not None:
            receiver.pass_page(page)
        return receiver.has_heard or receiver.has_missed or (page is not None and not page.is_done)

    async def _next_page(self, receiver: Receiver) -> ChangesPage | None:
        """Return the next changes; None if there are none, or too many are not delivered."""
        if not (receiver.has_unread_changes and receiver.change_types):
            return None
        limit = min(BATCH, MAX_UNDELIVERED - self._count_undelivered(receiver))
        if limit <= 0:
            return None
        receiver.has_unread_changes = False
        return await self._index.read(
            lambda tx: tx.changes(since=receiver.position, types=receiver.change_types, limit=limit)
        )

    def _count_undelivered(self, receiver: Receiver) -> int:
        if len(receiver.undelivered) > MAX_UNDELIVERED - BATCH:
            records = (self._jobs.get(job_id) for job_id in receiver.undelivered)
            receiver.undelivered = {
                record.id for record in records if record is not None and not record.state.is_completed
            }
        return len(receiver.undelivered)

    async def _submit_all(self, receiver: Receiver, deliveries: Sequence[Delivery]) -> None:
        """Make the jobs, at the same time so that they share commits. Safe to repeat."""
        retry = receiver.webhook.retry.policy
        errors: list[OrthancError] = []

        async def submit(delivery: Delivery) -> None:
            options = SubmitOptions(retry=retry, auto_delete=True, unique_key=delivery.key, timeout_s=0)
            try:
                record = await self._jobs.submit(KIND, delivery, options)
            except OrthancError as exc:
                errors.append(exc)
                return
            receiver.submitted[delivery.id] = delivery
            if delivery.seq:
                receiver.undelivered.add(record.id)

        async with trio.open_nursery() as nursery:
            for delivery in deliveries:
                self._hooks.hold(delivery)
                nursery.start_soon(submit, delivery)
        if errors:
            raise errors[0]


def _note_name(hook: str) -> str:
    return f"Webhook.{hook}"
