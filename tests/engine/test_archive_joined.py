"""Files that are stored deflated go into archives as they are, whatever their size."""

import csv
import gc
import hashlib
import io
import os
import uuid
import zipfile
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
import trio
import trio.testing

from orthanc_trio import deflate
from orthanc_trio.dicom.parse import ParsedInstance, parse_instance
from orthanc_trio.extent import Chunk
from orthanc_trio.kinds.archive import ArchiveArgs
from orthanc_trio.model.errors import CannotWriteFile, CorruptedFile, InexistentFile
from orthanc_trio.model.job import Continue
from orthanc_trio.model.resource import Attachment, AttachmentType, Compression, ResourceLevel
from orthanc_trio.storage.area import StorageArea
from orthanc_trio.storage.filesystem import FileSystemArea
from orthanc_trio.storage.memory import MemoryArea
from tests.engine.test_archive_kind import Context, Library, add, id_of, opened_library, run
from tests.support.dicom import make_instance

STUDY, INSTANCE = ResourceLevel.STUDY, ResourceLevel.INSTANCE
SIZES = (20 << 20, 0, 300_000, 400_000, 0)
NOISE = Random(2).randbytes(40 << 20)


@pytest.fixture(params=["memory", "files"])
def area(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[StorageArea]:
    """One whose files the kernel can copy, and one that has none."""
    if request.param == "memory":
        yield MemoryArea()
        return
    files = FileSystemArea(tmp_path / "storage", is_synchronous=False)
    yield files
    files.close()


async def store_deflated(
    library: Library, number: int, size: int = 0, *, lost: int = 0
) -> tuple[ParsedInstance, bytes, bytes]:
    """Store a file of noise, without the last `lost` bytes; return it and its stream too."""
    head = make_instance(instance=number)
    data = head + NOISE[len(head) : size]
    stream = deflate.deflate(data)
    key = str(uuid.uuid4())
    await library.services.storage.run(lambda area: area.create(key, stream[: len(stream) - lost]))
    instance = parse_instance(data)
    file = Attachment(
        type=AttachmentType.DICOM,
        uuid=key,
        size=len(stream),
        uncompressed_size=len(data),
        compression=Compression.DEFLATE,
        crc32=deflate.crc32(data),
    )
    await library.services.index.write(lambda tx: add(tx, instance, file))
    return instance, data, stream


def raw_member(path: Path, info: zipfile.ZipInfo) -> bytes:
    """Return the bytes of a member as they stand in the archive, behind a header without extra field."""
    with path.open("rb") as file:
        file.seek(info.header_offset + 30 + len(info.filename))
        return file.read(info.compress_size)


@pytest.mark.parametrize("kind_name", ["Archive", "Media"])
@pytest.mark.parametrize("has_manifest", [False, True])
async def test_a_stored_stream_is_the_member(
    tmp_path: Path, area: StorageArea, kind_name: str, has_manifest: bool
) -> None:
    async with opened_library(area=area) as library:
        stored = [await store_deflated(library, n, size) for n, size in enumerate((0, 40 << 20, 0, 17 << 20))]
        args = ArchiveArgs(resources=(id_of(stored[0][0], STUDY),), has_manifest=has_manifest)
        context = Context(tmp_path)
        _, steps = await run(library.kinds[kind_name], context, args, crash_each_step=True)
        assert steps > 1
    path = context.output_path("archive")
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        members = archive.infolist()[:4]
        for (_, data, stream), info in zip(stored, members, strict=True):
            assert (info.flag_bits, info.file_size, info.compress_size) == (0, len(data), len(stream))
            assert raw_member(path, info) == stream
        if has_manifest:
            rows = list(csv.DictReader(io.StringIO(archive.read("manifest.csv").decode())))
            checksums = [hashlib.sha256(data).hexdigest() for _, data, _ in stored]
            assert [row["SHA256"] for row in rows[:4]] == checksums
        assert ("DICOMDIR" in archive.namelist()) == (kind_name == "Media")


@pytest.mark.parametrize("size", [100_000, 17 << 20])
async def test_a_stream_that_is_cut_off_fails_the_job(tmp_path: Path, area: StorageArea, size: int) -> None:
    async with opened_library(area=area) as library:
        instance, _, _ = await store_deflated(library, 1, size, lost=9)
        args = ArchiveArgs(resources=(id_of(instance, STUDY),))
        with pytest.raises((CorruptedFile, InexistentFile)):
            await run(library.kinds["Archive"], Context(tmp_path), args)


async def test_a_stream_that_vanishes_in_the_middle_fails_the_job(tmp_path: Path, area: StorageArea) -> None:
    async with opened_library(area=area) as library:
        instance, _, _ = await store_deflated(library, 1, 40 << 20)
        args, context, kind = (
            ArchiveArgs(resources=(id_of(instance, STUDY),)),
            Context(tmp_path),
            library.kinds["Archive"],
        )
        plan = await kind.plan(context, args)
        outcome = await kind.step(context, args, plan, kind.start(plan))
        assert isinstance(outcome, Continue)
        await library.remove(id_of(instance, INSTANCE), INSTANCE)
        with pytest.raises(InexistentFile):
            await kind.step(context, args, outcome.plan, outcome.cursor)


async def test_streams_go_to_a_reader_too(tmp_path: Path, area: StorageArea) -> None:
    async with opened_library(area=area) as library, trio.open_nursery() as nursery:
        stored = [await store_deflated(library, number, size) for number, size in enumerate(SIZES)]
        instance = stored[0][0]
        args = ArchiveArgs(resources=(id_of(instance, STUDY),))
        sink, source = trio.open_memory_channel[Chunk](0)

        async def make() -> None:
            async with sink:
                await run(library.kinds["Archive"], Context(tmp_path, sink), args)

        nursery.start_soon(make)
        received = b"".join([bytes(chunk) async for chunk in source])
    with zipfile.ZipFile(io.BytesIO(received)) as archive:
        assert [archive.read(name) for name in archive.namelist()] == [data for _, data, _ in stored]


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.parametrize("sink_kind", ["file", "reader who leaves"])
async def test_no_file_stays_open(tmp_path: Path, area: StorageArea, sink_kind: str) -> None:
    async with opened_library(area=area) as library:
        stored = [await store_deflated(library, number, 300_000) for number in range(40)]
        args = ArchiveArgs(resources=(id_of(stored[0][0], STUDY),))
        gc.collect()  # what earlier tests have left
        before = open_descriptors()
        if sink_kind == "file":
            await run(library.kinds["Archive"], Context(tmp_path), args)
        else:
            sink, source = trio.open_memory_channel[Chunk](0)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(read_one, source)
                with pytest.raises(CannotWriteFile):
                    await run(library.kinds["Archive"], Context(tmp_path, sink), args)
        await trio.testing.wait_all_tasks_blocked()
        gc.collect()  # a traceback may hold one for a while
        assert open_descriptors() == before


async def read_one(source: trio.MemoryReceiveChannel[Chunk]) -> None:
    async with source:
        await source.receive()
