"""The feed: what happens, pushed to whoever watches. A message is encoded once for all subscribers.

On connect a snapshot, then deltas. The state of a job replaces older unread news of the same job. Changes are
history, so they are queued, but never more than a bound: then a subscriber is told from where to ask
`/changes` itself.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import msgspec

from ..bus import Mailbox
from ..jobs.engine import JobsEngine
from ..model.event import Change, ChangeEvent, Event, JobEvent, JobForgotten
from .job_view import JobViews

_UNREAD_CHANGES = 1000


def change_json(change: Change) -> dict[str, Any]:
    """Return one entry of `/changes`. Source: the Orthanc Book, `GET /changes`."""
    return {
        "ChangeType": change.type.wire_name,
        "Date": change.date.strftime("%Y%m%dT%H%M%S"),
        "ID": change.id,
        "Path": f"/{change.level.collection}/{change.id}",
        "ResourceType": change.level.type_name,
        "Seq": change.seq,
    }


class Subscription:
    """One watcher: of one job, or of everything."""

    def __init__(self, job_id: str | None) -> None:
        self.job_id = job_id
        self.mailbox = Mailbox()
        self._unread_changes = 0

    def tell_job(self, job_id: str, message: str) -> None:
        """Queue news of a job, if it is watched here."""
        if self.job_id in (None, job_id):
            self.mailbox.put(job_id, message)

    def tell_change(self, change: Change, message: str) -> None:
        """Queue a change, or say that some were left out."""
        if self.job_id is not None:
            return
        self._unread_changes += 1
        if self._unread_changes <= _UNREAD_CHANGES:
            self.mailbox.put(change.seq, message)
        elif self._unread_changes == _UNREAD_CHANGES + 1:
            self.mailbox.put("lost", _text({"Type": "ChangesLost", "Since": change.seq - 1}))

    async def take(self) -> list[str] | None:
        """Wait for messages; None when the server stops or the watched job is gone."""
        messages = await self.mailbox.take()
        self._unread_changes = 0
        return messages


class Feed:
    """Turns events into messages for the subscriptions. Subscribe `notice` to the bus."""

    def __init__(self, jobs: JobsEngine, views: JobViews, now: Callable[[], datetime]) -> None:
        self._jobs = jobs
        self._views = views
        self._now = now
        self._subscriptions: list[Subscription] = []
        self.is_closed = False

    def notice(self, event: Event) -> None:
        """Tell the subscribers what concerns them."""
        if not self._subscriptions:
            return
        match event:
            case JobEvent(record):
                message = '{"Type":"Job","Job":' + self._views.encode(record, self._now()).decode() + "}"
                for subscription in self._subscriptions:
                    subscription.tell_job(record.id, message)
            case JobForgotten(id=id):
                self._tell_forgotten(id)
            case ChangeEvent(change):
                message = _text({"Type": "Change", "Change": change_json(change)})
                for subscription in self._subscriptions:
                    subscription.tell_change(change, message)
            case _:
                pass

    def _tell_forgotten(self, job_id: str) -> None:
        message = _text({"Type": "JobForgotten", "ID": job_id})
        for subscription in self._subscriptions:
            subscription.tell_job(job_id, message)
            if subscription.job_id == job_id:
                subscription.mailbox.close()

    @contextmanager
    def watch(self, job_id: str | None = None) -> Iterator[Subscription]:
        """Subscribe to one job or to everything; the first message is the snapshot."""
        subscription = Subscription(job_id)
        subscription.mailbox.put("snapshot", self._snapshot(job_id))
        if self.is_closed:
            subscription.mailbox.close()
        self._subscriptions.append(subscription)
        try:
            yield subscription
        finally:
            self._subscriptions.remove(subscription)

    def _snapshot(self, job_id: str | None) -> str:
        records = [record for record in self._jobs.records() if job_id in (None, record.id)]
        return '{"Type":"Snapshot","Jobs":' + self._views.encode_all(records, self._now()).decode() + "}"

    def close(self) -> None:
        """End all subscriptions, because the server stops."""
        self.is_closed = True
        for subscription in self._subscriptions:
            subscription.mailbox.close()


def _text(value: dict[str, Any]) -> str:
    return msgspec.json.encode(value).decode()
