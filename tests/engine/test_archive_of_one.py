"""The archive of one instance, which is planned by a way of its own: it has the plan of the general one."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from orthanc_trio.config.choice import IndexBackend
from orthanc_trio.index.opening import open_index
from orthanc_trio.index.transaction import ReadTransaction, Transaction
from orthanc_trio.kinds.archive_plan import (
    SMALL_BYTES,
    ArchiveArgs,
    Survey,
    archive_pages,
    survey,
    survey_instance,
)
from orthanc_trio.model.resource import Attachment, Compression, Metadata, ResourceLevel

PATIENT, STUDY, SERIES, INSTANCE = ResourceLevel
Tags = Mapping[str, str]
KEY = "0c72d456-5069-4d64-a3ec-696e50b30003"
FILE = Attachment(type=1, uuid=KEY, size=100, uncompressed_size=100)
DEFLATED = Attachment(
    type=1, uuid=KEY, size=50, uncompressed_size=100, compression=Compression.DEFLATE, crc32=0xFEDCBA98
)
NAMED: tuple[Tags, ...] = (
    {"0010,0020": "P1", "0010,0010": "Doe^John"},
    {"0008,0050": "A1", "0008,1030": "Knee"},
    {"0020,0011": "3", "0008,0060": "MR", "0008,103e": "t2"},
    {"0008,0018": "1.2.3", "0020,0013": "7"},
)


def fill(
    tags: tuple[Tags, ...], file: Attachment | None, *, others: int = 0, syntax: str = ""
) -> Callable[[Transaction], None]:
    def function(tx: Transaction) -> None:
        row: int | None = None
        for level, own in zip(ResourceLevel, tags, strict=True):
            patient_tags = {"0010,0020": "copy"} if level is STUDY else None
            row = tx.create(level, "psei"[level - 1], row, own, patient_tags)
            series = row if level is SERIES else None
            for number in range(others if series else 0):
                tx.create(INSTANCE, f"other{number}", series, {})
        assert row is not None
        if file is not None:
            tx.attach(row, file)
        tx.attach(row, Attachment(type=1024, uuid="extra", size=3, uncompressed_size=5))
        if syntax:
            tx.set_metadata(row, {Metadata.TRANSFER_SYNTAX: syntax})

    return function


async def both(
    folder: Path, backend: IndexBackend, function: Callable[[Transaction], None], args: ArchiveArgs
) -> tuple[Survey | None, Survey]:
    """Return what is found by the short way and by the long one."""

    def look(tx: ReadTransaction) -> tuple[Survey | None, Survey]:
        return survey_instance(tx, args), survey(tx, args, archive_pages)

    async with open_index(backend, folder, is_synchronous=False) as index:
        await index.write(function)
        return await index.read(look)


EMPTY: tuple[Tags, ...] = ({}, {}, {}, {})
HOSTILE: tuple[Tags, ...] = (
    {"0010,0020": "../..", "0010,0010": "a/b\\c\0d"},
    {"0008,1030": "x" * 3000, "0010,0020": "not of the patient"},
    {"0008,0060": "é☃/mr", "0008,103e": "Größe\n"},
    {"0020,0013": " +12 "},
)


@pytest.mark.parametrize("backend", list(IndexBackend))
@pytest.mark.parametrize("tags", [NAMED, EMPTY, HOSTILE, ({"0010,0020": ""}, *EMPTY[1:])])
@pytest.mark.parametrize("utf8", [False, True])
async def test_names_are_those_of_any_archive(
    tmp_path: Path, backend: IndexBackend, tags: tuple[Tags, ...], utf8: bool
) -> None:
    args = ArchiveArgs(resources=("i",), utf8=utf8)
    short, long = await both(tmp_path, backend, fill(tags, FILE, others=2), args)
    assert short == long
    assert (long.instances, long.size, len(long.plan.members)) == (1, 105, 1)


@pytest.mark.parametrize("backend", list(IndexBackend))
@pytest.mark.parametrize("file", [FILE, DEFLATED])
@pytest.mark.parametrize("syntax", ["", "1.2.840.10008.1.2", "1.2.840.10008.1.2.4.50"])
@pytest.mark.parametrize(
    "args",
    [
        ArchiveArgs(resources=("i",)),
        ArchiveArgs(resources=("i",), level=INSTANCE, is_post=False),
        ArchiveArgs(resources=("i",), has_manifest=True),
        ArchiveArgs(resources=("i",), transcode="1.2.840.10008.1.2"),
    ],
    ids=["tool", "route", "manifest", "transcoded"],
)
async def test_members_are_those_of_any_archive(
    tmp_path: Path, backend: IndexBackend, file: Attachment, syntax: str, args: ArchiveArgs
) -> None:
    short, long = await both(tmp_path, backend, fill(NAMED, file, syntax=syntax), args)
    assert short == long
    assert long.plan.path(long.plan.members[0]) == "P1 - Doe^John/A1 - Knee/3 - MR - t2/MR000007.dcm"


@pytest.mark.parametrize("backend", list(IndexBackend))
async def test_a_large_instance_is_not_planned_yet(tmp_path: Path, backend: IndexBackend) -> None:
    file = Attachment(type=1, uuid=KEY, size=SMALL_BYTES, uncompressed_size=SMALL_BYTES)
    short, long = await both(tmp_path, backend, fill(NAMED, file), ArchiveArgs(resources=("i",)))
    assert short == long
    assert (long.size, long.plan.is_whole) == (SMALL_BYTES + 5, False)


@pytest.mark.parametrize("backend", list(IndexBackend))
@pytest.mark.parametrize(
    ("args", "file"),
    [
        (ArchiveArgs(resources=("i",)), None),
        (ArchiveArgs(resources=("e",)), FILE),
        (ArchiveArgs(resources=("none",)), FILE),
        (ArchiveArgs(resources=("i", "i")), FILE),
        (ArchiveArgs(resources=()), FILE),
        (ArchiveArgs(resources=("i",), level=SERIES), FILE),
    ],
    ids=["no file", "a series", "nothing", "twice", "none", "another level"],
)
async def test_the_short_way_is_for_one_instance(
    tmp_path: Path, backend: IndexBackend, args: ArchiveArgs, file: Attachment | None
) -> None:
    async with open_index(backend, tmp_path, is_synchronous=False) as index:
        await index.write(fill(NAMED, file))
        assert await index.read(lambda tx: survey_instance(tx, args)) is None
