"""The heap is joined to huge pages where that is possible, and stays what it was."""

import ctypes
import mmap
import re
import sys
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from orthanc_trio.services import huge_pages
from orthanc_trio.services.huge_pages import BUSY_SHARE, HUGE_BYTES, PERIOD_S, HugePages, collapse_heap


def huge_bytes_at(address: int) -> int:
    """Return how much of the mapping at an address lies in huge pages."""
    text = Path("/proc/self/smaps").read_text()
    for part in re.split(r"(?m)^(?=[0-9a-f]+-[0-9a-f]+ )", text):
        found = re.match(r"([0-9a-f]+)-([0-9a-f]+) ", part)
        if found and int(found[1], 16) <= address < int(found[2], 16):
            [kilobytes] = re.findall(r"AnonHugePages: +(\d+) kB", part)
            return int(kilobytes) << 10
    raise AssertionError("no such mapping")


@pytest.mark.skipif(sys.platform != "linux", reason="of Linux")
def test_memory_in_use_is_joined_and_keeps_its_content() -> None:
    used, unused = (mmap.mmap(-1, 4 * HUGE_BYTES, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) for _ in range(2))
    content = bytes(range(256)) * (4 * HUGE_BYTES // 256)
    used[:] = content
    unused[:10] = b"x" * 10
    address = ctypes.addressof(ctypes.c_char.from_buffer(used))
    joined = collapse_heap()
    if not joined:
        pytest.skip("this kernel joins no pages")
    assert huge_bytes_at(address + HUGE_BYTES) >= 3 * HUGE_BYTES
    assert used[:] == content
    assert unused[:11] == b"x" * 10 + b"\0"


async def test_only_a_busy_server_joins_its_pages(autojump_clock: MockClock) -> None:
    share, joined = 0.0, []
    has_joined = trio.Event()

    def join() -> None:
        joined.append(share)
        trio.from_thread.run_sync(has_joined.set)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(HugePages(lambda: share * trio.current_time(), join).run)
        await trio.sleep(10 * PERIOD_S)
        share = BUSY_SHARE * 2
        await has_joined.wait()
        nursery.cancel_scope.cancel()
    assert joined == [BUSY_SHARE * 2]


def test_where_the_system_has_no_such_thing_nothing_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise FileNotFoundError

    monkeypatch.setattr(huge_pages, "open", refuse, raising=False)
    assert collapse_heap() == 0
