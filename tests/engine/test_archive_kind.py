"""Archive and Media jobs on the memory backends, step by step, as the engine drives them."""

import io
import os
import pickle
import uuid
import zipfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import pydicom
import pytest
import trio
import trio.testing

from orthanc_trio.dicom.parse import ParsedInstance, parse_instance
from orthanc_trio.extent import Chunk
from orthanc_trio.index.memory import open_memory_index
from orthanc_trio.index.transaction import Transaction
from orthanc_trio.jobs.kind import JobKind
from orthanc_trio.kinds import KindServices, archive_step, archive_whole, discover
from orthanc_trio.kinds.archive import ArchiveArgs
from orthanc_trio.kinds.archive_media import write_directory
from orthanc_trio.kinds.archive_writer import ArchiveCursor
from orthanc_trio.model.errors import (
    BadFileFormat,
    CannotWriteFile,
    InexistentFile,
    InexistentItem,
    UnknownResource,
)
from orthanc_trio.model.job import Continue, Done, RetryAfter
from orthanc_trio.model.resource import Attachment, AttachmentType, Metadata, ResourceLevel
from orthanc_trio.storage.area import StorageArea
from orthanc_trio.storage.memory import MemoryArea
from tests.support.dicom import ABSENT, make_dataset, make_instance, make_series, write
from tests.support.storage import opened_storage

PATIENT, STUDY, SERIES, INSTANCE = ResourceLevel
NOW = datetime(2030, 4, 5, 6, 7, 8, tzinfo=UTC)
T = TypeVar("T")


class Context:
    """The engine's side of one job."""

    def __init__(self, folder: Path, sink: trio.MemorySendChannel[Chunk] | None = None) -> None:
        self.job_id = "a5a8e1e6-6d28-4b1e-9d58-6a4b8f6a3c11"
        self.sink: trio.abc.SendChannel[Chunk] | None = sink
        self.folder = folder

    def report(self, done: float, total: float, content: dict[str, Any] | None = None) -> None:
        pass

    async def checkpoint(self, _cursor: ArchiveCursor) -> None:
        await trio.lowlevel.checkpoint()

    def output_path(self, key: str) -> Path:
        return self.folder / f"{self.job_id}.{key}"

    async def in_worker(self, function: Callable[..., T], *args: Any) -> T:
        await trio.lowlevel.checkpoint()
        copied, arguments = pickle.loads(pickle.dumps((function, args)))
        result: T = copied(*arguments)
        return result


class Library:
    """Stored instances, and the kinds that make archives of them."""

    def __init__(self, services: KindServices, area: StorageArea) -> None:
        self.services = services
        self.area = area
        self.kinds: dict[str, JobKind[Any, Any, Any]] = {kind.name: kind for kind in discover(services)}

    async def store(self, data: bytes, *, size: int | None = None) -> ParsedInstance:
        """Store a file; `size` bytes of it, padded with zeros."""
        data = data.ljust(size or 0, b"\0")
        key = str(uuid.uuid4())
        await self.services.storage.run(lambda area: area.create(key, data))
        instance = parse_instance(data)
        file = Attachment(type=AttachmentType.DICOM, uuid=key, size=len(data), uncompressed_size=len(data))
        await self.services.index.write(lambda tx: add(tx, instance, file))
        return instance

    async def check(self, kind: JobKind[Any, Any, Any], args: ArchiveArgs) -> dict[str, Any]:
        """Return what a check finds."""
        look = await kind.check(args)
        assert not isinstance(look, dict)
        content: dict[str, Any] = await self.services.index.read(look.content)
        look.leave_for_later()
        return content

    async def remove(self, id: str, level: ResourceLevel) -> None:
        """Remove a file behind the back of the index."""
        facts = await self.services.index.read(lambda tx: tx.facts(id, level))
        assert facts is not None
        assert facts.dicom is not None
        self.area.delete(facts.dicom.uuid)


def add(tx: Transaction, instance: ParsedInstance, file: Attachment) -> None:
    parent: int | None = None
    for level in ResourceLevel:
        id = instance.identifiers.orthanc_id(level)
        row = tx.find(id)
        names = instance.tags[PATIENT] if level is STUDY else None
        parent = row.row if row else tx.create(level, id, parent, instance.tags[level], names)
    assert parent is not None
    metadata: dict[int, str] = {Metadata.TRANSFER_SYNTAX: instance.transfer_syntax}
    if instance.index_in_series is not None:
        metadata[Metadata.INDEX_IN_SERIES] = instance.index_in_series
    tx.set_metadata(parent, metadata)
    tx.attach(parent, file)


