"""The way of a function from a task to a thread that waits for such, and of its result back.

A round trip costs one wake-up of the thread and one of the event loop, about half of what
`trio.to_thread.run_sync` does. Nothing here polls or delays.
"""

from collections import deque
from collections.abc import Callable, Sequence
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

    Each idle thread has a bell of its own, and the one that was idle last is rung first: a call wakes one
    thread and no other, since each that wakes costs a turn of the lock of the interpreter. `refusal` is the
    error, without its traceback, of calls that come after the end.
    """

    def __init__(self, refusal: OrthancError) -> None:
        self._mutex = Lock()
        self._calls: deque[Call[SubjectT, Any]] = deque()
        self._bells: list[Lock] = []
        """Those of the idle threads; a bell is rung by its release."""
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
        with self._mutex:
            self._calls.append(call)
            bell = self._bells.pop() if self._bells else None
        if bell is not None:
            bell.release()
        return cast("T", await trio.lowlevel.wait_task_rescheduled(call.abandon))

    def close(self) -> None:
        """Accept nothing more; each thread gets an empty list once all that waits is taken."""
        with self._mutex:
            self._is_closed = True
            bells, self._bells = self._bells, []
        for bell in bells:
            bell.release()

    def take(self, most: int) -> list[Call[SubjectT, Any]]:
        """Block until there is a call, and return it with those that came meanwhile. Empty: the end."""
        while True:
            with self._mutex:
                taken = self._begin(most)
                if taken or self._is_closed:
                    return taken
                bell = Lock()
                bell.acquire()
                self._bells.append(bell)
            bell.acquire()

    def _begin(self, most: int) -> list[Call[SubjectT, Any]]:
        taken: list[Call[SubjectT, Any]] = []
        while self._calls and len(taken) < most:
            call = self._calls.popleft()
            if call.begin():
                taken.append(call)
        return taken

    def deliver(self, calls: Sequence[Call[SubjectT, Any]]) -> None:
        """Wake the tasks of calls that have a result, all with one entry into the event loop."""
        self._token.run_sync_soon(_wake, calls)


def _wake(calls: Sequence[Call[Any, Any]]) -> None:
    for call in calls:
        call.wake()
