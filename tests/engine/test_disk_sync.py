"""Waiting for the disk: by the kernel and in a thread, alone and together, with errors and cancels."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio
import trio.testing

from orthanc_trio.jobs import disk_sync
from orthanc_trio.jobs.disk_sync import DiskSync


@pytest.fixture(params=["quickest", "thread"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "thread":
        monkeypatch.setitem(__import__("sys").modules, "caio", None)
    return str(request.param)


@pytest.fixture
def file(tmp_path: Path) -> Iterator[int]:
    descriptor = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    yield descriptor
    os.close(descriptor)


@pytest.mark.usefixtures("way")
async def test_all_who_wait_are_told(file: int) -> None:
    sync, told = DiskSync(file), []

    async def write(number: int) -> None:
        os.pwrite(file, bytes([number]), number)
        await sync.wait()
        told.append(number)

    async with trio.open_nursery() as nursery:
        for number in range(20):
            nursery.start_soon(write, number)
    assert sorted(told) == list(range(20))
    await sync.wait()


async def test_who_comes_while_the_disk_is_waited_for_shares_the_next_wait(file: int) -> None:
    flushes: list[trio.Event] = []

    async def flush(_: int) -> None:
        flushes.append(trio.Event())
        await flushes[-1].wait()

    sync, told = DiskSync(file, flush), []

    async def wait(name: str) -> None:
        await sync.wait()
        told.append(name)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait, "first")
        await trio.testing.wait_all_tasks_blocked()
        for name in ("second", "third"):
            nursery.start_soon(wait, name)
        await trio.testing.wait_all_tasks_blocked()
        assert len(flushes) == 1
        flushes[0].set()
        await trio.testing.wait_all_tasks_blocked()
        assert (told, len(flushes)) == (["first"], 2)
        flushes[1].set()
    assert (sorted(told), len(flushes)) == (["first", "second", "third"], 2)


@pytest.mark.usefixtures("way")
async def test_a_cancelled_wait_leaves_the_others(file: int) -> None:
    sync, told = DiskSync(file), []

    async def wait() -> None:
        await sync.wait()
        told.append(True)

    await sync.wait()
    async with trio.open_nursery() as nursery:
        for _ in range(5):
            with trio.CancelScope() as scope:
                async with trio.open_nursery() as inner:
                    inner.start_soon(sync.wait)
                    nursery.start_soon(wait)
                    await trio.lowlevel.checkpoint()
                    scope.cancel()
    assert told == [True] * 5


@pytest.mark.usefixtures("way")
async def test_an_error_is_raised_to_all_and_stays() -> None:
    reading, writing = os.pipe()  # of which nothing can be on a disk
    try:
        sync, errors = DiskSync(writing), []

        async def wait() -> None:
            try:
                await sync.wait()
            except OSError as exc:
                errors.append(exc)

        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(wait)
        await wait()
        assert len(errors) == 4
    finally:
        os.close(reading)
        os.close(writing)


@pytest.mark.skipif(not os.path.exists("/proc/sys/fs/aio-max-nr"), reason="needs AIO of Linux")
async def test_where_the_kernel_can_no_thread_is_used(file: int) -> None:
    assert isinstance(await trio.to_thread.run_sync(disk_sync.quickest_flush), disk_sync.KernelFlush)
    sync = DiskSync(file)
    await sync.wait()
    before = trio.to_thread.current_default_thread_limiter().statistics()
    await sync.wait()
    assert trio.to_thread.current_default_thread_limiter().statistics() == before