@asynccontextmanager
async def opened_library(
    *, is_synchronous: bool = False, area: StorageArea | None = None
) -> AsyncIterator[Library]:
    area = area or MemoryArea()
    async with opened_storage(area, threads=2) as storage, open_memory_index() as index:
        services = KindServices(
            index=index,
            storage=storage,
            is_synchronous=is_synchronous,
            cores=2,
            now=lambda: NOW,
        )
        yield Library(services, area)


def id_of(instance: ParsedInstance, level: ResourceLevel) -> str:
    return instance.identifiers.orthanc_id(level)


async def run(
    kind: JobKind[Any, Any, Any], context: Context, args: ArchiveArgs, *, crash_each_step: bool = False
) -> tuple[Done, int]:
    """Run a job to its end through saved values; return how it ended and the number of steps."""
    plan = await kind.plan(context, args)
    cursor = kind.start(plan)
    for steps in range(1, 100):
        plan = msgspec.json.decode(msgspec.json.encode(plan), type=kind.plan_type)
        cursor = msgspec.json.decode(msgspec.json.encode(cursor), type=kind.cursor_type)
        if crash_each_step:
            await kind.step(context, args, plan, cursor)
        outcome = await kind.step(context, args, plan, cursor)
        if isinstance(outcome, Done):
            return outcome, steps
        assert not isinstance(outcome, RetryAfter)
        plan = outcome.plan or plan
        assert plan.is_whole
        assert outcome.total == len(plan.members) + 1
        cursor = outcome.cursor
    raise AssertionError("the job does not end")


async def archive_of(library: Library, folder: Path, args: ArchiveArgs, kind: str = "Archive") -> Any:
    context = Context(folder)
    done, _ = await run(library.kinds[kind], context, args)
    [output] = done.outputs
    path = context.output_path("archive")
    assert (output.file, output.size_bytes) == (path.name, path.stat().st_size)
    read = zipfile.ZipFile(path)
    assert read.testzip() is None
    return read


async def test_a_study_becomes_a_tree_of_folders(tmp_path: Path) -> None:
    async with opened_library() as library:
        files = {number: make_instance(instance=number, patient_name="Doe^Jane") for number in (2, 1)}
        instances = [await library.store(data) for data in files.values()]
        args = ArchiveArgs(resources=(id_of(instances[0], STUDY),), level=STUDY)
        read = await archive_of(library, tmp_path, args)
        folder = "P1 - Doe^Jane/A1 - Study 1/1 - CT - Series 1"
        assert read.namelist() == [f"{folder}/CT000001.dcm", f"{folder}/CT000002.dcm"]
        assert read.read(f"{folder}/CT000001.dcm") == files[1]
        assert read.comment == b"Created by Orthanc"


async def test_check_measures_and_names_nothing_twice() -> None:
    async with opened_library() as library:
        data = make_instance()
        instance = await library.store(data)
        ids = tuple(id_of(instance, level) for level in ResourceLevel)
        content = await library.check(library.kinds["Archive"], ArchiveArgs(resources=ids, utf8=True))
        assert content == {
            "Description": "REST API",
            "InstancesCount": 1,
            "UncompressedSize": str(len(data)),
            "UncompressedSizeMB": 0,
            "ArchiveSize": "0",
            "ArchiveSizeMB": 0,
            "Utf8": True,
        }


async def test_check_refuses_what_does_not_exist() -> None:
    async with opened_library() as library:
        instance = await library.store(make_instance())
        kind, study = library.kinds["Archive"], id_of(instance, STUDY)
        with pytest.raises(UnknownResource) as unknown:
            await library.check(kind, ArchiveArgs(resources=(study, "nope")))
        assert unknown.value.details == ""
        for id in ("nope", study):
            with pytest.raises(InexistentItem) as missing:
                await library.check(kind, ArchiveArgs(resources=(id,), level=SERIES))
            assert missing.value.details == f"Missing resource while creating an archive: {id}"


