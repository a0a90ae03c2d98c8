"""Which database the index has. A backend is imported only where it is chosen."""

from contextlib import AbstractAsyncContextManager
from pathlib import Path

from ..config.choice import IndexBackend
from .index import Index


def open_index(
    kind: IndexBackend, folder: Path, *, is_synchronous: bool = True, readers: int = 4
) -> AbstractAsyncContextManager[Index]:
    """Return the context in which the index is open. The memory backend uses none of the other options.

    `folder` is where the database lies; `is_synchronous` whether each commit survives a loss of power;
    `readers` how many functions may read at the same time.
    Raises IncompatibleDatabaseVersion, or DatabaseError with the reason.
    """
    match kind:
        case IndexBackend.SQLITE:
            from .sqlite import open_sqlite_index

            return open_sqlite_index(folder, is_synchronous=is_synchronous, readers=readers)
        case IndexBackend.MEMORY:
            from .memory import open_memory_index

            return open_memory_index()
