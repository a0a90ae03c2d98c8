"""Long computations on the event loop, done in turns with all other tasks."""

from time import perf_counter

import trio

_TURN_S = 0.003


class Pace:
    """Gives way when the current turn has been long enough."""

    def __init__(self) -> None:
        self._end = perf_counter() + _TURN_S

    async def give_way(self) -> None:
        """Let other tasks run if this one has run for some milliseconds; else return at once."""
        if perf_counter() >= self._end:
            await trio.lowlevel.checkpoint()
            self._end = perf_counter() + _TURN_S
