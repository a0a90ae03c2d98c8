"""A Storage around an area that the test has made."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from orthanc_trio.storage.area import Storage, StorageArea


@asynccontextmanager
async def opened_storage(area: StorageArea, *, threads: int = 1) -> AsyncIterator[Storage]:
    storage = Storage(area, threads=threads)
    try:
        yield storage
    finally:
        await storage.close()  # its threads would keep all files in memory for the rest of the tests
