"""Waiting for the disk without a thread: one wait for all who ask meanwhile.

Where Linux can (`IOCB_CMD_FDSYNC`, 4.18), the kernel tells the event loop when the bytes are on the disk; a
thread that does nothing but wait would cost two wake-ups more, and its turns of the lock of the interpreter.
"""

import os
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final

import trio

if TYPE_CHECKING:
    from caio.linux_aio import Context

_MAX_REQUESTS: Final = 8
"""One is under way at a time; those of callers that were cancelled meanwhile may be, too."""

Flush = Callable[[int], Awaitable[None]]
"""Returns when what was written to a file is on the disk. Raises OSError."""


class DiskSync:
    """Waits until what was written to an open file is on the disk.

    After an error nothing is known of what was written before (a second try would report success), so all
    later waits raise it, too.
    """

    def __init__(self, descriptor: int, flush: Flush | None = None) -> None:
        """Without `flush` the quickest that the system offers is taken, once it is needed."""
        self._descriptor = descriptor
        self._flush = flush
        self._asked = 0
        self._answered = 0
        self._is_flushing = False
        self._next_turn = trio.lowlevel.ParkingLot()
        self._error: OSError | None = None

    async def wait(self) -> None:
        """Return when all that was written before the call is on the disk. Raises OSError."""
        self._asked += 1
        mine = self._asked
        while self._answered < mine:
            if self._error is not None:
                raise OSError(*self._error.args)
            if self._is_flushing:
                await self._next_turn.park()
            else:
                await self._flush_for_all()

    async def _flush_for_all(self) -> None:
        covered = self._asked
        self._is_flushing = True
        try:
            if self._flush is None:
                self._flush = await trio.to_thread.run_sync(quickest_flush, limiter=trio.CapacityLimiter(1))
            await self._flush(self._descriptor)
            self._answered = covered
        except OSError as exc:
            self._error = exc
        finally:
            self._is_flushing = False
            self._next_turn.unpark_all()


class KernelFlush:
    """A flush by the kernel. Only one task may wait at a time."""

    def __init__(self, context: "Context") -> None:
        from caio import linux_aio

        self._context = context
        self._operation = linux_aio.Operation.fdsync

    async def __call__(self, descriptor: int) -> None:
        """Return when what was written is on the disk. Raises OSError."""
        context = self._context
        results: list[int] = []
        operation = self._operation(descriptor)
        operation.set_callback(results.append)
        try:
            context.submit(operation)
        except (OSError, SystemError, ValueError):  # the kernel or the file system cannot do it so
            await flush_in_thread(descriptor)
            return
        while not results:
            await trio.lowlevel.wait_readable(context.fileno)
            context.poll()
            context.process_events()
        try:
            operation.get_value()
        except SystemError as exc:  # so caio reports an error of the kernel, with its text
            raise OSError(str(exc)) from exc


async def flush_in_thread(descriptor: int) -> None:
    """Do so in a thread."""
    await trio.to_thread.run_sync(
        os.fdatasync, descriptor, abandon_on_cancel=True, limiter=trio.CapacityLimiter(1)
    )


def quickest_flush() -> Flush:
    """Return the quickest flush of this system. Blocks: the library is large, and imported only here."""
    try:
        from caio import linux_aio

        return KernelFlush(linux_aio.Context(_MAX_REQUESTS))
    except (ImportError, OSError, SystemError):
        return flush_in_thread
