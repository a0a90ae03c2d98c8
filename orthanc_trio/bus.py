"""The one way events go from those who act to those who watch.

`publish` is synchronous and never waits. A subscriber owns a mailbox; what it does not read in time is
conflated there, never queued without bound.
"""

from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from typing import Generic, TypeVar

import trio

from .model.event import Event

MessageT = TypeVar("MessageT")


class EventBus:
    """Tells every subscriber of every event, in the order of publication, within `publish`."""

    def __init__(self) -> None:
        self._subscribers: list[Callable[[Event], None]] = []

    def publish(self, event: Event) -> None:
        """Hand `event` to all subscribers. A subscriber must not wait and must not raise."""
        for subscriber in tuple(self._subscribers):
            subscriber(event)

    @contextmanager
    def subscribed(self, subscriber: Callable[[Event], None]) -> Iterator[None]:
        """Call `subscriber` with each event while the context is open."""
        self._subscribers.append(subscriber)
        try:
            yield
        finally:
            self._subscribers.remove(subscriber)


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
