"""The way of a function from a task to a thread that waits for such, and of its result back.

A round trip costs one wake-up of the thread and one of the event loop, about half of what
`trio.to_thread.run_sync` does. Nothing here polls or delays.
"""

from collections.abc import Callable, Sequence
from queue import SimpleQueue
from threading import Lock
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

import trio

from .model.errors import OrthancError

if TYPE_CHECKING:
    from outcome import Outcome

T = TypeVar("T")
SubjectT = TypeVar("SubjectT")


class Call(Generic[SubjectT, T]):
    """A function that waits, and the task that waits for it. Who has begun it sets its `result`."""

    __slots__ = ("_claim", "_task", "function", "result")

    def __init__(self, function: Callable[[SubjectT], T]) -> None:
        self.function = function
        self.result: Outcome[T]
        self._task = trio.lowlevel.current_task()
        self._claim = Lock()  # taken once and for all, by who comes first

    def begin(self) -> bool:
        """Take the function. False if its caller was cancelled before."""
        return self._claim.acquire(blocking=False)

    def abandon(self, _raise_cancel: object) -> trio.lowlevel.Abort:
        """Give up waiting, unless the function was begun."""
        return trio.lowlevel.Abort.SUCCEEDED if self.begin() else trio.lowlevel.Abort.FAILED

    def wake(self) -> None:
        """Hand the result to the task. In the event loop."""
        trio.lowlevel.reschedule(self._task, self.result)


class CallQueue(Generic[SubjectT]):
    """Calls in the order in which they came. Made inside Trio; any number of threads may take.

    `refusal` is the error, without its traceback, of calls that come after the end.
    """

    def __init__(self, refusal: OrthancError) -> None:
        self._calls: SimpleQueue[Call[SubjectT, Any] | None] = SimpleQueue()
        self._token = trio.lowlevel.current_trio_token()
        self._refusal = refusal
        self._is_closed = False

    async def run(self, function: Callable[[SubjectT], T]) -> T:
        """Have a thread run `function`, and return its result or raise what it raised.

        A cancel before a thread takes the function means that it never runs; a later one waits for it, and
        the caller gets the result. Raises the refusal when the queue is closed.
        """
        await trio.lowlevel.checkpoint_if_cancelled()
        if self._is_closed:
            raise type(self._refusal)(self._refusal.details)
        call = Call(function)
        self._calls.put(call)
        return cast("T", await trio.lowlevel.wait_task_rescheduled(call.abandon))

    def close(self, threads: int) -> None:
        """Accept nothing more; as many threads get an empty list once all that waits is taken."""
        self._is_closed = True
        for _ in range(threads):
            self._calls.put(None)

    def take(self, most: int) -> list[Call[SubjectT, Any]]:
        """Block until there is a call, and return it with those that came meanwhile. Empty: the end."""
        taken: list[Call[SubjectT, Any]] = []
        while (call := self._calls.get()) is not None:
            if call.begin():
                taken.append(call)
                if len(taken) == most or self._calls.empty():
                    return taken
        if taken:
            self._calls.put(None)  # the end is for the next time
        return taken

    def deliver(self, calls: Sequence[Call[SubjectT, Any]]) -> None:
        """Wake the tasks of calls that have a result, all with one entry into the event loop."""
        self._token.run_sync_soon(_wake, calls)


def _wake(calls: Sequence[Call[Any, Any]]) -> None:
    for call in calls:
        call.wake()
