"""A streamed archive is read as its reader reads: not ahead, and not into memory."""

import io
import threading
import zipfile
from pathlib import Path
from random import Random

import pytest
import trio
import trio.testing

from orthanc_trio.extent import Chunk
from orthanc_trio.kinds.archive import ArchiveArgs
from orthanc_trio.kinds.archive_pipeline import Window, run_in_order
from orthanc_trio.model.resource import ResourceLevel
from orthanc_trio.storage.memory import MemoryArea, MemoryBlob
from tests.engine.test_archive_kind import Context, id_of, opened_library, run
from tests.support.dicom import make_instance

MEBIBYTE = 1 << 20
NOISE = Random(1).randbytes(40 * MEBIBYTE)


class CountedArea(MemoryArea):
    """Counts the bytes that are read."""

    def __init__(self) -> None:
        super().__init__()
        self.read_bytes = 0
        self.lock = threading.Lock()

    def open(self, key: str, size: int) -> MemoryBlob:
        return CountedBlob(self, key, size)


class CountedBlob(MemoryBlob):
    def __init__(self, area: CountedArea, key: str, size: int) -> None:
        super().__init__(area, key, size)
        self._counted = area

    def read(self, offset: int = 0, size: int | None = None) -> bytes:
        data = super().read(offset, size)
        with self._counted.lock:
            self._counted.read_bytes += len(data)
        return data


@pytest.mark.parametrize(
    ("sizes", "at_most"),
    [
        ([MEBIBYTE] * 60, 16 * MEBIBYTE),
        ([9 * MEBIBYTE] * 7, 45 * MEBIBYTE),
        ([40 * MEBIBYTE] * 2, 16 * MEBIBYTE),
    ],
    ids=["small", "middle", "large"],
)
@pytest.mark.parametrize("has_manifest", [False, True])
async def test_a_reader_that_stops_stops_the_reading(
    tmp_path: Path, sizes: list[int], at_most: int, has_manifest: bool
) -> None:
    area = CountedArea()
    async with opened_library(area=area) as library, trio.open_nursery() as nursery:
        for number, size in enumerate(sizes, 1):
            head = make_instance(instance=number, rows=0)
            instance = await library.store(head + NOISE[len(head) : size])
        args = ArchiveArgs(resources=(id_of(instance, ResourceLevel.STUDY),), has_manifest=has_manifest)
        sink, source = trio.open_memory_channel[Chunk](0)

        async def make() -> None:
            async with sink:
                await run(library.kinds["Archive"], Context(tmp_path, sink), args)

        nursery.start_soon(make)
        received = bytearray(bytes(await source.receive()))
        assert area.read_bytes < sum(sizes)
        await trio.testing.wait_all_tasks_blocked(0.2)
        assert area.read_bytes <= at_most < sum(sizes)
        async for chunk in source:
            received += bytes(chunk)
        with zipfile.ZipFile(io.BytesIO(received)) as archive:
            assert archive.testzip() is None
            assert len(archive.namelist()) == len(sizes) + has_manifest


class Unit:
    def __init__(self, number: int, size: int) -> None:
        self.number = number
        self.size = size


@pytest.mark.parametrize(
    ("sizes", "most_units", "most_bytes"),
    [([1] * 20, 3, 3), ([4] * 10, 2, 8), ([50, 4, 50, 50, 4], 1, 50), ([0] * 9, 3, 0), ([], 0, 0)],
)
async def test_units_are_made_together_as_far_as_the_window_goes(
    sizes: list[int], most_units: int, most_bytes: int, autojump_clock: trio.testing.MockClock
) -> None:
    under_way: set[Unit] = set()
    seen = [(0, 0)]
    taken: list[int] = []

    async def make(unit: Unit) -> Unit:
        under_way.add(unit)
        seen.append((len(under_way), sum(each.size for each in under_way)))
        await trio.sleep(Random(unit.number).random())
        return unit

    async def take(unit: Unit) -> None:
        await trio.lowlevel.checkpoint()
        under_way.remove(unit)
        taken.append(unit.number)

    units = [Unit(number, size) for number, size in enumerate(sizes)]
    await run_in_order(units, make, take, window=Window(3, 10))
    assert taken == list(range(len(sizes)))
    assert max(count for count, _ in seen) == most_units
    assert max(size for _, size in seen) == most_bytes


async def test_the_first_error_ends_all(autojump_clock: trio.testing.MockClock) -> None:
    ended: list[int] = []

    async def make(unit: Unit) -> int:
        try:
            await trio.sleep(10 - unit.number)
            if unit.number in (1, 2):
                raise ValueError(unit.number)
            return unit.number
        finally:
            ended.append(unit.number)

    async def take(number: int) -> None:
        await trio.lowlevel.checkpoint()

    with pytest.raises(ValueError, match="1"):
        await run_in_order([Unit(n, 1) for n in range(9)], make, take, window=Window(4, 100))
    assert len(ended) <= 6
