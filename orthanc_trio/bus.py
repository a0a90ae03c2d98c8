"""The one way events go from those who act to those who watch.

`publish` is synchronous and never waits. A subscriber owns a mailbox; what it does not read in time is
conflated there, never queued without bound.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from .model.event import Event


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
