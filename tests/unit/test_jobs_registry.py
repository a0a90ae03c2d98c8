"""The registry: who is next, what is kept, what is forgotten."""

from datetime import timedelta

import pytest
from msgspec import Raw

from orthanc_trio.jobs.options import HistoryOptions
from orthanc_trio.jobs.registry import JobsRegistry
from orthanc_trio.jobs.states import Move, moved
from orthanc_trio.model.errors import InexistentItem
from orthanc_trio.model.job import JobRecord, JobState
from tests.support.jobs import EPOCH, make_record

LATER = EPOCH + timedelta(seconds=5)


def make_registry(*records: JobRecord, history_size: int = 10) -> JobsRegistry:
    registry = JobsRegistry(HistoryOptions(size=history_size))
    for record in records:
        registry.put(record)
        if record.state is JobState.PENDING:
            registry.enqueue(record)
    return registry


def starts(registry: JobsRegistry) -> list[str]:
    return [record.id for record in iter(lambda: registry.start_best(LATER), None)]


def test_the_highest_priority_starts_first_and_ties_are_first_in_first_out() -> None:
    priorities = {"a": 0, "b": 5, "c": -1, "d": 5, "e": 0}
    records = [
        make_record(id=id, priority=priority, sequence=number)
        for number, (id, priority) in enumerate(priorities.items())
    ]
    assert starts(make_registry(*reversed(records))) == ["b", "d", "a", "e", "c"]


def test_a_started_job_is_running() -> None:
    registry = make_registry(make_record(id="a"))
    record = registry.start_best(LATER)
    assert record is not None
    assert (record.state, record.running_since) == (JobState.RUNNING, LATER)
    assert registry.get("a") is record


def test_nothing_starts_when_nobody_waits() -> None:
    assert make_registry().start_best(LATER) is None


def test_a_job_that_leaves_pending_is_not_started() -> None:
    record = make_record(id="a")
    registry = make_registry(record, make_record(id="b", sequence=2))
    registry.put(moved(record, Move.PAUSE, LATER))
    assert starts(registry) == ["b"]


def test_a_held_job_is_not_started_until_it_is_enqueued_again() -> None:
    record = make_record(id="a")
    registry = make_registry(record)
    registry.hold("a")
    assert starts(registry) == []
    registry.enqueue(record)
    registry.enqueue(record)
    assert starts(registry) == ["a"]


def test_a_job_that_is_held_and_enqueued_keeps_its_place() -> None:
    first, second = make_record(id="a"), make_record(id="b", sequence=2)
    registry = make_registry(first, second)
    registry.hold("a")
    registry.enqueue(first)
    assert starts(registry) == ["a", "b"]


def test_jobs_are_listed_by_id() -> None:
    registry = make_registry(*(make_record(id=id) for id in "bca"))
    assert [record.id for record in registry.records()] == ["a", "b", "c"]
    registry.remove("b")
    assert [record.id for record in registry.records()] == ["a", "c"]


def test_an_unknown_job_is_an_inexistent_item() -> None:
    registry = make_registry()
    assert registry.find("x") is None
    with pytest.raises(InexistentItem, match="No job found with this id: x"):
        registry.get("x")


def test_states_are_counted() -> None:
    record = make_record(id="a")
    registry = make_registry(record, make_record(id="b"))
    registry.put(moved(record, Move.PAUSE, LATER))
    assert (registry.count(JobState.PENDING), registry.count(JobState.PAUSED)) == (1, 1)
    registry.remove("a")
    assert registry.count(JobState.PAUSED) == 0


def test_the_oldest_completions_leave_the_history() -> None:
    registry = make_registry(history_size=2)
    for id in "dbca":
        registry.put(make_record(id=id, state=JobState.SUCCESS))
    assert [record.id for record in registry.trim()] == ["d", "b"]
    assert [record.id for record in registry.records()] == ["a", "c"]


def test_a_resubmitted_job_counts_in_the_history_from_its_next_end_on() -> None:
    failed = make_record(id="a", state=JobState.FAILURE)
    registry = make_registry(failed, make_record(id="b", state=JobState.SUCCESS), history_size=1)
    registry.put(moved(failed, Move.RESUBMIT, LATER))
    assert registry.trim() == []
    registry.put(failed)
    assert [record.id for record in registry.trim()] == ["b"]


def test_only_completed_jobs_count_in_the_history() -> None:
    others = [state for state in JobState if not state.is_completed]
    registry = make_registry(*(make_record(id=state.value, state=state) for state in others), history_size=0)
    assert registry.trim() == []


@pytest.mark.parametrize(
    ("saved", "restored"),
    [
        (JobState.PENDING, JobState.PENDING),
        (JobState.RUNNING, JobState.PENDING),
        (JobState.RETRY, JobState.RETRY),
        (JobState.PAUSED, JobState.PAUSED),
        (JobState.SUCCESS, JobState.SUCCESS),
        (JobState.FAILURE, JobState.FAILURE),
    ],
)
def test_a_restart_puts_back_what_was_under_way(saved: JobState, restored: JobState) -> None:
    record = make_record(id="a", state=saved, cursor=Raw(b"1"), runtime_s=2.0)
    registry = make_registry(history_size=1)
    registry.restore([record], LATER)
    again = registry.get("a")
    assert (again.state, again.cursor, again.runtime_s) == (restored, Raw(b"1"), 2.0)
    assert starts(registry) == (["a"] if restored is JobState.PENDING else [])


@pytest.mark.parametrize(("seconds", "state"), [(5, JobState.PENDING), (6, JobState.RETRY)])
def test_a_retry_whose_time_has_come_waits_with_the_others(seconds: int, state: JobState) -> None:
    registry = make_registry()
    saved = make_record(id="a", state=JobState.RETRY, retry_at=EPOCH + timedelta(seconds=seconds))
    delayed = registry.restore([saved], LATER)
    assert registry.get("a").state is state
    assert [record.id for record in delayed] == (["a"] if state is JobState.RETRY else [])


def test_the_time_between_two_processes_does_not_count_as_runtime() -> None:
    registry = make_registry(history_size=1)
    registry.restore([make_record(id="a", state=JobState.RUNNING, running_since=EPOCH, runtime_s=2.0)], LATER)
    assert (registry.get("a").runtime_s, registry.get("a").running_since) == (2.0, None)


def test_restored_completions_keep_their_order() -> None:
    times = {"a": 3, "b": 1, "c": 2}
    registry = make_registry(history_size=2)
    registry.restore(
        [
            make_record(id=id, state=JobState.SUCCESS, changed=EPOCH + timedelta(seconds=second))
            for id, second in times.items()
        ],
        LATER,
    )
    assert [record.id for record in registry.trim()] == ["b"]


def test_sequences_go_on_after_a_restart() -> None:
    registry = make_registry(history_size=2)
    registry.restore([make_record(id="a", sequence=41)], LATER)
    assert [registry.take_sequence(), registry.take_sequence()] == [42, 43]
