"""A job as JSON, as every door and every subscriber shows it.

Only `Timestamp` differs between two answers about a job at rest, so its encoding is kept in two halves until
the record is replaced: a list of 10,000 jobs is then one join.
Source: the Orthanc Book, "Jobs"; `GET /jobs/{id}`.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec

from ..model.error_code import ErrorCode
from ..model.job import JobRecord, JobState

_encode = msgspec.json.Encoder().encode


def iso_basic(time: datetime) -> str:
    """Return `time` (UTC) as `YYYYMMDDTHHMMSS.ffffff`; without the fraction if it is zero."""
    text = time.strftime("%Y%m%dT%H%M%S")
    return f"{text}.{time.microsecond:06d}" if time.microsecond else text


def job_view(record: JobRecord, now: datetime) -> dict[str, Any]:
    """Return the JSON object of `GET /jobs/{id}` with its keys in ascending order."""
    fault = record.fault
    code = fault.code if fault else ErrorCode.SUCCESS
    view: dict[str, Any] = {
        "Content": record.content,
        "CreationTime": iso_basic(record.created),
        "EffectiveRuntime": round(record.runtime_at(now), 3),
        "ErrorCode": int(code),
        "ErrorDescription": code.description,
        "ErrorDetails": fault.details if fault else "",
        "ID": record.id,
        "Priority": record.priority,
        "Progress": round(100 * record.progress),
        "State": record.state.value,
        "Timestamp": iso_basic(now),
        "Type": record.kind,
    }
    if record.state.is_completed:
        view["CompletionTime"] = iso_basic(record.changed)
    if fault and fault.payload is not None:
        view["ErrorPayload"] = fault.payload
    if record.user_data is not None:
        view["UserData"] = record.user_data
    eta = _estimated_time_of_arrival(record, now)
    if eta is not None:
        view["EstimatedTimeOfArrival"] = iso_basic(eta)
    return dict(sorted(view.items()))


def _estimated_time_of_arrival(record: JobRecord, now: datetime) -> datetime | None:
    progress, runtime_s = record.progress, record.runtime_at(now)
    if record.state is not JobState.RUNNING or progress <= 0.01 or runtime_s <= 0.00001:
        return None
    return now + timedelta(seconds=runtime_s / progress * (1 - progress))


class JobViews:
    """Encodes jobs, and keeps the encodings of those that do not run."""

    def __init__(self) -> None:
        self._halves: dict[str, tuple[JobRecord, bytes, bytes]] = {}

    def encode(self, record: JobRecord, now: datetime) -> bytes:
        """Return the JSON of one job."""
        return self._encode(record, now, iso_basic(now).encode())

    def encode_all(self, records: Sequence[JobRecord], now: datetime) -> bytes:
        """Return the JSON array of `records`."""
        if len(self._halves) > 2 * len(records) + 100:  # jobs that left the history
            kept = {record.id for record in records}
            self._halves = {id: halves for id, halves in self._halves.items() if id in kept}
        timestamp = iso_basic(now).encode()
        return b"[" + b",".join([self._encode(record, now, timestamp) for record in records]) + b"]"

    def _encode(self, record: JobRecord, now: datetime, timestamp: bytes) -> bytes:
        if record.state is JobState.RUNNING:
            return _encode(job_view(record, now))
        known = self._halves.get(record.id)
        if known is None or known[0] is not record:
            view = job_view(record, now)
            head = _encode({name: value for name, value in view.items() if name < "Timestamp"})[:-1]
            tail = _encode({name: value for name, value in view.items() if name > "Timestamp"})[1:]
            known = self._halves[record.id] = (record, head, tail)
        return b"".join((known[1], b',"Timestamp":"', timestamp, b'",', known[2]))
