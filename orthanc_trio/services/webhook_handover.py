"""What was handed over to jobs, per receiver: the durable half, and what waits for it to be durable.

Rules:
1. An event is handed over when its job and the note of it here are both durable, in this order.
2. A job does not send before the note is durable. So after a crash an event without a note was never sent: if
   its job was saved, the note is made before the engine starts; if not, it is submitted again.
3. An event with a note is never submitted again.
"""

import hashlib
from collections.abc import Iterable
from datetime import datetime
from typing import Final

import msgspec
import trio
from msgspec import Struct
from msgspec.structs import replace

from ..config.webhook import CHANGE_EVENTS, JOB_EVENTS, Webhook
from ..model.errors import DatabaseUnavailable
from .webhook_event import Delivery, WebhookEvent

NOTE_TIMEOUT_S: Final = 10.0


class Handed(Struct, frozen=True, kw_only=True):
    """The note of one receiver, as it is saved.

    Changes have numbers, so one number says all. Events of jobs have not: those before `jobs_since` are
    handed over, of the others those in `jobs` (identifier of the event -> its time).
    """

    seq: int
    jobs_since: datetime
    jobs: dict[str, datetime] = {}
    ahead: tuple[int, ...] = ()
    """Changes after `seq` that are handed over all the same: an earlier process could not note them."""
    changes_from: dict[str, int] = {}
    """By name of the event the last change before the receiver was to be told of it: it gets no history."""
    jobs_from: dict[str, datetime] = {}
    """By name of the event the time from which on the receiver is to be told of it."""

    def covers_change(self, name: str, seq: int) -> bool:
        """Whether a change is handed over, or is not to be."""
        return seq <= max(self.seq, self.changes_from[name]) or seq in self.ahead

    def covers_job(self, id: str, name: str, time: datetime) -> bool:
        """Whether an event of a job is handed over, or is not to be."""
        return time < max(self.jobs_since, self.jobs_from[name]) or id in self.jobs

    def covers(self, event: WebhookEvent) -> bool:
        """Whether an event of a name that is told is handed over, or is not to be."""
        if event.seq:
            return self.covers_change(event.name, event.seq)
        return self.covers_job(event.id, event.name, event.time)

    def telling(self, names: Iterable[str], last_seq: int, now: datetime) -> "Handed":
        """Return the note of a receiver that is told of `names` from now on, or for longer already."""
        jobs, changes = _split(names)
        return replace(
            self,
            changes_from={name: self.changes_from.get(name, last_seq) for name in changes},
            jobs_from={name: self.jobs_from.get(name, now) for name in jobs},
        )

    def after(self, events: Iterable[WebhookEvent], jobs_since: datetime) -> "Handed":
        """Return the note when `events` are handed over too, and all of jobs before `jobs_since`."""
        events = tuple(events)
        seq = max((self.seq, *(event.seq for event in events)))
        since = max(jobs_since, self.jobs_since)  # the clock may be set back
        jobs = self.jobs | {event.id: event.time for event in events if not event.seq}
        return replace(
            self,
            seq=seq,
            ahead=tuple(number for number in self.ahead if number > seq),
            jobs_since=since,
            jobs={id: time for id, time in jobs.items() if time >= since},
        )

    def adopting(self, event: WebhookEvent) -> "Handed":
        """Return the note when one event is handed over too, whatever lies before it."""
        if event.seq:
            return replace(self, ahead=(*self.ahead, event.seq))
        return replace(self, jobs=self.jobs | {event.id: event.time})

    def encode(self) -> str:
        """Return the text that `decode` takes."""
        return msgspec.json.encode(self).decode()

    @staticmethod
    def decode(text: str) -> "Handed":
        """Return what `encode` was called on. Raises msgspec.MsgspecError."""
        return msgspec.json.decode(text, type=Handed)


class Hooks:
    """The receivers of the configuration by their identifiers, and the deliveries that must not begin yet."""

    def __init__(self, webhooks: Iterable[Webhook]) -> None:
        self._webhooks = {_identifier(webhook.url): webhook for webhook in webhooks}
        self._held: dict[str, trio.Event] = {}

    def all(self) -> dict[str, Webhook]:
        """Return the receivers by identifier."""
        return dict(self._webhooks)

    def find(self, hook: str) -> Webhook | None:
        """Return a receiver; None if it is not in the configuration any more."""
        return self._webhooks.get(hook)

    def hold(self, delivery: Delivery) -> None:
        """Keep a delivery from beginning until `release`. Safe to repeat."""
        self._held.setdefault(delivery.key, trio.Event())

    def release(self, deliveries: Iterable[Delivery]) -> None:
        """Let deliveries begin."""
        for delivery in deliveries:
            held = self._held.pop(delivery.key, None)
            if held is not None:
                held.set()

    async def wait_released(self, delivery: Delivery) -> None:
        """Return when a delivery may begin. Raises DatabaseUnavailable if that takes too long."""
        held = self._held.get(delivery.key)
        if held is None:
            return
        with trio.move_on_after(NOTE_TIMEOUT_S):
            await held.wait()
            return
        raise DatabaseUnavailable("The index does not take the note of this delivery")


def _split(names: Iterable[str]) -> tuple[list[str], list[str]]:
    names = sorted(names)
    return [name for name in names if name in JOB_EVENTS], [name for name in names if name in CHANGE_EVENTS]


def _identifier(url: str) -> str:
    return hashlib.sha256(url.encode()).hexdigest()[:16]
