"""The one way events go from those who act to those who watch.

`publish` is synchronous and never waits. A subscriber says of which types of events it is told, so that the
frequent ones cost only those whom they concern. It owns a mailbox; what it does not read in time is
conflated there, never queued without bound.
"""

from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from typing import Generic, TypeVar

import trio

from .model.event import EVENT_TYPES, Event

MessageT = TypeVar("MessageT")

_Subscriber = Callable[[Event], None]


class EventBus:
    """Tells every subscriber of every event that it hears, in the order of publication, within `publish`."""

    def __init__(self) -> None:
        self._subscribers: dict[type[Event], tuple[_Subscriber, ...]] = dict.fromkeys(EVENT_TYPES, ())

    def publish(self, event: Event) -> None:
        """Hand `event` to all who hear its type. A subscriber must not wait and must not raise."""
        for subscriber in self._subscribers[type(event)]:
            subscriber(event)

    @contextmanager
    def subscribed(
        self, subscriber: _Subscriber, types: tuple[type[Event], ...] = EVENT_TYPES
    ) -> Iterator[None]:
        """Call `subscriber` with each event of these types and those below them while the context is open."""
        heard = [type for type in EVENT_TYPES if issubclass(type, types)]
        for type in heard:
            self._subscribers[type] = (*self._subscribers[type], subscriber)
        try:
            yield
        finally:
            for type in heard:
                others = list(self._subscribers[type])
                others.remove(subscriber)
                self._subscribers[type] = tuple(others)


class Mailbox(Generic[MessageT]):
    """What one subscriber has not read yet: the newest message per key, in the order of first arrival.

    Memory is bounded by the number of keys. `put` never waits; one task reads.
    """

    def __init__(self) -> None:
        self._messages: dict[Hashable, MessageT] = {}
        self._arrived = trio.Event()
        self._is_closed = False

    def put(self, key: Hashable, message: MessageT) -> None:
        """Add a message; one of the same key that was not read yet is replaced."""
        self._messages[key] = message
        self._arrived.set()

    def put_all(self, messages: Mapping[Hashable, MessageT]) -> None:
        """Add messages by key, in one go."""
        self._messages.update(messages)
        self._arrived.set()

    def close(self) -> None:
        """Let the reader end once it has read what is there."""
        self._is_closed = True
        self._arrived.set()

    async def take(self) -> list[MessageT] | None:
        """Wait for messages and return all that are there; None when the mailbox is closed and empty."""
        while not self._messages:
            if self._is_closed:
                return None
            await self._arrived.wait()
        messages, self._messages = list(self._messages.values()), {}
        if not self._is_closed:
            self._arrived = trio.Event()
        return messages
