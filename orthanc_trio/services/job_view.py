"""A job as JSON, as every door and every subscriber shows it.

Only `Timestamp` differs between two answers about a job at rest, so its encoding is kept in two halves until
the record is replaced: a list of 10,000 jobs is then one join.
Source: the Orthanc Book, "Jobs"; `GET /jobs/{id}`.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

import msgspec

from ..model.error_code import ErrorCode
from ..model.job import JobRecord, JobState
from .pace import Pace

_SLICE = 64
_MAX_KEPT = 20_000

_encode = msgspec.json.Encoder().encode


def iso_basic(time: datetime) -> str:
    """Return `time` (UTC) as `YYYYMMDDTHHMMSS.ffffff`; without the fraction if it is zero."""
    # A tenth of the time of strftime, which was an eighth of that of a whole request.
    text = time.isoformat().replace("-", "", 2).replace(":", "", 2)
    return text[: 22 if time.microsecond else 15]


def job_view(record: JobRecord, now: datetime, *, retry_as: JobState = JobState.RETRY) -> dict[str, Any]:
    """Return the JSON object of `GET /jobs/{id}` with its keys in ascending order.

    `retry_as` is shown in place of Retry, which clients written for Orthanc take for an end.
    """
    fault = record.fault
    code = fault.code if fault else ErrorCode.SUCCESS
    view: dict[str, Any] = {
        "Content": content_view(record),
        "CreationTime": iso_basic(record.created),
        "EffectiveRuntime": round(record.runtime_at(now), 3),
        "ErrorCode": int(code),
        "ErrorDescription": code.description,
        "ErrorDetails": fault.details if fault else "",
        "ID": record.id,
        "Priority": record.priority,
        "Progress": round(100 * record.progress),
        "State": (retry_as if record.state is JobState.RETRY else record.state).value,
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


def content_view(record: JobRecord) -> dict[str, Any]:
    """Return the `Content` of a job, which with a policy of retries tells of them."""
    if record.retry is None:
        return record.content
    retry = {
        "Attempt": record.attempt,
        "MaxAttempts": record.retry.max_attempts,
        "LastError": record.last_error,
        "NextAttempt": None if record.retry_at is None else iso_basic(record.retry_at),
    }
    return record.content | {"Retry": retry}


def _estimated_time_of_arrival(record: JobRecord, now: datetime) -> datetime | None:
    progress, runtime_s = record.progress, record.runtime_at(now)
    if record.state is not JobState.RUNNING or progress <= 0.01 or runtime_s <= 0.00001:
        return None
    return now + timedelta(seconds=runtime_s / progress * (1 - progress))


class JobViews:
    """Encodes jobs, and keeps the encodings of those that do not run."""

    def __init__(self, *, show_retry_as_pending: bool = False) -> None:
        self._retry_as = JobState.PENDING if show_retry_as_pending else JobState.RETRY
        self._halves: dict[str, tuple[JobRecord, bytes, bytes]] = {}

    def encode(self, record: JobRecord, now: datetime) -> bytes:
        """Return the JSON of one job."""
        return b"".join(self._pieces(record, now, iso_basic(now).encode()))

    async def encode_many(self, records: Sequence[JobRecord], now: datetime) -> bytes:
        """Return the JSON array of `records`; other tasks run in between if there are many."""
        timestamp = iso_basic(now).encode()
        pace = Pace()
        pieces: list[bytes] = []
        for start in range(0, len(records), _SLICE):
            for record in records[start : start + _SLICE]:
                known = self._halves.get(record.id)
                if known is not None and known[0] is record:  # in place, since lists are long
                    pieces += (b",", known[1], timestamp, known[2])
                else:
                    pieces += (b",", *self._pieces(record, now, timestamp))
            await pace.give_way()
        return b"".join((b"[", *pieces[1:], b"]"))

    def _pieces(self, record: JobRecord, now: datetime, timestamp: bytes) -> tuple[bytes, ...]:
        """Return what, joined, is the JSON of one job."""
        if record.state is JobState.RUNNING:
            return (_encode(job_view(record, now)),)
        known = self._halves.get(record.id)
        if known is None or known[0] is not record:
            view = job_view(record, now, retry_as=self._retry_as)
            head = _encode({name: value for name, value in view.items() if name < "Timestamp"})[:-1]
            tail = _encode({name: value for name, value in view.items() if name > "Timestamp"})[1:]
            known = (record, head + b',"Timestamp":"', b'",' + tail)
            self._keep(known)
        return known[1], timestamp, known[2]

    def _keep(self, halves: tuple[JobRecord, bytes, bytes]) -> None:
        if len(self._halves) >= _MAX_KEPT:  # also how those of jobs that are gone leave
            for job_id in tuple(islice(self._halves, _MAX_KEPT // 2)):
                del self._halves[job_id]
        self._halves[halves[0].id] = halves
