"""What is pushed to whoever watches, and to whom."""

from datetime import UTC, datetime
from typing import Any

import msgspec

from orthanc_trio.jobs.engine import JobsEngine
from orthanc_trio.model.event import JobEvent
from orthanc_trio.model.job import JobState
from orthanc_trio.services.feed import Feed, Subscription
from orthanc_trio.services.job_view import JobViews
from tests.support.jobs import make_record, running_engine


def make_feed(jobs: JobsEngine) -> Feed:
    return Feed(jobs, JobViews(), lambda: datetime.now(UTC))


def news(id: str, state: JobState = JobState.PENDING) -> JobEvent:
    return JobEvent(make_record(id=id, state=state))


async def states(subscription: Subscription) -> list[tuple[str, str]]:
    messages: list[dict[str, Any]] = [
        msgspec.json.decode(message.text) for message in await subscription.take() or ()
    ]
    return [(message["Job"]["ID"], message["Job"]["State"]) for message in messages]


async def test_news_of_many_jobs_come_in_one_go_and_only_the_newest_of_each() -> None:
    async with running_engine() as rig:
        feed = make_feed(rig.engine)
        with feed.watch() as everything, feed.watch("b") as one:
            for event in (news("a"), news("b"), news("a", JobState.FAILURE), news("c")):
                feed.notice(event)
            assert await states(everything) == [("a", "Failure"), ("b", "Pending"), ("c", "Pending")]
            assert await states(one) == [("b", "Pending")]


async def test_who_comes_later_hears_nothing_of_before() -> None:
    async with running_engine() as rig:
        feed = make_feed(rig.engine)
        with feed.watch() as first:
            feed.notice(news("a"))
            with feed.watch() as second:
                feed.notice(news("b"))
                assert await states(second) == [("b", "Pending")]
            assert await states(first) == [("a", "Pending"), ("b", "Pending")]


async def test_the_last_news_come_before_the_end() -> None:
    async with running_engine() as rig:
        feed = make_feed(rig.engine)
        with feed.watch() as watcher:
            feed.notice(news("a"))
            feed.close()
            assert await states(watcher) == [("a", "Pending")]
            assert await watcher.take() is None
