from contextlib import ExitStack

import trio
import trio.testing

from orthanc_trio.bus import EventBus, Mailbox
from orthanc_trio.model.event import Event, JobEnded, JobEvent, JobForgotten, ResourcesTouched
from tests.support.jobs import make_record


def test_every_subscriber_hears_events_in_order() -> None:
    bus, first, second = EventBus(), list[Event](), list[Event]()
    with bus.subscribed(first.append), bus.subscribed(second.append):
        bus.publish(JobForgotten("a"))
        bus.publish(JobForgotten("b"))
    assert first == second == [JobForgotten("a"), JobForgotten("b")]


def test_a_subscriber_that_left_hears_nothing() -> None:
    bus, heard = EventBus(), list[Event]()
    with bus.subscribed(heard.append):
        pass
    bus.publish(JobForgotten("a"))
    assert heard == []


def test_a_subscriber_hears_the_types_it_names_and_those_below_them() -> None:
    bus, jobs, ends, none = EventBus(), list[Event](), list[Event](), list[Event]()
    moved, ended = JobEvent(make_record(id="a")), JobEnded(make_record(id="a"))
    with (
        bus.subscribed(jobs.append, (JobEvent, JobForgotten)),
        bus.subscribed(ends.append, (JobEnded,)),
        bus.subscribed(none.append, ()),
    ):
        for event in (moved, ResourcesTouched(("b",)), ended, JobForgotten("a")):
            bus.publish(event)
    assert jobs == [moved, ended, JobForgotten("a")]
    assert ends == [ended]
    assert none == []


def test_a_subscriber_may_leave_while_an_event_is_told() -> None:
    bus, heard = EventBus(), list[Event]()
    with ExitStack() as stack, bus.subscribed(heard.append):
        stack.enter_context(bus.subscribed(lambda _: stack.close()))
        stack.enter_context(bus.subscribed(heard.append))
        bus.publish(JobForgotten("a"))
        bus.publish(JobForgotten("b"))
    assert heard == [JobForgotten("a"), JobForgotten("a"), JobForgotten("b")]


async def test_a_mailbox_keeps_the_newest_message_of_each_key() -> None:
    mailbox = Mailbox[str]()
    for key, message in (("a", "a1"), ("b", "b1"), ("a", "a2")):
        mailbox.put(key, message)
    assert await mailbox.take() == ["a2", "b1"]


async def test_many_messages_are_put_at_once() -> None:
    mailbox = Mailbox[str]()
    mailbox.put("b", "b1")
    mailbox.put_all({"a": "a1", "b": "b2"})
    assert await mailbox.take() == ["b2", "a1"]


async def test_a_reader_waits_for_the_next_message() -> None:
    mailbox = Mailbox[str]()
    received: list[list[str] | None] = []

    async def read() -> None:
        received.append(await mailbox.take())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(read)
        await trio.testing.wait_all_tasks_blocked()
        assert received == []
        mailbox.put("a", "a1")
    assert received == [["a1"]]


async def test_a_closed_mailbox_ends_after_what_is_in_it() -> None:
    mailbox = Mailbox[str]()
    mailbox.put("a", "a1")
    mailbox.close()
    assert await mailbox.take() == ["a1"]
    assert await mailbox.take() is None
