"""The life of a job: every pair of state and move, and what a move does to the record."""

from datetime import timedelta

import pytest
from msgspec import Raw

from orthanc_trio.jobs.states import TRANSITIONS, Move, is_allowed, moved, next_state
from orthanc_trio.model.error_code import ErrorCode
from orthanc_trio.model.errors import BadSequenceOfCalls
from orthanc_trio.model.job import JobFault, JobState
from tests.support.jobs import EPOCH, make_record

LATER = EPOCH + timedelta(seconds=5)

# Columns: START SUCCEED FAIL DELAY WAKE PAUSE RESUME CANCEL RESUBMIT INTERRUPT.
# A letter is the state that follows, a dot a refusal.
WALK = {
    JobState.PENDING: "R . . . . Z . F . P",
    JobState.RUNNING: ". S F W . Z . F . P",
    JobState.RETRY: ".... P Z . F P W",
    JobState.PAUSED: ". . . . . Z P F . Z",
    JobState.SUCCESS: ". . . . . S . S . S",
    JobState.FAILURE: ". . . . . F . F P F",
}
LETTERS = {
    "P": JobState.PENDING,
    "R": JobState.RUNNING,
    "W": JobState.RETRY,
    "Z": JobState.PAUSED,
    "S": JobState.SUCCESS,
    "F": JobState.FAILURE,
}
PAIRS = [
    (state, move, LETTERS.get(letter))
    for state, row in WALK.items()
    for move, letter in zip(Move, row.replace(" ", ""), strict=True)
]


@pytest.mark.parametrize(("state", "move", "target"), PAIRS)
def test_each_pair_leads_where_the_walk_says(state: JobState, move: Move, target: JobState | None) -> None:
    assert is_allowed(state, move) == (target is not None)
    if target is not None:
        assert next_state(state, move) is target
    else:
        with pytest.raises(BadSequenceOfCalls):
            next_state(state, move)


def test_the_walk_covers_the_table() -> None:
    assert len(PAIRS) == len(JobState) * len(Move)
    assert {(state, move) for state, move, target in PAIRS if target} == TRANSITIONS.keys()


def test_only_a_start_leads_to_running() -> None:
    assert [pair for pair, target in TRANSITIONS.items() if target is JobState.RUNNING] == [
        (JobState.PENDING, Move.START)
    ]


def test_a_move_to_the_same_state_changes_nothing() -> None:
    record = make_record(state=JobState.PAUSED)
    assert moved(record, Move.PAUSE, LATER) is record


def test_a_move_dates_the_change() -> None:
    assert moved(make_record(), Move.PAUSE, LATER).changed == LATER


def test_time_in_running_adds_up() -> None:
    record = moved(make_record(runtime_s=2.0), Move.START, EPOCH)
    assert (record.runtime_s, record.running_since) == (2.0, EPOCH)
    record = moved(record, Move.PAUSE, LATER)
    assert (record.runtime_s, record.running_since) == (7.0, None)


def test_a_start_clears_the_error_code_and_keeps_the_details() -> None:
    fault = JobFault(code=ErrorCode.TIMEOUT, details="peer", payload={"a": 1})
    record = moved(make_record(fault=fault), Move.START, LATER)
    assert record.fault == JobFault(code=ErrorCode.SUCCESS, details="peer")


@pytest.mark.parametrize("fault", [None, JobFault(code=ErrorCode.CANCELED_JOB)])
def test_a_start_forgets_a_fault_without_details(fault: JobFault | None) -> None:
    assert moved(make_record(fault=fault), Move.START, LATER).fault is None


def test_the_old_progress_is_shown_until_a_resubmitted_job_starts() -> None:
    fault = JobFault(code=ErrorCode.CANCELED_JOB)
    failed = make_record(
        state=JobState.FAILURE, fault=fault, cursor=Raw(b"3"), done=3.0, total=4.0, runtime_s=9.0
    )
    record = moved(failed, Move.RESUBMIT, LATER)
    assert (record.cursor, record.runtime_s, record.progress, record.fault) == (None, 0.0, 0.75, fault)
    assert moved(record, Move.START, LATER).progress == 0.0


def test_what_a_run_told_is_shown_until_the_job_starts_anew() -> None:
    told = {"Description": "x", "Progress": {"Bytes": 3}, "FailedInstances": [{"ID": "a", "Error": "b"}]}
    record = moved(make_record(state=JobState.FAILURE, content=told), Move.RESUBMIT, LATER)
    assert record.content == told
    assert moved(record, Move.START, LATER).content == {"Description": "x"}
    resumed = make_record(cursor=Raw(b"3"), content=told)
    assert moved(resumed, Move.START, LATER).content == told


def test_progress_is_kept_when_a_paused_job_starts_again() -> None:
    record = make_record(cursor=Raw(b"3"), done=3.0, total=4.0)
    assert moved(record, Move.START, LATER).progress == 0.75


def test_a_cancelled_job_is_a_failure_with_the_code_of_a_cancel() -> None:
    record = moved(make_record(), Move.CANCEL, LATER)
    assert (record.state, record.fault) == (JobState.FAILURE, JobFault(code=ErrorCode.CANCELED_JOB))


def test_what_a_move_brings_is_set() -> None:
    record = moved(make_record(state=JobState.RUNNING), Move.DELAY, EPOCH, retry_at=LATER)
    assert record.retry_at == LATER
    assert moved(record, Move.WAKE, LATER).retry_at is None
