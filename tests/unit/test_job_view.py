from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from orthanc_trio.model.error_code import ErrorCode
from orthanc_trio.model.job import JobFault, JobRecord, JobState, RetryPolicy
from orthanc_trio.services.job_view import JobViews, content_view, iso_basic, job_view

NOW = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)


def record(state: JobState = JobState.PENDING, **changes: Any) -> JobRecord:
    values: dict[str, Any] = {
        "id": "5b1f",
        "kind": "Archive",
        "args": msgspec.Raw(b"{}"),
        "sequence": 1,
        "created": NOW - timedelta(seconds=9),
        "changed": NOW - timedelta(seconds=3),
        "content": {"Description": "REST API"},
    }
    return JobRecord(state=state, **(values | changes))


@pytest.mark.parametrize(
    ("microseconds", "text"),
    [(678901, "20260102T030405.678901"), (1, "20260102T030405.000001"), (0, "20260102T030405")],
)
def test_the_fraction_has_six_digits_or_is_left_out(microseconds: int, text: str) -> None:
    assert iso_basic(NOW.replace(microsecond=microseconds)) == text


def test_a_pending_job_shows_all_members_that_are_always_there() -> None:
    assert job_view(record(), NOW) == {
        "Content": {"Description": "REST API"},
        "CreationTime": "20260102T030356.678901",
        "EffectiveRuntime": 0.0,
        "ErrorCode": 0,
        "ErrorDescription": "Success",
        "ErrorDetails": "",
        "ID": "5b1f",
        "Priority": 0,
        "Progress": 0,
        "State": "Pending",
        "Timestamp": "20260102T030405.678901",
        "Type": "Archive",
    }


@pytest.mark.parametrize("state", list(JobState))
def test_only_a_job_that_ended_has_a_completion_time(state: JobState) -> None:
    assert ("CompletionTime" in job_view(record(state), NOW)) is state.is_completed


def test_a_failed_job_shows_its_fault() -> None:
    fault = JobFault(code=ErrorCode.CANCELED_JOB, details="d", payload={"Type": "T"})
    view = job_view(record(JobState.FAILURE, fault=fault), NOW)
    assert (view["ErrorCode"], view["ErrorDescription"]) == (37, "This job was canceled")
    assert (view["ErrorDetails"], view["ErrorPayload"]) == ("d", {"Type": "T"})


def test_a_running_job_estimates_its_arrival_from_the_time_it_ran() -> None:
    running = record(
        JobState.RUNNING, running_since=NOW - timedelta(seconds=10), runtime_s=10.0, done=1.0, total=4.0
    )
    view = job_view(running, NOW)
    assert view["EffectiveRuntime"] == 20.0
    assert view["Progress"] == 25
    assert view["EstimatedTimeOfArrival"] == iso_basic(NOW + timedelta(seconds=60))


def test_a_running_job_that_hardly_began_estimates_nothing() -> None:
    running = record(JobState.RUNNING, running_since=NOW, done=0.0, total=4.0)
    assert "EstimatedTimeOfArrival" not in job_view(running, NOW)


@pytest.mark.parametrize("state", list(JobState))
async def test_encoding_is_the_view_also_when_it_is_kept(state: JobState) -> None:
    views, job = JobViews(), record(state, user_data=msgspec.Raw(b'{"Timestamp":"x"}'), done=1, total=2)
    for now in (NOW, NOW + timedelta(seconds=1)):
        expected = msgspec.json.decode(msgspec.json.encode(job_view(job, now)))
        assert msgspec.json.decode(views.encode(job, now)) == expected
        assert msgspec.json.decode(await views.encode_many([job, job], now)) == [expected, expected]


def test_a_replaced_record_is_encoded_anew() -> None:
    views = JobViews()
    views.encode(record(), NOW)
    changed = msgspec.json.decode(views.encode(record(priority=5), NOW))
    assert changed["Priority"] == 5


async def test_no_jobs_are_an_empty_array() -> None:
    assert await JobViews().encode_many([], NOW) == b"[]"


def test_retries_are_told_only_with_a_policy() -> None:
    assert "Retry" not in job_view(record(JobState.RETRY, retry_at=NOW), NOW)["Content"]
    waiting = record(
        JobState.RETRY,
        retry=RetryPolicy(max_attempts=4),
        attempt=2,
        last_error="Timeout",
        retry_at=NOW.replace(microsecond=0),
    )
    assert job_view(waiting, NOW)["Content"] == {
        "Description": "REST API",
        "Retry": {
            "Attempt": 2,
            "MaxAttempts": 4,
            "LastError": "Timeout",
            "NextAttempt": "20260102T030405",
        },
    }
    assert content_view(record(retry=RetryPolicy()))["Retry"]["NextAttempt"] is None


@pytest.mark.parametrize(("show_retry_as_pending", "state"), [(False, "Retry"), (True, "Pending")])
def test_a_retry_may_be_shown_as_pending(show_retry_as_pending: bool, state: str) -> None:
    views = JobViews(show_retry_as_pending=show_retry_as_pending)
    for _ in range(2):
        assert msgspec.json.decode(views.encode(record(JobState.RETRY), NOW))["State"] == state
    assert msgspec.json.decode(views.encode(record(JobState.PAUSED), NOW))["State"] == "Paused"
