"""Worker processes: started late, killed on cancel, gone at the end."""

import math
import os
import signal

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from orthanc_trio.model.errors import InternalError
from orthanc_trio.workers import Workers, open_workers


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def loop_forever() -> None:
    while True:
        pass


async def test_no_process_is_started_before_there_is_work() -> None:
    async with open_workers(2) as workers:
        assert workers.count == 0
        assert await workers.run(os.getpid) != os.getpid()
        assert workers.count == 1


async def test_results_and_errors_come_back() -> None:
    async with open_workers(1) as workers:
        assert await workers.run(math.factorial, 5) == 120
        with pytest.raises(ValueError, match="factorial"):
            await workers.run(math.factorial, -1)


async def test_a_worker_that_dies_is_an_error_and_is_replaced() -> None:
    async with open_workers(1) as workers:
        with pytest.raises(InternalError):
            await workers.run(die)
        assert await workers.run(abs, -1) == 1


async def test_a_cancel_takes_effect_whatever_the_function_does() -> None:
    async with open_workers(1) as workers:
        await workers.run(abs, -1)  # the process is there
        with trio.move_on_after(0.1) as scope:
            await workers.run(loop_forever)
        assert scope.cancelled_caught
        assert await workers.run(abs, -2) == 2


async def test_no_more_processes_run_than_allowed() -> None:
    async def work(workers: Workers) -> None:
        pids.add(await workers.run(os.getpid))

    pids: set[int] = set()
    async with open_workers(1) as workers:
        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(work, workers)
            await wait_all_tasks_blocked()
        assert (len(pids), workers.count) == (1, 1)
