"""Work that is done at the same time and taken in order."""

from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from typing import Generic, Protocol, TypeVar

import trio
from msgspec import Struct


class Sized(Protocol):
    """A unit of work."""

    @property
    def size(self) -> int:
        """The bytes of input."""
        ...


U = TypeVar("U", bound=Sized)
R = TypeVar("R")


class Window(Struct, frozen=True):
    """How many units, and how many bytes of input, are under way at most. One unit always is."""

    units: int
    bytes: int


class _Slot(Generic[R]):
    """The place of one result."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.is_ready = trio.Event()
        self.result: R | Exception | None = None


async def run_in_order(
    units: Iterable[U],
    make: Callable[[U], Awaitable[R]],
    take: Callable[[R], Awaitable[None]],
    *,
    window: Window,
) -> None:
    """Make a result of each unit at the same time; take the results one by one in the order of the units.

    `window` bounds what is in the making or waits to be taken. `units` is iterated as they are started.
    Raises the first error of `make` (in the order of the units) or `take`; nothing runs on after that.
    """
    failure: Exception | None = None
    async with trio.open_nursery() as nursery:
        try:
            await _run(nursery, units, make, take, window)
        except Exception as error:
            failure = error
            nursery.cancel_scope.cancel()
    if failure is not None:
        raise failure


async def _run(
    nursery: trio.Nursery,
    units: Iterable[U],
    make: Callable[[U], Awaitable[R]],
    take: Callable[[R], Awaitable[None]],
    window: Window,
) -> None:
    slots: deque[_Slot[R]] = deque()
    for unit in units:
        while slots and (len(slots) >= window.units or _size(slots) + unit.size > window.bytes):
            await _take_first(slots, take)
        slot: _Slot[R] = _Slot(unit.size)
        nursery.start_soon(_fill, slot, make, unit)
        slots.append(slot)
    while slots:
        await _take_first(slots, take)


def _size(slots: deque[_Slot[R]]) -> int:
    return sum(slot.size for slot in slots)


async def _fill(slot: _Slot[R], make: Callable[[U], Awaitable[R]], unit: U) -> None:
    try:
        slot.result = await make(unit)
    except Exception as error:
        slot.result = error
    slot.is_ready.set()


async def _take_first(slots: deque[_Slot[R]], take: Callable[[R], Awaitable[None]]) -> None:
    slot = slots.popleft()
    await slot.is_ready.wait()
    if isinstance(slot.result, Exception):
        raise slot.result
    assert slot.result is not None
    await take(slot.result)
