"""Choose and open a storage backend: the only place that knows all of them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import trio

from ..config.choice import StorageBackend
from ..metrics import Metrics
from .area import Storage, StorageArea
from .filesystem import FileSystemArea
from .memory import MemoryArea
from .metered import MeteredArea


@asynccontextmanager
async def open_storage(
    kind: StorageBackend,
    folder: Path,
    *,
    is_synchronous: bool,
    threads: int,
    metrics: Metrics | None = None,
) -> AsyncIterator[Storage]:
    """Open the storage area in `folder` (unused by the one in memory) with `threads` storage threads.

    What it does is recorded in `metrics`, if given.
    Raises FileStorageCannotWrite if the folder cannot be used.
    """
    match kind:
        case StorageBackend.MEMORY:
            async with _opened(MemoryArea(), threads, metrics) as storage:
                yield storage
        case StorageBackend.FILESYSTEM:
            area = await trio.to_thread.run_sync(
                partial(FileSystemArea, folder, is_synchronous=is_synchronous),
                limiter=trio.CapacityLimiter(1),
            )
            try:
                async with _opened(area, threads, metrics) as storage:
                    yield storage
            finally:
                area.close()


@asynccontextmanager
async def _opened(area: StorageArea, threads: int, metrics: Metrics | None) -> AsyncIterator[Storage]:
    storage = Storage(area if metrics is None else MeteredArea(area, metrics), threads=threads)
    try:
        yield storage
    finally:
        await storage.close()
