"""Give memory that is free back to the system, again and again.

What a large job has used stays with the C library's allocator otherwise, in many small holes.
Source: malloc_trim(3).
"""

import ctypes
import time
from collections.abc import Callable
from typing import Final

import trio

from ..metrics import Metrics

PERIOD_S: Final = 30.0


class Trimming:
    """Returns free memory of the process every `PERIOD_S`; does nothing where the C library cannot."""

    def __init__(self, metrics: Metrics) -> None:
        self._duration = metrics.largest("orthanc_memory_trimming_duration_ms")
        self._limiter = trio.CapacityLimiter(1)

    async def run(self) -> None:
        """Trim forever, each time in a thread, which leaves the interpreter to the others."""
        trim = _find_trim()
        while trim is not None:
            await trio.sleep(PERIOD_S)
            started_s = time.perf_counter()
            await trio.to_thread.run_sync(trim, 0, limiter=self._limiter)
            self._duration.see_since(started_s)


def _find_trim() -> Callable[[int], int] | None:
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim.argtypes = [ctypes.c_size_t]
    return trim
