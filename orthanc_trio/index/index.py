"""The asynchronous face of the index."""

from collections.abc import Callable
from typing import Protocol, TypeVar

from .transaction import ReadTransaction, Transaction

T = TypeVar("T")


class Index(Protocol):
    """Owns a database; runs functions of a transaction on its threads.

    Errors of the database arrive as DatabaseError or FullStorage, never as those of its library.
    """

    async def read(self, function: Callable[[ReadTransaction], T]) -> T:
        """Run `function` on a consistent view and return its result. May run at the same time as others."""
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
