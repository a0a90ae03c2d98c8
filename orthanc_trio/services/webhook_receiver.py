"""One receiver of webhooks: what it is to be told, and how far it was. Pure: decides, and never waits."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from itertools import islice
from typing import Final
from uuid import UUID

from msgspec import Struct

from ..config.webhook import CHANGE_EVENTS, Webhook
from ..index.transaction import ChangesPage
from ..model.job import JobRecord
from .webhook_event import (
    ENDINGS,
    SUBMITTED,
    Delivery,
    WebhookEvent,
    change_event,
    job_event,
    job_event_id,
    job_event_time,
)
from .webhook_handover import Handed

MAX_HEARD: Final = 10_000
"""Events of jobs in memory; beyond, they are read from the journal again."""
_TELLING = timedelta(seconds=10)
"""Longer than it takes from the end of a job to its event."""


class _Heard(Struct, frozen=True):
    name: str
    record: JobRecord

    @property
    def time(self) -> datetime:
        return job_event_time(self.name, self.record)


class Receiver:
    """One receiver. `source` tells this index apart from all others."""

    def __init__(self, source: UUID, hook: str, webhook: Webhook, handed: Handed) -> None:
        self.hook = hook
        self.webhook = webhook
        self.handed = handed
        """The note as it is saved."""
        self.names = webhook.event_names
        self.change_types = tuple(type for name, type in CHANGE_EVENTS.items() if name in self.names)
        self.has_unread_changes = bool(self.change_types)
        self.has_missed = False
        """Whether there were more events of jobs than are kept in memory."""
        self.undelivered: set[str] = set()
        """Jobs that deliver changes, and perhaps some that have ended."""
        self.submitted: dict[str, Delivery] = {}
        """Deliveries that have a job and no note yet, by identifier of the event."""
        self._source = source
        self._position = handed.seq
        self._heard: dict[str, _Heard] = {}
        """Events of jobs that are not handed over, by identifier."""

    @property
    def position(self) -> int:
        """Up to here the log holds nothing more for this receiver."""
        return self._position

    def adopt(self, deliveries: Mapping[str, Delivery]) -> None:
        """Take over the saved jobs of this receiver: deliveries by the id of their job."""
        for job_id, delivery in deliveries.items():
            if delivery.name in self.names and not self.handed.covers(delivery):
                self.handed = self.handed.adopting(delivery)
            if delivery.seq:
                self.undelivered.add(job_id)

    def hear(self, name: str, record: JobRecord) -> bool:
        """Note an event of a job, and return whether the receiver is to be told of it."""
        if name not in self.names:
            return False
        if len(self._heard) >= MAX_HEARD:
            self.has_missed = True
        else:
            self._heard[job_event_id(self._source, name, record)] = _Heard(name, record)
        return True

    def recall(self, record: JobRecord) -> None:
        """Note the events of a saved job that are not handed over."""
        for name in (SUBMITTED, ENDINGS.get(record.state)):
            if name is None or name not in self.names:
                continue
            id, time = job_event_id(self._source, name, record), job_event_time(name, record)
            if not self.handed.covers_job(id, name, time):
                self.hear(name, record)

    def next_jobs(self, limit: int) -> list[Delivery]:
        """Return what is to be told of jobs; it stays noted until `hand_over`."""
        heard = islice(self._heard.values(), limit)
        return [self._delivery(job_event(self._source, each.name, each.record)) for each in heard]

    def next_changes(self, page: ChangesPage) -> list[Delivery]:
        """Return what is to be told of a page of the log that begins at `position`."""
        changes = (
            change
            for change in page.changes
            if not self.handed.covers_change(change.type.wire_name, change.seq)
        )
        return [self._delivery(change_event(self._source, change)) for change in changes]

    def pass_page(self, page: ChangesPage) -> None:
        """Note that nothing of a page is left to be handed over."""
        self._position = page.last_seq if page.is_done else page.changes[-1].seq
        self.has_unread_changes |= not page.is_done

    def note(self, deliveries: Sequence[Delivery], now: datetime) -> Handed:
        """Return the note with `deliveries`, and with what was submitted before an error; to be saved."""
        told = self.submitted.keys() | {delivery.id for delivery in deliveries}
        waiting = [heard.time for id, heard in self._heard.items() if id not in told]
        since = self.handed.jobs_since if self.has_missed else min([now - _TELLING, *waiting])
        note = self.handed.after(deliveries, since)
        for delivery in self.submitted.values():
            if not note.covers(delivery):
                note = note.adopting(delivery)
        return note

    def hand_over(self, note: Handed) -> list[Delivery]:
        """Take over the note, which is saved; return what may begin now."""
        self.handed = note
        released, self.submitted = list(self.submitted.values()), {}
        for delivery in released:
            self._heard.pop(delivery.id, None)
        return released

    @property
    def has_heard(self) -> bool:
        """Whether there are events of jobs to be handed over."""
        return bool(self._heard)

    def _delivery(self, event: WebhookEvent) -> Delivery:
        fields = {name: getattr(event, name) for name in event.__struct_fields__}
        return Delivery(**fields, hook=self.hook, host=self.webhook.host)
