"""The manifest of an archive: what it tells, and that it survives what the archive survives."""

import csv
import hashlib
import io
import os
import zipfile
from pathlib import Path

import msgspec
import pydicom
import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from orthanc_trio.extent import Chunk
from orthanc_trio.kinds import discover
from orthanc_trio.kinds.archive import ArchiveArgs
from orthanc_trio.kinds.archive_checksum import Checksum, Checksums, row
from orthanc_trio.model.errors import CannotWriteFile, InexistentFile
from orthanc_trio.model.job import Continue, Done
from orthanc_trio.model.resource import ResourceLevel
from tests.engine.test_archive_kind import CancelAt, Context, Library, id_of, opened_library, read_all, run
from tests.support.dicom import make_instance, make_series

PATIENT, STUDY, SERIES, INSTANCE = ResourceLevel
HEAD = ["Path", "SOPInstanceUID", "Size", "SHA256"]
both = pytest.mark.parametrize("kind_name", ["Archive", "Media"])


def rows_of(archive: zipfile.ZipFile) -> list[list[str]]:
    """Return the rows of the manifest, which is the last member."""
    assert archive.testzip() is None
    *_, last = archive.namelist()
    assert last == "manifest.csv"
    data = archive.read(last)
    assert data.count(b"\r\n") == data.count(b"\n")
    assert data.endswith(b"\r\n")
    return list(csv.reader(io.StringIO(data.decode(), newline=""), strict=True))


def check_manifest(archive: zipfile.ZipFile) -> list[list[str]]:
    """Check that the manifest is true of every other member, in order; return its rows."""
    head, *rows = rows_of(archive)
    assert head == HEAD
    assert [row[0] for row in rows] == archive.namelist()[:-1]
    for path, uid, size, checksum in rows:
        data = archive.read(path)
        meta = pydicom.dcmread(io.BytesIO(data), stop_before_pixels=True).file_meta
        assert uid == meta.MediaStorageSOPInstanceUID
        assert (int(size), checksum) == (len(data), hashlib.sha256(data).hexdigest())
    return rows


async def mixed_study(library: Library) -> ArchiveArgs:
    """Store what takes several steps, of which one at least ends within a streamed member."""
    for number, size in enumerate((None, 70 << 20, None, 70 << 20), 1):
        instance = await library.store(make_instance(instance=number), size=size)
    return ArchiveArgs(resources=(id_of(instance, STUDY),), has_manifest=True)


@both
@pytest.mark.parametrize("is_synchronous", [False, True])
async def test_a_manifest_tells_of_every_member(tmp_path: Path, kind_name: str, is_synchronous: bool) -> None:
    async with opened_library(is_synchronous=is_synchronous) as library:
        args, context = await mixed_study(library), Context(tmp_path)
        _, steps = await run(library.kinds[kind_name], context, args)
        assert steps > 1
        with zipfile.ZipFile(context.output_path("archive")) as archive:
            assert len(check_manifest(archive)) == (5 if kind_name == "Media" else 4)


async def test_no_manifest_is_made_unasked(tmp_path: Path) -> None:
    async with opened_library() as library:
        args, context = await mixed_study(library), Context(tmp_path)
        await run(library.kinds["Archive"], context, msgspec.structs.replace(args, has_manifest=False))
        with zipfile.ZipFile(context.output_path("archive")) as archive:
            assert "manifest.csv" not in archive.namelist()
        assert not context.output_path("archive-manifest").exists()


async def test_an_empty_archive_has_only_the_names_of_the_columns(tmp_path: Path) -> None:
    async with opened_library() as library:
        context = Context(tmp_path)
        await run(library.kinds["Archive"], context, ArchiveArgs(resources=(), has_manifest=True))
        with zipfile.ZipFile(context.output_path("archive")) as archive:
            assert rows_of(archive) == [HEAD]


async def test_names_that_csv_must_quote_come_back(tmp_path: Path) -> None:
    async with opened_library() as library:
        instance = await library.store(make_instance(patient_name='Do,e^"Jane"'))
        args = ArchiveArgs(resources=(id_of(instance, STUDY),), has_manifest=True)
        context = Context(tmp_path)
        await run(library.kinds["Archive"], context, args)
        with zipfile.ZipFile(context.output_path("archive")) as archive:
            assert "," in check_manifest(archive)[0][0]


@both
async def test_steps_that_run_twice_change_nothing(tmp_path: Path, kind_name: str) -> None:
    async with opened_library() as library:
        args, context = await mixed_study(library), Context(tmp_path)
        await run(library.kinds[kind_name], context, args, crash_each_step=True)
        with zipfile.ZipFile(context.output_path("archive")) as archive:
            check_manifest(archive)


async def test_a_new_process_goes_on_in_the_middle_of_a_member(tmp_path: Path) -> None:
    async with opened_library() as library:
        args, context = await mixed_study(library), Context(tmp_path)
        kind = library.kinds["Archive"]
        plan = await kind.plan(context, args)
        cursor = kind.start(plan)
        was_open = False
        while not isinstance(outcome := await kind.step(context, args, plan, cursor), Done):
            assert isinstance(outcome, Continue)
            cursor = outcome.cursor
            was_open |= cursor.open is not None
            # What a step that was cut off may have left behind.
            with context.output_path("archive-manifest").open("ab") as file:
                file.write(b"half a ro")
            kind = {kind.name: kind for kind in discover(library.services)}["Archive"]
        assert was_open
        with zipfile.ZipFile(context.output_path("archive")) as archive:
            check_manifest(archive)


