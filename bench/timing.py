"""Times of single requests."""

import time
from collections.abc import Callable


def timed_ms(action: Callable[[], object]) -> float:
    """Return the milliseconds that `action` took."""
    begin = time.perf_counter()
    action()
    return 1000 * (time.perf_counter() - begin)


def p99(times: list[float]) -> float:
    """Return the time that 99 of 100 do not exceed."""
    return sorted(times)[len(times) * 99 // 100]
