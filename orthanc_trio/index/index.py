"""The asynchronous face of the index."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol, TypeVar

from .transaction import ReadTransaction, Transaction

if TYPE_CHECKING:
    from outcome import Outcome

T = TypeVar("T")


class Index(Protocol):
    """Owns a database; runs functions of a transaction on its threads.

    Errors of the database arrive as DatabaseError or FullStorage, never as those of its library.
    """

    async def read(self, function: Callable[[ReadTransaction], T], *, is_quick: bool = False) -> T:
        """Run `function` on a consistent view and return its result. May run at the same time as others.

        `is_quick` says that it is likely a matter of microseconds, as a look-up of one resource: then it is
        first tried in the thread of the caller, within a small budget of work, since a hop to another thread
        costs more. What exceeds the budget is run again, so the function does nothing but read.
        """
        ...

    def read_at_once(self, function: Callable[[ReadTransaction], T]) -> "Outcome[T] | None":
        """Do so in the thread of the event loop alone; None if that exceeds the budget."""
        ...

    async def write(self, function: Callable[[Transaction], T]) -> T:
        """Run `function` alone, and return its result when its effect is durable.

        Functions that wait share one commit (group commit), each in its own savepoint: one that raises
        leaves no trace and does not disturb the others. A caller that is cancelled while its function waits
        may or may not see it done; one that is cancelled after the commit has begun gets its result.
        """
        ...

    def write_here(self, function: Callable[[Transaction], T]) -> T:
        """Do the same as `write`, for a thread other than that of the event loop, which it blocks."""
        ...