@pytest.mark.parametrize(
    ("level", "is_post", "expected"),
    [
        (SERIES, True, "1 - CT - Series 1/CT000001.dcm"),
        (SERIES, False, "P1 - Second/A2 - Study 2/1 - CT - Series 1/CT000001.dcm"),
        (STUDY, True, "P1 - Second/A2 - Study 2/1 - CT - Series 1/CT000001.dcm"),
        (None, True, "P1 - First/A2 - Study 2/1 - CT - Series 1/CT000001.dcm"),
    ],
)
async def test_the_route_decides_the_folders(
    tmp_path: Path, level: ResourceLevel | None, is_post: bool, expected: str
) -> None:
    async with opened_library() as library:
        await library.store(make_instance(patient_name="First"))
        second = await library.store(make_instance(patient_name="Second", study=2))
        resources = (id_of(second, level or STUDY),)
        args = ArchiveArgs(resources=resources, level=level, is_post=is_post)
        assert (await archive_of(library, tmp_path, args)).namelist() == [expected]


async def test_parents_win_over_children_and_only_instances_repeat(tmp_path: Path) -> None:
    async with opened_library() as library:
        first, second = [await library.store(data) for data in make_series(2)]
        series, instance = id_of(first, SERIES), id_of(second, INSTANCE)
        for resources, names in (
            ((series, instance, series), ["CT000001.dcm", "CT000002.dcm"]),
            ((instance, instance), ["CT000002.dcm", "CT000002.dcm-2"]),
            ((instance, id_of(first, INSTANCE)), ["CT000002.dcm", "CT000001.dcm"]),
            ((), []),
        ):
            read = await archive_of(library, tmp_path, ArchiveArgs(resources=resources))
            assert [name.rpartition("/")[2] for name in read.namelist()] == names


async def test_folders_with_equal_names_are_kept_apart(tmp_path: Path) -> None:
    async with opened_library() as library:
        instances = [
            await library.store(make_instance(series=series, SeriesNumber=1, SeriesDescription="x"))
            for series in (1, 2)
        ]
        read = await archive_of(library, tmp_path, ArchiveArgs(resources=(id_of(instances[0], STUDY),)))
        folders = [name.split("/")[2] for name in read.namelist()]
        assert folders == ["1 - CT - x", "1 - CT - x-2"]


async def test_a_vanished_instance_is_passed_over(tmp_path: Path) -> None:
    async with opened_library() as library:
        first, second = [await library.store(data) for data in make_series(2)]
        await library.remove(id_of(first, INSTANCE), INSTANCE)
        args = ArchiveArgs(resources=(id_of(second, STUDY), "vanished since"))
        read = await archive_of(library, tmp_path, args)
        assert [name.rpartition("/")[2] for name in read.namelist()] == ["CT000002.dcm"]


async def test_progress_tells_of_what_was_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive_whole, "SMALL_INSTANCES", 0)
    monkeypatch.setattr(archive_step, "_STEP_MEMBERS", 2)
    async with opened_library() as library:
        instances = [await library.store(data) for data in make_series(3)]
        await library.remove(id_of(instances[0], INSTANCE), INSTANCE)
        kind, context = library.kinds["Archive"], Context(tmp_path)
        args = ArchiveArgs(resources=(id_of(instances[0], STUDY),))
        plan = await kind.plan(context, args)
        outcome = await kind.step(context, args, plan, kind.start(plan))
        while not (isinstance(outcome, Continue) and outcome.done):
            assert isinstance(outcome, Continue)
            plan = outcome.plan or plan
            outcome = await kind.step(context, args, plan, outcome.cursor)
        assert outcome.content is not None
        progress = outcome.content["Progress"]
        assert (progress["InstancesDone"], progress["InstancesFailed"]) == (1, 1)
        gone = id_of(instances[0], INSTANCE)
        assert outcome.content["FailedInstances"] == [{"ID": gone, "Error": "Inexistent file"}]


async def test_compressed_transfer_syntaxes_are_stored(tmp_path: Path) -> None:
    async with opened_library() as library:
        instance = await library.store(make_instance(transfer_syntax="1.2.840.10008.1.2.4.50"))
        read = await archive_of(library, tmp_path, ArchiveArgs(resources=(id_of(instance, STUDY),)))
        assert [info.compress_type for info in read.infolist()] == [zipfile.ZIP_STORED]


