"""The feed: what happens, pushed to whoever watches. A message is encoded once for all subscribers.

A snapshot first, then deltas. The state of a job replaces older unread news of the same job; what happens to
many jobs at once is handed to each subscriber in one go. Changes are
history, so they are queued, but never more than a bound: then a subscriber is told from where to ask
`/changes` itself.
"""

from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Final

import msgspec
import trio
from msgspec import Struct, field

from ..bus import Mailbox
from ..jobs.engine import JobsEngine
from ..model.event import Change, ChangeEvent, Event, JobEvent, JobForgotten
from .job_filter import EVERYTHING, matching
from .job_view import JobViews

if TYPE_CHECKING:
    from ..model.job import JobRecord

_UNREAD_CHANGES = 1000
_PAUSE_S = 20e-6
"""From one handing over to the next, for each that watches everything: about what it takes to send to it.

With many of them, what comes meanwhile goes with the next, and the event loop has time for others.
"""


class FeedMessage(Struct, frozen=True, gc=False):
    """One message, as JSON. `seq` is that of a change, 0 for all else."""

    text: bytes
    seq: int = 0
    is_gap: bool = False
    """Whether changes were left out here."""


class ChangeEntry(Struct, frozen=True, rename="pascal", kw_only=True):
    """An entry of the log of changes. Source: the Orthanc Book, `GET /changes`."""

    change_type: str
    date: str
    id: str = field(name="ID")
    path: str
    resource_type: str
    seq: int


def change_entry(change: Change) -> ChangeEntry:
    """Return the entry of a change."""
    return ChangeEntry(
        change_type=change.type.wire_name,
        date=change.date.strftime("%Y%m%dT%H%M%S"),
        id=change.id,
        path=f"/{change.level.collection}/{change.id}",
        resource_type=change.level.type_name,
        seq=change.seq,
    )


def change_message(change: Change) -> FeedMessage:
    """Return the message about a change."""
    return FeedMessage(_encode({"Type": "Change", "Change": change_entry(change)}), change.seq)


class Subscription:
    """One watcher: of one job, or of everything."""

    def __init__(self, job_id: str | None) -> None:
        self.job_id = job_id
        self.mailbox = Mailbox[FeedMessage]()
        self._unread_changes = 0

    def tell_change(self, message: FeedMessage) -> None:
        """Queue a change, or say that some were left out."""
        self._unread_changes += 1
        if self._unread_changes <= _UNREAD_CHANGES:
            self.mailbox.put(message.seq, message)
        elif self._unread_changes == _UNREAD_CHANGES + 1:
            lost = _encode({"Type": "ChangesLost", "Since": message.seq - 1})
            self.mailbox.put("lost", FeedMessage(lost, is_gap=True))

    async def take(self) -> list[FeedMessage] | None:
        """Wait for messages; None when the server stops or the watched job is gone."""
        messages = await self.mailbox.take()
        self._unread_changes = 0
        return messages


class Feed:
    """Turns events into messages for the subscriptions.

    Subscribe `notice` to the bus, for the events that it `hears`; `run` must run.
    """

    hears: Final = (ChangeEvent, JobEvent, JobForgotten)

    def __init__(self, jobs: JobsEngine, views: JobViews, now: Callable[[], datetime]) -> None:
        self._jobs = jobs
        self._views = views
        self._now = now
        self._subscriptions: dict[str | None, dict[Subscription, None]] = {}
        """By watched job; those of everything under None."""
        self._fresh: dict[str, tuple[JobRecord, datetime]] = {}
        """The newest state of each job that is not handed over yet, and when it was told."""
        self._has_fresh = trio.Event()
        self.is_closed = False

    def notice(self, event: Event) -> None:
        """Tell the subscribers what concerns them."""
        if not self._subscriptions:
            return
        match event:
            case JobEvent(record) if None in self._subscriptions or record.id in self._subscriptions:
                self._fresh[record.id] = record, self._now()
                self._has_fresh.set()
            case JobForgotten(id=id):
                self._hand_over()
                self._tell_forgotten(id)
            case ChangeEvent(change) if watchers := self._watchers():
                self._hand_over()
                message = change_message(change)
                for watcher in watchers:
                    watcher.tell_change(message)
            case _:
                pass

    async def run(self) -> None:
        """Hand over the news of jobs, forever: at once, but to many subscribers with pauses in between."""
        while True:
            await self._has_fresh.wait()
            self._has_fresh = trio.Event()
            self._hand_over()
            await trio.sleep(_PAUSE_S * len(self._subscriptions.get(None, ())))

    def _hand_over(self) -> None:
        """Give the subscribers what is fresh. Before anything else is put into their mailboxes, too."""
        fresh, self._fresh = self._fresh, {}
        messages: dict[Hashable, FeedMessage] = {
            job_id: FeedMessage(b'{"Type":"Job","Job":' + self._views.encode(record, told) + b"}")
            for job_id, (record, told) in fresh.items()
        }
        for watcher in self._watchers() if messages else ():
            watcher.mailbox.put_all(messages)
        for job_id in self._subscriptions.keys() & messages.keys():
            for watcher in self._subscriptions[job_id]:
                watcher.mailbox.put(job_id, messages[job_id])

    def _watchers(self, *job_ids: str) -> list[Subscription]:
        return [one for key in (None, *job_ids) for one in self._subscriptions.get(key, ())]

    def _tell_forgotten(self, job_id: str) -> None:
        message = FeedMessage(_encode({"Type": "JobForgotten", "ID": job_id}))
        for watcher in self._watchers(job_id):
            watcher.mailbox.put(job_id, message)
            if watcher.job_id == job_id:
                watcher.mailbox.close()

    @contextmanager
    def watch(self, job_id: str | None = None) -> Iterator[Subscription]:
        """Subscribe to one job or to everything, from now on."""
        self._hand_over()
        subscription = Subscription(job_id)
        if self.is_closed:
            subscription.mailbox.close()
        alike = self._subscriptions.setdefault(job_id, {})
        alike[subscription] = None
        try:
            yield subscription
        finally:
            del alike[subscription]
            if not alike:
                del self._subscriptions[job_id]

    async def snapshot(self, job_id: str | None = None) -> FeedMessage:
        """Return what is to be sent first. Subscribe before, since jobs may move while it is made.

        What is told of them meanwhile is at least as new as the snapshot.
        """
        if job_id is None:
            records = await matching(self._jobs, EVERYTHING)
        else:
            record = self._jobs.get(job_id)
            records = [] if record is None else [record]
        jobs = await self._views.encode_many(records, self._now())
        self._hand_over()
        return FeedMessage(b'{"Type":"Snapshot","Jobs":' + jobs + b"}")

    def close(self) -> None:
        """End all subscriptions, because the server stops."""
        self._hand_over()
        self.is_closed = True
        for alike in self._subscriptions.values():
            for subscription in alike:
                subscription.mailbox.close()


_encode = msgspec.json.Encoder().encode
