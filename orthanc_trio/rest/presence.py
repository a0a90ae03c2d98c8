"""What is done for a client as long as it is there."""

from collections.abc import Awaitable, Callable

import trio

Waiting = Callable[[], Awaitable[object]]


async def while_present(work: Waiting, wait_gone: Waiting) -> bool:
    """Do `work` until it ends or `wait_gone` returns; return whether it ended. Raises what `work` raises.

    Never a group: one of a cancel and of an error would be neither to those above.
    """
    failure: Exception | None = None
    is_done = False
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_cancel_after, wait_gone, nursery.cancel_scope)
        try:
            await work()
            is_done = True
        except Exception as error:
            failure = error
        nursery.cancel_scope.cancel()
    if failure is not None:
        raise failure
    return is_done


async def _cancel_after(wait: Waiting, scope: trio.CancelScope) -> None:
    await wait()
    scope.cancel()
