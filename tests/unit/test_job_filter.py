"""Filters, orders and cursors of lists of jobs."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from orthanc_trio.jobs.engine import JobsEngine
from orthanc_trio.jobs.options import HistoryOptions
from orthanc_trio.jobs.registry import JobsRegistry
from orthanc_trio.model.errors import ParameterOutOfRange
from orthanc_trio.model.event import JobEnded, JobEvent, JobForgotten
from orthanc_trio.model.job import JobRecord, JobState
from orthanc_trio.rest.job_query import (
    encode_cursor,
    filter_of_body,
    filter_of_query,
    job_ids,
    order_of_query,
)
from orthanc_trio.services.job_filter import ORDERS, JobFilter, JobOrder, matching, page_of
from orthanc_trio.services.job_statistics import JobMeter, job_statistics
from tests.support.jobs import EPOCH, make_record

KINDS = {"Count", "Archive"}


def make_many(count: int) -> list[JobRecord]:
    return [
        make_record(
            id=f"{number * 7919 % 100_003:06}",
            sequence=number + 1,
            state=list(JobState)[number % 6],
            priority=number % 5,
            created=EPOCH + timedelta(seconds=number),
            changed=EPOCH + timedelta(seconds=number * 31 % 17),
            destination=("pacs", "peer", None)[number % 3],
        )
        for number in range(count)
    ]


def engine_of(records: list[JobRecord]) -> JobsEngine:
    """Return what a list asks of an engine, on a real registry."""
    registry = JobsRegistry(HistoryOptions(size=10_000))
    for record in records:
        registry.put(record)
    catalog = registry.catalog
    parts = SimpleNamespace(
        records=registry.records,
        page=lambda limit, *, after: registry.pick(catalog.ids_after(after, limit)),
        page_by_submission=lambda limit, *, after: registry.pick(catalog.submitted_after(after, limit)),
        page_newest_first=lambda limit, *, before: registry.pick(catalog.submitted_before(before, limit)),
    )
    return cast("JobsEngine", parts)


@pytest.mark.parametrize(
    ("query", "matches"),
    [
        ({}, True),
        ({"state": "Pending"}, True),
        ({"state": "Running,Pending"}, True),
        ({"state": "Running"}, False),
        ({"type": "Archive,Count"}, True),
        ({"type": "Archive"}, False),
        ({"destination": "pacs"}, True),
        ({"destination": "peer"}, False),
        ({"resource": "two"}, True),
        ({"resource": "three"}, False),
        ({"since": "20260101T000000"}, True),
        ({"since": "2026-01-01T00:00:00.000001Z"}, False),
        ({"until": "20260101T000000.000001"}, True),
        ({"until": "2026-01-01T01:00:00+01:00"}, False),
        ({"state": "Pending", "destination": "peer"}, False),
    ],
)
def test_a_job_must_fulfil_all_conditions(query: Mapping[str, str], matches: bool) -> None:
    record = make_record(destination="pacs", resources=("one", "two"))
    assert filter_of_query(query, KINDS).matches(record) is matches
    body = {name.capitalize(): value.split(",") if "," in value else value for name, value in query.items()}
    assert filter_of_body(body, KINDS) == filter_of_query(query, KINDS)


def test_a_name_with_a_comma_is_one_destination() -> None:
    wanted = filter_of_body({"Destination": "a,b"}, KINDS)
    assert wanted == JobFilter(destination="a,b")


def test_jobs_are_named_once_each() -> None:
    assert job_ids({"Jobs": ["b", "a", "b"]}) == ["b", "a"]
    assert job_ids({}) is None


async def test_matching_sorts_by_id() -> None:
    records = make_many(1000)
    found = await matching(engine_of(records), JobFilter(destination="pacs"))
    expected = [record for record in records if record.destination == "pacs"]
    assert found == sorted(expected, key=ORDERS["id"])


@settings(deadline=None, max_examples=40)
@given(
    count=st.sampled_from([0, 1, 5, 600]),
    limit=st.sampled_from([None, 40, 99, 600, 5000]),
    name=st.sampled_from(sorted(ORDERS)),
    is_descending=st.booleans(),
    wanted=st.sampled_from([JobFilter(), JobFilter(destination="peer"), JobFilter(kinds=frozenset())]),
)
def test_the_parts_of_a_list_are_the_sorted_list(
    count: int, limit: int | None, name: str, is_descending: bool, wanted: JobFilter
) -> None:
    records = make_many(count)
    engine = engine_of(records)
    key = ORDERS[name]
    expected = sorted(filter(wanted.matches, records), key=key, reverse=is_descending)

    async def collect() -> list[JobRecord]:
        found: list[JobRecord] = []
        query = {"order": f"-{name}" if is_descending else name}
        if limit is not None:
            query["limit"] = str(limit)
        while True:
            order = order_of_query(query)
            page = await page_of(engine, wanted, order)
            assert limit is None or len(page.records) <= limit
            found += page.records
            if page.last is None:
                return found
            query["cursor"] = encode_cursor(order, page.last)

    assert trio.run(collect) == expected


async def test_a_cursor_survives_that_its_job_is_gone() -> None:
    records = make_many(20)
    order = JobOrder(limit=5)
    page = await page_of(engine_of(records), JobFilter(), order)
    kept = [record for record in records if record not in page.records]
    following = await page_of(engine_of(kept), JobFilter(), JobOrder(limit=5, after=page.last))
    assert following.records == sorted(kept, key=ORDERS["id"])[:5]


@pytest.mark.parametrize("cursor", ["", "x", "W10", "é", "x" * 600, encode_cursor(JobOrder(), ("a",)) + "!"])
def test_a_cursor_that_was_made_up_is_refused(cursor: str) -> None:
    with pytest.raises(ParameterOutOfRange):
        order_of_query({"cursor": cursor})


def test_a_cursor_of_another_order_is_refused() -> None:
    cursor = encode_cursor(JobOrder(name="priority"), (1, 2))
    assert order_of_query({"order": "priority", "cursor": cursor}).after == (1, 2)
    for order in ("-priority", "changed", "id", "created"):
        with pytest.raises(ParameterOutOfRange):
            order_of_query({"order": order, "cursor": cursor})


def test_no_limit_is_said_by_0_too() -> None:
    assert order_of_query({"limit": "0"}).limit is None


async def test_a_long_list_gives_way_to_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orthanc_trio.services.pace._TURN_S", 0.0)  # however fast this machine is
    engine = engine_of(make_many(15_000))
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            await trio.lowlevel.checkpoint()
            turns += 1

    async with trio.open_nursery() as nursery:
        nursery.start_soon(others)
        await matching(engine, JobFilter(resource="none"))
        nursery.cancel_scope.cancel()
    assert turns > 0


class Clock:
    time: datetime = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.time


def test_the_ends_of_the_last_minute_are_counted_once_each() -> None:
    clock = Clock()
    meter = JobMeter(clock)
    for number in range(3):
        job: dict[str, Any] = {"id": str(number)}
        meter.notice(JobEvent(make_record(**job)))
        ended = make_record(state=JobState.FAILURE if number == 2 else JobState.SUCCESS, **job)
        meter.notice(JobEnded(ended))
        meter.notice(JobEvent(ended))  # as when its output is removed
        clock.time += timedelta(seconds=20)
    assert meter.last_minute() == {JobState.SUCCESS: 2, JobState.FAILURE: 1}
    clock.time += timedelta(seconds=15)
    assert meter.last_minute() == {JobState.SUCCESS: 1, JobState.FAILURE: 1}
    clock.time += timedelta(seconds=60)
    assert meter.last_minute() == {JobState.SUCCESS: 0, JobState.FAILURE: 0}


def test_a_job_that_was_forgotten_ends_no_more() -> None:
    meter = JobMeter(Clock())
    meter.notice(JobEvent(make_record(id="a")))
    meter.notice(JobForgotten("a"))
    meter.notice(JobEvent(make_record(id="a", state=JobState.SUCCESS)))
    assert meter.last_minute()[JobState.SUCCESS] == 0


async def test_statistics_tell_the_oldest_that_waits() -> None:
    meter, now = JobMeter(Clock()), EPOCH + timedelta(seconds=1000)
    assert (await job_statistics(engine_of([]), meter, now))["OldestPendingAge"] is None
    statistics = await job_statistics(engine_of(make_many(600)[1:]), meter, now)
    assert statistics["OldestPendingAge"] == 994.0
    assert sum(statistics["States"].values()) == statistics["Count"] == 599
    assert sum(statistics["Destinations"]["pacs"].values()) == 199
