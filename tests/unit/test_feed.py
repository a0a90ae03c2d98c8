"""What is pushed to whoever watches, and to whom."""

from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import msgspec
import trio
from trio.testing import MockClock

from orthanc_trio.model.event import JobEvent
from orthanc_trio.model.job import JobState
from orthanc_trio.services.feed import Feed, Subscription
from orthanc_trio.services.job_view import JobViews
from tests.support.jobs import make_record, running_engine


@asynccontextmanager
async def running_feed() -> AsyncIterator[Feed]:
    async with running_engine() as rig, trio.open_nursery() as nursery:
        feed = Feed(rig.engine, JobViews(), lambda: datetime.now(UTC))
        nursery.start_soon(feed.run)
        yield feed
        nursery.cancel_scope.cancel()


def news(id: str, state: JobState = JobState.PENDING) -> JobEvent:
    return JobEvent(make_record(id=id, state=state))


async def states(subscription: Subscription) -> list[tuple[str, str]]:
    messages: list[dict[str, Any]] = [
        msgspec.json.decode(message.text) for message in await subscription.take() or ()
    ]
    return [(message["Job"]["ID"], message["Job"]["State"]) for message in messages]


async def test_news_of_many_jobs_come_in_one_go_and_only_the_newest_of_each() -> None:
    async with running_feed() as feed:
        with feed.watch() as everything, feed.watch("b") as one:
            for event in (news("a"), news("b"), news("a", JobState.FAILURE), news("c")):
                feed.notice(event)
            assert await states(everything) == [("a", "Failure"), ("b", "Pending"), ("c", "Pending")]
            assert await states(one) == [("b", "Pending")]


async def test_who_comes_later_hears_nothing_of_before() -> None:
    async with running_feed() as feed:
        with feed.watch() as first:
            feed.notice(news("a"))
            with feed.watch() as second:
                feed.notice(news("b"))
                assert await states(second) == [("b", "Pending")]
            assert await states(first) == [("a", "Pending"), ("b", "Pending")]


async def test_the_last_news_come_before_the_end() -> None:
    async with running_feed() as feed:
        with feed.watch() as watcher:
            feed.notice(news("a"))
            feed.close()
            assert await states(watcher) == [("a", "Pending")]
            assert await watcher.take() is None


async def test_to_many_subscribers_news_go_in_fewer_pieces(autojump_clock: MockClock) -> None:
    async with running_feed() as feed:
        with ExitStack() as stack:
            first, *_ = [stack.enter_context(feed.watch()) for _ in range(1000)]
            feed.notice(news("a"))
            assert await states(first) == [("a", "Pending")]
            begin = trio.current_time()
            for id in "bcd":
                feed.notice(news(id))
                await trio.lowlevel.checkpoint()
            assert await states(first) == [("b", "Pending"), ("c", "Pending"), ("d", "Pending")]
            assert 0 < trio.current_time() - begin < 0.1
