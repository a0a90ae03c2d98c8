"""The life of a job. Everything that decides whether and how a job may change its state is here.

Rules:
1. A pair that is not in the table is refused.
2. A pair that leads to its own state is accepted and changes nothing.
3. Only the attempt that runs a job moves it out of Running; users give that attempt an order.
"""

from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from msgspec.structs import replace

from ..model.error_code import ErrorCode
from ..model.errors import BadSequenceOfCalls
from ..model.job import JobFault, JobRecord, JobState
from .progress import at_begin


class Move(StrEnum):
    """What happens to a job, on request of a user or in the course of its run."""

    START = "start"
    SUCCEED = "succeed"
    FAIL = "fail"
    DELAY = "delay"
    """A step asked to be tried again later."""
    WAKE = "wake"
    """The delay is over."""
    PAUSE = "pause"
    RESUME = "resume"
    CANCEL = "cancel"
    RESUBMIT = "resubmit"
    """A failed job begins anew; one that waits for its retry goes on now."""
    INTERRUPT = "interrupt"
    """The process that held the job ends, or has ended."""


TRANSITIONS: Final[dict[tuple[JobState, Move], JobState]] = {
    (JobState.PENDING, Move.START): JobState.RUNNING,
    (JobState.PENDING, Move.PAUSE): JobState.PAUSED,
    (JobState.PENDING, Move.CANCEL): JobState.FAILURE,
    (JobState.PENDING, Move.INTERRUPT): JobState.PENDING,
    (JobState.RUNNING, Move.SUCCEED): JobState.SUCCESS,
    (JobState.RUNNING, Move.FAIL): JobState.FAILURE,
    (JobState.RUNNING, Move.DELAY): JobState.RETRY,
    (JobState.RUNNING, Move.PAUSE): JobState.PAUSED,
    (JobState.RUNNING, Move.CANCEL): JobState.FAILURE,
    (JobState.RUNNING, Move.INTERRUPT): JobState.PENDING,
    (JobState.RETRY, Move.WAKE): JobState.PENDING,
    (JobState.RETRY, Move.PAUSE): JobState.PAUSED,
    (JobState.RETRY, Move.CANCEL): JobState.FAILURE,
    (JobState.RETRY, Move.RESUBMIT): JobState.PENDING,
    (JobState.RETRY, Move.INTERRUPT): JobState.RETRY,
    (JobState.PAUSED, Move.PAUSE): JobState.PAUSED,
    (JobState.PAUSED, Move.RESUME): JobState.PENDING,
    (JobState.PAUSED, Move.CANCEL): JobState.FAILURE,
    (JobState.PAUSED, Move.INTERRUPT): JobState.PAUSED,
    (JobState.SUCCESS, Move.PAUSE): JobState.SUCCESS,
    (JobState.SUCCESS, Move.CANCEL): JobState.SUCCESS,
    (JobState.SUCCESS, Move.INTERRUPT): JobState.SUCCESS,
    (JobState.FAILURE, Move.PAUSE): JobState.FAILURE,
    (JobState.FAILURE, Move.CANCEL): JobState.FAILURE,
    (JobState.FAILURE, Move.RESUBMIT): JobState.PENDING,
    (JobState.FAILURE, Move.INTERRUPT): JobState.FAILURE,
}
"""Source: the Orthanc Book, "Jobs"; the routes /jobs/{id}/{cancel,pause,resume,resubmit}."""


def is_allowed(state: JobState, move: Move) -> bool:
    """Whether `move` is not refused in `state`."""
    return (state, move) in TRANSITIONS


def next_state(state: JobState, move: Move) -> JobState:
    """Return the state after `move`. Raises BadSequenceOfCalls if it is refused in `state`."""
    target = TRANSITIONS.get((state, move))
    if target is None:
        raise BadSequenceOfCalls(f"Cannot {move.value} a job in state {state.value}")
    return target


def moved(record: JobRecord, move: Move, now: datetime, **changes: Any) -> JobRecord:
    """Return the record after `move` at `now`, with `changes` on top; the same one if nothing changes.

    Raises BadSequenceOfCalls if the move is refused.
    """
    state = next_state(record.state, move)
    if state is record.state:
        return record
    fields = {
        "state": state,
        "changed": now,
        "runtime_s": record.runtime_at(now),
        "running_since": None,
        "retry_at": None,
    }
    return replace(record, **(fields | _consequences(record, move, now) | changes))


def _consequences(record: JobRecord, move: Move, now: datetime) -> dict[str, Any]:
    match move:
        case Move.START:
            fields: dict[str, Any] = {"running_since": now, "fault": _quieted(record.fault)}
            if record.cursor is None:
                # What the run before a resubmission told is shown until this one begins.
                fields |= {"done": 0.0, "total": 0.0, "content": at_begin(record.content)}
            return fields
        case Move.CANCEL:
            return {"fault": JobFault(code=ErrorCode.CANCELED_JOB)}
        case Move.RESUBMIT if record.state is JobState.FAILURE:
            return {"cursor": None, "runtime_s": 0.0, "attempt": 1, "last_error": ""}
        case _:
            return {}


def _quieted(fault: JobFault | None) -> JobFault | None:
    """Like Orthanc, a job that starts again has no error code any more, but keeps the details."""
    if fault is None or not fault.details:
        return None
    return JobFault(code=ErrorCode.SUCCESS, details=fault.details)