async def large_study(library: Library) -> ArchiveArgs:
    """Store what takes several steps: a streamed member of 40 MiB between small ones."""
    for number, size in enumerate((None, 40 << 20, None, 20 << 20), 1):
        instance = await library.store(make_instance(instance=number), size=size)
    return ArchiveArgs(resources=(id_of(instance, STUDY),))


@pytest.mark.parametrize("kind", ["Archive", "Media"])
@pytest.mark.parametrize("is_synchronous", [False, True])
async def test_a_large_job_takes_several_steps(tmp_path: Path, kind: str, is_synchronous: bool) -> None:
    async with opened_library(is_synchronous=is_synchronous) as library:
        args = await large_study(library)
        context = Context(tmp_path)
        done, steps = await run(library.kinds[kind], context, args)
        assert steps > 1
        read = zipfile.ZipFile(context.output_path("archive"))
        assert read.testzip() is None
        sizes = [info.file_size for info in read.infolist()]
        assert sizes[1] == 40 << 20
        assert len(sizes) == (5 if kind == "Media" else 4)
        assert done.content == {
            "ArchiveSize": str(done.outputs[0].size_bytes),
            "ArchiveSizeMB": done.outputs[0].size_bytes >> 20,
        }


async def test_a_step_that_runs_twice_changes_nothing(tmp_path: Path) -> None:
    async with opened_library() as library:
        args = await large_study(library)
        (tmp_path / "once").mkdir()
        (tmp_path / "twice").mkdir()
        once, twice = Context(tmp_path / "once"), Context(tmp_path / "twice")
        await run(library.kinds["Media"], once, args)
        await run(library.kinds["Media"], twice, args, crash_each_step=True)
        read = [zipfile.ZipFile(context.output_path("archive")) for context in (once, twice)]
        assert [archive.namelist() for archive in read] == [read[0].namelist()] * 2
        assert read[1].testzip() is None
        assert read[0].read("DICOMDIR") == read[1].read("DICOMDIR")


@pytest.mark.parametrize("lost", ["archive", "archive-records"])
async def test_a_job_whose_file_was_lost_starts_over(tmp_path: Path, lost: str) -> None:
    async with opened_library() as library:
        args, context, kind = await large_study(library), Context(tmp_path), library.kinds["Archive"]
        plan = await kind.plan(context, args)
        outcome = await kind.step(context, args, plan, kind.start(plan))
        assert isinstance(outcome, Continue)
        context.output_path(lost).write_bytes(b"")
        again = await kind.step(context, args, outcome.plan, outcome.cursor)
        assert isinstance(again, Continue)
        assert again.cursor == kind.start(plan)
        await run(kind, context, args)
        assert zipfile.ZipFile(context.output_path("archive")).testzip() is None


async def read_all(source: trio.MemoryReceiveChannel[Chunk], into: bytearray) -> None:
    async with source:
        async for chunk in source:
            assert 0 < len(chunk) <= 1 << 20
            into += bytes(chunk)


@pytest.mark.parametrize("kind", ["Archive", "Media"])
async def test_a_stream_carries_the_same_archive(tmp_path: Path, kind: str) -> None:
    async with opened_library() as library, trio.open_nursery() as nursery:
        args = await large_study(library)
        sink, source = trio.open_memory_channel[Chunk](0)
        received = bytearray()
        nursery.start_soon(read_all, source, received)
        async with sink:
            done, steps = await run(library.kinds[kind], Context(tmp_path, sink), args)
        assert (done.outputs, steps > 1) == ((), True)
        await trio.testing.wait_all_tasks_blocked()
        read = zipfile.ZipFile(io.BytesIO(received))
        assert read.testzip() is None
        assert done.content is not None
        assert done.content["ArchiveSize"] == str(len(received))
        assert f"{Context(tmp_path).job_id}.archive" not in os.listdir(tmp_path)


