"""What webhooks tell: events as values, each with an identifier that is the same whenever it is computed."""

from datetime import datetime
from typing import Any, Final
from uuid import UUID, uuid5

import msgspec
from msgspec import Raw, Struct

from ..model.event import Change
from ..model.job import JobRecord, JobState
from .feed import ChangeEntry, change_entry
from .job_view import iso_basic, job_view

SUBMITTED: Final = "JobSubmitted"
ENDINGS: Final = {JobState.SUCCESS: "JobSuccess", JobState.FAILURE: "JobFailure"}

_MAX_BODY = 64 << 10

_encode = msgspec.json.Encoder().encode


class WebhookEvent(Struct, frozen=True, kw_only=True):
    """One thing that happened. `seq` is that of a change, 0 for an event of a job."""

    id: str
    name: str
    time: datetime
    subject: str
    """The identifier of the resource or of the job."""
    body: Raw
    """The JSON that receivers get."""
    seq: int = 0


class Delivery(WebhookEvent, frozen=True, kw_only=True):
    """One event for one receiver: what a job of the kind `Webhook` has to do.

    It holds neither URL nor secret, so that neither is saved, and only URLs of the configuration are called.
    """

    hook: str
    host: str

    @property
    def key(self) -> str:
        """What no two deliveries have in common."""
        return f"webhook/{self.hook}/{self.id}"


def change_event(source: UUID, change: Change) -> WebhookEvent:
    """Return the event of a change. `source` tells this index apart from all others."""
    name, id = change.type.wire_name, str(uuid5(source, f"change/{change.seq}"))
    return WebhookEvent(
        id=id,
        name=name,
        time=change.date,
        subject=change.id,
        body=_body(id, name, change.date, Change=change_entry(change)),
        seq=change.seq,
    )


def job_event(source: UUID, name: str, record: JobRecord) -> WebhookEvent:
    """Return the event `name` of a job, which is in the state that the event tells of, or was."""
    time = job_event_time(name, record)
    id = job_event_id(source, name, record)
    view = job_view(record, time)
    body = _body(id, name, time, Job=view)
    if len(bytes(body)) > _MAX_BODY:
        body = _body(id, name, time, Job=view | {"Content": {}})
    return WebhookEvent(id=id, name=name, time=time, subject=record.id, body=body)


def job_event_time(name: str, record: JobRecord) -> datetime:
    """Return when the event of a job happened."""
    return record.created if name == SUBMITTED else record.changed


def job_event_id(source: UUID, name: str, record: JobRecord) -> str:
    """Return the identifier of the event of a job; a job that is resubmitted can end again."""
    return str(uuid5(source, f"job/{record.id}/{name}/{job_event_time(name, record).isoformat()}"))


def _body(id: str, name: str, time: datetime, **subject: ChangeEntry | dict[str, Any]) -> Raw:
    return Raw(_encode({"EventId": id, "Type": name, "Timestamp": iso_basic(time), **subject}))
