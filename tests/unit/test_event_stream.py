"""Server-Sent Events as bytes, and who is told that nothing happens."""

from types import SimpleNamespace
from typing import Any

import pytest
import trio
import trio.testing

from orthanc_trio.index.memory import MemoryIndex
from orthanc_trio.model.event import JobEvent, JobForgotten
from orthanc_trio.rest.event_stream import encode_event, event_stream
from orthanc_trio.rest.presence import while_present
from orthanc_trio.services.feed import Feed, FeedMessage
from orthanc_trio.services.job_view import JobViews
from orthanc_trio.services.library import Library
from tests.support.jobs import make_record, now, running_engine


@pytest.mark.parametrize(
    ("message", "id", "expected"),
    [
        (FeedMessage(b"{}"), 0, b"data: {}\n\n"),
        (FeedMessage(b"{}", 7), 7, b"id: 7\ndata: {}\n\n"),
        (FeedMessage(b"{\n}"), 0, b"data: {\ndata: }\n\n"),
    ],
)
def test_an_event_has_a_line_for_each_line(message: FeedMessage, id: int, expected: bytes) -> None:
    assert encode_event(message, id) == expected


@pytest.mark.parametrize("job_id", [None, "a"])
async def test_a_stream_without_news_is_kept_alive(
    job_id: str | None, autojump_clock: trio.testing.MockClock
) -> None:
    async with running_engine() as rig:
        storage: Any = None  # the log is in the index
        feed = Feed(rig.engine, JobViews(), now)
        context: Any = SimpleNamespace(feed=feed, library=Library(MemoryIndex(), storage, lambda _: False))
        request: Any = SimpleNamespace(headers={})
        chunks = event_stream(context, request, job_id).chunks
        begin = trio.current_time()
        seen = []
        async for chunk in chunks:
            seen.append((round(trio.current_time() - begin), bytes(chunk).partition(b"\n\n")[0]))
            if trio.current_time() - begin > 40:
                feed.close()
        alive = b": keep-alive"
        assert [time for time, text in seen if text == alive][-3:] == [15, 30, 45]
        assert seen[0] == (0, b"retry: 3000")


async def test_a_subscription_to_everything_is_told_of_what_is_left_out() -> None:
    async with running_engine() as rig:
        feed = Feed(rig.engine, JobViews(), now)
        with feed.watch("a") as one, feed.watch() as every:
            feed.notice(JobEvent(make_record(id="a")))
            feed.notice(JobEvent(make_record(id="b")))
            feed.notice(JobForgotten("a"))
            assert len(await every.take() or ()) == 2  # of `a` only the newest
            assert len(await one.take() or ()) == 1
            assert await one.take() is None
        feed.close()
        with feed.watch() as late:
            assert await late.take() is None


async def test_work_is_done_while_the_client_is_there() -> None:
    gone = trio.Event()
    assert await while_present(trio.lowlevel.checkpoint, gone.wait)
    assert not await while_present(trio.sleep_forever, trio.lowlevel.checkpoint)


async def test_a_failure_is_not_wrapped_even_when_all_is_cancelled() -> None:
    async def fail() -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise KeyError("made by the test")

    with trio.CancelScope() as scope:
        scope.cancel()
        await while_present(fail, trio.sleep_forever)
    assert scope.cancelled_caught