async def test_a_streamed_media_remembers_a_member_that_no_step_has_finished(tmp_path: Path) -> None:
    async with opened_library() as library, trio.open_nursery() as nursery:
        large = await library.store(make_instance(), size=40 << 20)
        sink, source = trio.open_memory_channel[Chunk](0)
        received = bytearray()
        nursery.start_soon(read_all, source, received)
        async with sink:
            args = ArchiveArgs(resources=(id_of(large, STUDY),))
            await run(library.kinds["Media"], Context(tmp_path, sink), args)
        await trio.testing.wait_all_tasks_blocked()
        directory = pydicom.dcmread(io.BytesIO(zipfile.ZipFile(io.BytesIO(received)).read("DICOMDIR")))
        assert len(directory.DirectoryRecordSequence) == 4


async def test_a_reader_that_left_fails_the_job(tmp_path: Path) -> None:
    async with opened_library() as library:
        instance = await library.store(make_instance())
        sink, source = trio.open_memory_channel[Chunk](0)
        await source.aclose()
        args = ArchiveArgs(resources=(id_of(instance, STUDY),))
        with pytest.raises(CannotWriteFile) as left:
            await run(library.kinds["Archive"], Context(tmp_path, sink), args)
        assert left.value.details == "Cannot add new file inside ZIP archive - error code = -1"


class CancelAt(trio.abc.Instrument):
    """Cancels a scope when tasks have run a number of times."""

    def __init__(self, scope: trio.CancelScope, turns: int) -> None:
        self.scope = scope
        self.turns = turns

    def before_task_step(self, _task: trio.lowlevel.Task) -> None:
        self.turns -= 1
        if self.turns == 0:
            self.scope.cancel()


@pytest.mark.parametrize("kind_name", ["Archive", "Media"])
async def test_a_step_may_be_cancelled_anywhere(tmp_path: Path, kind_name: str) -> None:
    async with opened_library() as library:
        for data in make_series(3):
            instance = await library.store(data, size=2 << 20)
        kind, context = library.kinds[kind_name], Context(tmp_path)
        args = ArchiveArgs(resources=(id_of(instance, STUDY),))
        plan = await kind.plan(context, args)
        for turns in range(1, 100):
            with trio.CancelScope() as scope:
                instrument = CancelAt(scope, turns)
                trio.lowlevel.add_instrument(instrument)
                try:
                    await kind.step(context, args, plan, kind.start(plan))
                finally:
                    trio.lowlevel.remove_instrument(instrument)
            if not scope.cancelled_caught:
                break
            await run(kind, context, args)
            assert zipfile.ZipFile(context.output_path("archive")).testzip() is None
        assert 3 < turns < 99


async def test_a_large_member_that_has_vanished_is_passed_over(tmp_path: Path) -> None:
    async with opened_library() as library:
        small = await library.store(make_instance(instance=1))
        large = await library.store(make_instance(instance=2), size=40 << 20)
        await library.remove(id_of(large, INSTANCE), INSTANCE)
        for kind, count in (("Archive", 1), ("Media", 2)):
            args = ArchiveArgs(resources=(id_of(small, STUDY),))
            assert len((await archive_of(library, tmp_path, args, kind)).namelist()) == count


async def test_a_large_member_that_vanishes_half_way_fails_the_job(tmp_path: Path) -> None:
    async with opened_library() as library:
        large = await library.store(make_instance(), size=40 << 20)
        args, kind = ArchiveArgs(resources=(id_of(large, STUDY),)), library.kinds["Archive"]
        context = Context(tmp_path)
        plan = await kind.plan(context, args)
        outcome = await kind.step(context, args, plan, kind.start(plan))
        assert isinstance(outcome, Continue)
        assert outcome.cursor.open is not None
        await library.remove(id_of(large, INSTANCE), INSTANCE)
        with pytest.raises(InexistentFile):
            await kind.step(context, args, plan, outcome.cursor)


async def test_a_media_reads_identifiers_behind_a_long_header(tmp_path: Path) -> None:
    async with opened_library() as library:
        dataset = make_dataset()
        dataset.add_new(0x00091001, "OB", bytes(3 << 20))
        large = await library.store(write(dataset), size=33 << 20)
        read = await archive_of(library, tmp_path, ArchiveArgs(resources=(id_of(large, STUDY),)), "Media")
        directory = pydicom.dcmread(io.BytesIO(read.read("DICOMDIR"))).DirectoryRecordSequence
        assert directory[3].ReferencedSOPInstanceUIDInFile == dataset.SOPInstanceUID


