"""Every storage backend against the contract."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from orthanc_trio.config.choice import StorageBackend
from orthanc_trio.metrics import Metrics
from orthanc_trio.model.errors import InternalError
from orthanc_trio.storage.area import StorageArea
from orthanc_trio.storage.filesystem import FileSystemArea
from orthanc_trio.storage.memory import MemoryArea
from orthanc_trio.storage.metered import MeteredArea
from orthanc_trio.storage.opening import open_storage

from .storage import StorageContract, new_key


class TestMemoryArea(StorageContract):
    @pytest.fixture
    def area(self) -> StorageArea:
        return MemoryArea()


class TestMeteredArea(StorageContract):
    @pytest.fixture
    def area(self) -> StorageArea:
        return MeteredArea(MemoryArea(), Metrics())


class TestFileSystemArea(StorageContract):
    @pytest.fixture(params=[False, True], ids=["lazy", "synchronous"])
    def area(self, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[StorageArea]:
        area = FileSystemArea(tmp_path / "storage", is_synchronous=request.param)
        yield area
        area.close()


@pytest.mark.parametrize("kind", list(StorageBackend))
async def test_an_opened_storage_runs_functions_of_its_area(kind: StorageBackend, tmp_path: Path) -> None:
    key = new_key()
    async with open_storage(kind, tmp_path / "storage", is_synchronous=False, threads=2) as storage:
        await storage.run(lambda area: area.create(key, b"data"))
        assert await storage.run(lambda area: area.open(key, 4).read()) == b"data"
        assert await storage.run_long(lambda area: area.open(key, 4).size) == 4
    with pytest.raises(InternalError, match="closed"):
        await storage.run(lambda area: area.delete(key))


def test_what_is_read_near_is_counted_if_it_is_there() -> None:
    metrics = Metrics()
    area, key = MeteredArea(MemoryArea(), metrics), new_key()
    area.create(key, b"data")
    assert (area.read_near(key, 4), area.read_near(key, 5)) == (b"data", None)
    assert metrics.counter("orthanc_storage_read_bytes").value == 4
