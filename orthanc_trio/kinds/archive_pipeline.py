"""Work that is done at the same time and taken in order."""

from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from typing import Generic, TypeVar

import trio

U = TypeVar("U")
R = TypeVar("R")


class _Slot(Generic[R]):
    """The place of one result."""

    def __init__(self) -> None:
        self.is_ready = trio.Event()
        self.result: R | Exception | None = None


async def run_in_order(
    units: Iterable[U],
    make: Callable[[U], Awaitable[R]],
    take: Callable[[R], Awaitable[None]],
    *,
    window: int,
) -> None:
    """Make a result of each unit at the same time; take the results one by one in the order of the units.

    At most `window` results are in the making or wait to be taken. `units` is iterated as they are started.
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
    window: int,
) -> None:
    slots: deque[_Slot[R]] = deque()
    for unit in units:
        slot: _Slot[R] = _Slot()
        nursery.start_soon(_fill, slot, make, unit)
        slots.append(slot)
        if len(slots) == window:
            await _take_first(slots, take)
    while slots:
        await _take_first(slots, take)


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
