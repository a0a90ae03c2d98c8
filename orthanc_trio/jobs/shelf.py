"""Which finished outputs are kept. It decides and never waits: pure, synchronous, without a clock.

Rules:
1. Those used last are kept, as many as the limits of files and bytes allow.
2. The one used last is never too large: it is what a client is about to fetch.
3. Age counts from the end of the job. Use does not prolong it.
"""

from datetime import datetime, timedelta

from msgspec import Struct


class OutputLimits(Struct, frozen=True, kw_only=True):
    """How many outputs are kept, and how long. 0 is no limit of `bytes` or `age_s`."""

    files: int
    bytes: int = 0
    age_s: float = 0


class _Item(Struct, frozen=True):
    size: int
    finished: datetime


class Shelf:
    """The finished files by name, least recently used first."""

    def __init__(self, limits: OutputLimits) -> None:
        self._limits = limits
        self.has_expiry = limits.age_s > 0
        """Whether files get too old."""
        self._age = timedelta(seconds=limits.age_s)
        self._items: dict[str, _Item] = {}
        self._size = 0

    def __contains__(self, file: str) -> bool:
        return file in self._items

    def put(self, file: str, size: int, finished: datetime) -> None:
        """Keep a file of `size` bytes, of a job that ended at `finished`, as the one used last."""
        if file in self._items:
            self.discard(file)
        self._items[file] = _Item(size, finished)
        self._size += size

    def touch(self, file: str) -> None:
        """Note that a file is being used."""
        self._items[file] = self._items.pop(file)

    def discard(self, file: str) -> None:
        """Take a file off. Safe to repeat."""
        item = self._items.pop(file, None)
        if item is not None:
            self._size -= item.size

    def take_surplus(self) -> list[str]:
        """Take off the files beyond the limits of number and bytes, and return them."""
        surplus: list[str] = []
        items, limits = self._items, self._limits
        while len(items) > limits.files or (0 < limits.bytes < self._size and len(items) > 1):
            file = next(iter(items))
            self.discard(file)
            surplus.append(file)
        return surplus

    def take_expired(self, now: datetime) -> list[str]:
        """Take off the files that are too old, and return them."""
        if not self.has_expiry:
            return []
        born_before = now - self._age
        expired = [file for file, item in self._items.items() if item.finished <= born_before]
        for file in expired:
            self.discard(file)
        return expired

    def next_expiry(self) -> datetime | None:
        """Return when the first file gets too old; None if none ever does."""
        if not self.has_expiry or not self._items:
            return None
        return min(item.finished for item in self._items.values()) + self._age
