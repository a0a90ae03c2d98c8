"""Processes for CPU-bound work that holds the GIL for more than a few milliseconds.

A function that runs there is importable by name, and its arguments and result can be pickled.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final, TypeVar

import trio
import trio_parallel  # type: ignore[import-untyped]  # it has no type hints

from .model.errors import InternalError

T = TypeVar("T")

IDLE_TIMEOUT_S: Final = 600.0
CLOSE_TIMEOUT_S: Final = 5.0


class Workers:
    """At most `processes` processes, started when there is work; idle ones end after a while."""

    def __init__(self, context: trio_parallel.WorkerContext, processes: int) -> None:
        self._context = context
        self._limiter = trio.CapacityLimiter(processes)

    async def run(self, function: Callable[..., T], *args: Any) -> T:
        """Run `function` in a worker process and return its result, or raise what it raises.

        A cancel kills the process and so takes effect at once, whatever the function does. Raises
        InternalError if the process dies, for example for want of memory.
        """
        try:
            result: T = await self._context.run_sync(
                function, *args, kill_on_cancel=True, limiter=self._limiter
            )
        except trio_parallel.BrokenWorkerError as exc:
            raise InternalError("A worker process died") from exc
        return result

    @property
    def idle(self) -> int:
        """How many more calls of `run` would not have to wait."""
        return int(self._limiter.available_tokens)

    @property
    def count(self) -> int:
        """The number of processes that live now."""
        statistics = self._context.statistics()
        return int(statistics.idle_workers + statistics.running_workers)


@asynccontextmanager
async def open_workers(processes: int) -> AsyncIterator[Workers]:
    """Open the pool without starting a process. At the end all processes are closed, or killed."""
    async with trio_parallel.open_worker_context(
        idle_timeout=IDLE_TIMEOUT_S, grace_period=CLOSE_TIMEOUT_S
    ) as context:
        yield Workers(context, processes)
