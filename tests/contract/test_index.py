"""The contract of the index on every backend."""

from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from orthanc_trio.config.choice import IndexBackend
from orthanc_trio.index.index import Index
from orthanc_trio.index.opening import open_index

from .index import IndexContract


class TestMemoryIndex(IndexContract):
    def open(self, folder: Path) -> AbstractAsyncContextManager[Index]:
        return open_index(IndexBackend.MEMORY, folder)


class TestSqliteIndex(IndexContract):
    def open(self, folder: Path) -> AbstractAsyncContextManager[Index]:
        return open_index(IndexBackend.SQLITE, folder, is_synchronous=False, readers=2)


class TestSynchronousSqliteIndex(IndexContract):
    def open(self, folder: Path) -> AbstractAsyncContextManager[Index]:
        return open_index(IndexBackend.SQLITE, folder / "new" / "folder")


def test_an_index_of_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="oracle"):
        IndexBackend("oracle")