async def test_a_lost_manifest_makes_a_job_start_over(tmp_path: Path) -> None:
    async with opened_library() as library:
        args, context, kind = await mixed_study(library), Context(tmp_path), library.kinds["Archive"]
        plan = await kind.plan(context, args)
        outcome = await kind.step(context, args, plan, kind.start(plan))
        assert isinstance(outcome, Continue)
        context.output_path("archive-manifest").write_bytes(b"")
        again = await kind.step(context, args, plan, outcome.cursor)
        assert isinstance(again, Continue)
        assert again.cursor == kind.start(plan)
        await run(kind, context, args)
        with zipfile.ZipFile(context.output_path("archive")) as archive:
            check_manifest(archive)


@both
async def test_a_stream_carries_a_manifest(tmp_path: Path, kind_name: str) -> None:
    async with opened_library() as library, trio.open_nursery() as nursery:
        args = await mixed_study(library)
        sink, source = trio.open_memory_channel[Chunk](0)
        received = bytearray()
        nursery.start_soon(read_all, source, received)
        async with sink:
            await run(library.kinds[kind_name], Context(tmp_path, sink), args)
        await trio.testing.wait_all_tasks_blocked()
        with zipfile.ZipFile(io.BytesIO(received)) as archive:
            check_manifest(archive)


async def test_a_stream_whose_manifest_was_lost_cannot_go_on(tmp_path: Path) -> None:
    async with opened_library() as library, trio.open_nursery() as nursery:
        args, kind = await mixed_study(library), library.kinds["Archive"]
        sink, source = trio.open_memory_channel[Chunk](0)
        nursery.start_soon(read_all, source, bytearray())
        async with sink:
            context = Context(tmp_path, sink)
            plan = await kind.plan(context, args)
            outcome = await kind.step(context, args, plan, kind.start(plan))
            assert isinstance(outcome, Continue)
            context.output_path("archive-manifest").write_bytes(b"")
            with pytest.raises(CannotWriteFile):
                await kind.step(context, args, plan, outcome.cursor)


async def test_what_has_vanished_has_no_row(tmp_path: Path) -> None:
    async with opened_library() as library:
        instances = [
            await library.store(make_instance(instance=number), size=size)
            for number, size in enumerate((None, 40 << 20, None), 1)
        ]
        for gone in instances[:2]:
            await library.remove(id_of(gone, INSTANCE), INSTANCE)
        args = ArchiveArgs(resources=(id_of(instances[0], STUDY),), has_manifest=True)
        context = Context(tmp_path)
        await run(library.kinds["Archive"], context, args)
        with zipfile.ZipFile(context.output_path("archive")) as archive:
            assert len(check_manifest(archive)) == 1


async def test_a_member_that_vanishes_half_way_fails_the_job(tmp_path: Path) -> None:
    async with opened_library() as library:
        large = await library.store(make_instance(), size=140 << 20)
        args = ArchiveArgs(resources=(id_of(large, STUDY),), has_manifest=True)
        context, kind = Context(tmp_path), library.kinds["Archive"]
        plan = await kind.plan(context, args)
        outcome = await kind.step(context, args, plan, kind.start(plan))
        assert isinstance(outcome, Continue)
        await library.remove(id_of(large, INSTANCE), INSTANCE)
        with pytest.raises(InexistentFile):
            await kind.step(context, args, plan, outcome.cursor)


async def test_discard_leaves_nothing(tmp_path: Path) -> None:
    async with opened_library() as library:
        args, context, kind = await mixed_study(library), Context(tmp_path), library.kinds["Media"]
        plan = await kind.plan(context, args)
        await kind.step(context, args, plan, kind.start(plan))
        assert context.output_path("archive-manifest").exists()
        await kind.discard(context, args)
        assert os.listdir(tmp_path) == []


@both
async def test_a_step_may_be_cancelled_anywhere(tmp_path: Path, kind_name: str) -> None:
    async with opened_library() as library:
        for data in make_series(3):
            instance = await library.store(data)
        kind, context = library.kinds[kind_name], Context(tmp_path)
        args = ArchiveArgs(resources=(id_of(instance, STUDY),), has_manifest=True)
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
            with zipfile.ZipFile(context.output_path("archive")) as archive:
                check_manifest(archive)
        assert 3 < turns < 99


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")), min_size=2))
def test_a_row_comes_back(fields: list[str]) -> None:
    read = csv.reader(io.StringIO(row(*fields).decode(), newline=""), strict=True)
    assert list(read) == [fields]


def test_checksums_of_many_jobs_do_not_pile_up() -> None:
    checksums, checksum = Checksums(), Checksum()
    checksum.add(b"data")
    for number in range(300):
        checksums.keep(str(number), 7, checksum)
    checksum.add(b" more")
    assert checksums.find("299", 7, 4).hexdigest() == hashlib.sha256(b"data").hexdigest()
    for job_id, member, position in (("0", 7, 4), ("299", 8, 4), ("299", 7, 5)):
        assert checksums.find(job_id, member, position).position == 0
