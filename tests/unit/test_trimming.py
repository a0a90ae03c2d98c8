"""Free memory goes back to the system, and how long that takes is measured."""

import trio
from trio.testing import MockClock

from orthanc_trio.metrics import LIFE_S, Metrics
from orthanc_trio.services.trimming import PERIOD_S, Trimming


async def test_memory_is_trimmed_again_and_again(autojump_clock: MockClock) -> None:
    seen = trio.Event()

    def now() -> float:
        if trio.current_time() - started_s > 3 * PERIOD_S + LIFE_S:
            seen.set()
        return trio.current_time()

    started_s = trio.current_time()
    metrics = Metrics(now=now)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(Trimming(metrics).run)
        await seen.wait()
        nursery.cancel_scope.cancel()
    [sample] = metrics.samples()
    assert sample.name == "orthanc_memory_trimming_duration_ms"
    assert sample.value >= 0
    assert sample.time_s - started_s >= 3 * PERIOD_S