async def test_a_header_without_end_fails_a_media(tmp_path: Path) -> None:
    async with opened_library() as library:
        dataset = make_dataset()
        dataset.add_new(0x00091001, "OB", bytes(65 << 20))
        large = await library.store(write(dataset))
        with pytest.raises(BadFileFormat):
            await run(
                library.kinds["Media"], Context(tmp_path), ArchiveArgs(resources=(id_of(large, STUDY),))
            )


async def test_a_folder_that_is_not_there_fails_the_job(tmp_path: Path) -> None:
    async with opened_library() as library:
        instance = await library.store(make_instance())
        args = ArchiveArgs(resources=(id_of(instance, STUDY),))
        with pytest.raises(CannotWriteFile):
            await run(library.kinds["Archive"], Context(tmp_path / "nowhere"), args)


async def test_a_stream_cannot_start_over(tmp_path: Path) -> None:
    async with opened_library() as library, trio.open_nursery() as nursery:
        args, kind = await large_study(library), library.kinds["Archive"]
        sink, source = trio.open_memory_channel[Chunk](0)
        nursery.start_soon(read_all, source, bytearray())
        async with sink:
            context = Context(tmp_path, sink)
            plan = await kind.plan(context, args)
            outcome = await kind.step(context, args, plan, kind.start(plan))
            assert isinstance(outcome, Continue)
            context.output_path("archive-records").write_bytes(b"")
            with pytest.raises(CannotWriteFile):
                await kind.step(context, args, plan, outcome.cursor)


async def test_discard_leaves_nothing(tmp_path: Path) -> None:
    async with opened_library() as library:
        args, context, kind = await large_study(library), Context(tmp_path), library.kinds["Media"]
        plan = await kind.plan(context, args)
        await kind.step(context, args, plan, kind.start(plan))
        assert os.listdir(tmp_path)
        await kind.discard(context, args)
        await kind.discard(context, args)
        assert os.listdir(tmp_path) == []


async def test_a_short_job_makes_no_other_file(tmp_path: Path) -> None:
    async with opened_library() as library:
        instance = await library.store(make_instance())
        await archive_of(library, tmp_path, ArchiveArgs(resources=(id_of(instance, STUDY),)))
        assert len(os.listdir(tmp_path)) == 1


async def test_a_media_ends_with_its_directory(tmp_path: Path) -> None:
    async with opened_library() as library:
        for number in (2, 1):
            instance = await library.store(make_instance(instance=number))
        args = ArchiveArgs(resources=(id_of(instance, PATIENT),), level=PATIENT, is_extended=True)
        read = await archive_of(library, tmp_path, args, "Media")
        assert read.namelist() == ["IMAGES/IM0", "IMAGES/IM1", "DICOMDIR"]
        directory = pydicom.dcmread(io.BytesIO(read.read("DICOMDIR"))).DirectoryRecordSequence
        images = [record for record in directory if record.DirectoryRecordType == "IMAGE"]
        for record in images:
            data = read.read("/".join(record.ReferencedFileID))
            dataset = pydicom.dcmread(io.BytesIO(data))
            assert dataset.SOPInstanceUID == record.ReferencedSOPInstanceUIDInFile
            assert dataset.InstanceNumber == record.InstanceNumber
        assert [record.InstanceNumber for record in images] == [1, 2]


async def test_an_empty_media_has_only_its_directory(tmp_path: Path) -> None:
    async with opened_library() as library:
        read = await archive_of(library, tmp_path, ArchiveArgs(resources=()), "Media")
        assert read.namelist() == ["DICOMDIR"]


async def test_a_file_without_sop_class_fails_a_media_but_no_archive(tmp_path: Path) -> None:
    async with opened_library() as library:
        instance = await library.store(make_instance(SOPClassUID=ABSENT))
        args = ArchiveArgs(resources=(id_of(instance, STUDY),))
        assert len((await archive_of(library, tmp_path, args)).namelist()) == 1
        with pytest.raises(BadFileFormat):
            await run(library.kinds["Media"], Context(tmp_path), args)


async def test_both_kinds_are_discovered() -> None:
    async with opened_library() as library:
        assert {"Archive", "Media"} <= library.kinds.keys()


def test_the_directory_is_written_by_a_function_that_a_worker_finds() -> None:
    assert pickle.loads(pickle.dumps(write_directory)) is write_directory
