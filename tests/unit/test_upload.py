"""Bodies of every form: what is recognised, what is stored, what is refused, what it may cost."""

import gzip
import io
import os
import struct
import zipfile
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from pathlib import Path

import pytest
import trio

from orthanc_trio.model.errors import BadFileFormat, FullStorage, OrthancError, PayloadTooLarge
from orthanc_trio.model.resource import ResourceLevel
from orthanc_trio.services.upload import Rejected, UploadLimits, UploadResult
from orthanc_trio.storage.memory import MemoryArea
from tests.support.dicom import ABSENT, make_instance
from tests.support.services import REST, Services, open_services
from tests.support.storage import opened_storage

SMALL = UploadLimits(memory_bytes=1000)
"""Limits under which even a small file goes through the storage area."""


async def chunks(data: bytes, size: int = 700) -> AsyncGenerator[bytes, None]:
    for start in range(0, len(data), size):
        yield data[start : start + size]
        await trio.lowlevel.checkpoint()


async def upload(services: Services, data: bytes, encoding: str = "", length: bool = True) -> UploadResult:
    async with aclosing(chunks(data)) as body:
        return await services.upload.store(
            body, REST, content_length=len(data) if length else None, content_encoding=encoding
        )


def make_zip(members: Iterable[tuple[str, bytes]], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return file.getvalue()


def three() -> list[bytes]:
    return [make_instance(instance=number) for number in (1, 2, 3)]


@pytest.mark.parametrize("has_length", [False, True])
@pytest.mark.parametrize("limits", [UploadLimits(), SMALL], ids=["in memory", "through the area"])
async def test_an_instance_is_stored_byte_for_byte(
    tmp_path: Path, limits: UploadLimits, has_length: bool
) -> None:
    data = make_instance(rows=64, columns=64)
    async with open_services(tmp_path, limits=limits) as services:
        result = await upload(services, data, length=has_length)
        assert not result.is_archive
        assert [one.status for one in result.results] == ["Success"]
        dicom = (await services.fact(ResourceLevel.INSTANCE)).dicom
        assert dicom is not None
        assert await services.content(dicom) == data
        await services.check_files(tmp_path)


async def test_a_part_of_a_form_is_stored_as_if_alone() -> None:
    async with open_services() as services:
        result = await services.upload.store(chunks(make_instance()), REST)
        assert not result.is_archive
        result = await services.upload.store(chunks(make_zip([("a", make_instance())])), REST)
        assert result.is_archive
        assert [one.status for one in result.results] == ["AlreadyStored"]


@pytest.mark.parametrize("limits", [UploadLimits(), SMALL], ids=["in memory", "through the area"])
@pytest.mark.parametrize("encoding", ["gzip", " GZip "])
async def test_a_gzip_body_is_unpacked(tmp_path: Path, limits: UploadLimits, encoding: str) -> None:
    data = make_instance(rows=64, columns=64)
    packed = gzip.compress(data[:500]) + gzip.compress(data[500:])
    async with open_services(tmp_path, limits=limits) as services:
        await upload(services, packed, encoding)
        dicom = (await services.fact(ResourceLevel.INSTANCE)).dicom
        assert dicom is not None
        assert await services.content(dicom) == data
        await services.check_files(tmp_path)


@pytest.mark.parametrize("limits", [UploadLimits(), SMALL], ids=["in memory", "through the area"])
@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
async def test_the_members_of_an_archive_are_stored_in_order(
    tmp_path: Path, limits: UploadLimits, method: int
) -> None:
    first, second, third = three()
    members = [("c", first), ("empty", b""), ("folder/", b""), ("folder/deep/b.dcm", second), ("a", third)]
    async with open_services(tmp_path, limits=limits) as services:
        result = await upload(services, make_zip(members, method))
        assert result.is_archive
        assert [one.status for one in result.results] == ["Success"] * 3
        numbers = [
            await services.index.read(lambda tx, id=one.ids.instance: tx.facts(id))  # type: ignore[misc]
            for one in result.results
        ]
        assert [facts.tags["0020,0013"] for facts in numbers] == ["1", "2", "3"]
        assert result.rejected == ()
        await services.check_files(tmp_path)


async def test_many_members_are_stored(tmp_path: Path) -> None:
    members = [(str(number), make_instance(instance=number + 1)) for number in range(150)]
    async with open_services(tmp_path) as services:
        result = await upload(services, make_zip(members))
        assert len({one.ids.instance for one in result.results}) == 150
        await services.check_files(tmp_path)


async def test_bad_members_are_reported_and_the_good_ones_stored(tmp_path: Path) -> None:
    first, second, third = three()
    members = [
        ("a", first),
        ("note.txt", b"hello"),
        ("DICOMDIR", make_instance(StudyInstanceUID=ABSENT)),
        ("damaged", second),
        ("archive.zip", make_zip([("x", second)])),
        ("z", third),
    ]
    data = make_zip(members, zipfile.ZIP_STORED)
    place = data.index(second) + len(second) - 10
    data = data[:place] + b"\xff" + data[place + 1 :]
    for limits in (UploadLimits(), SMALL):
        async with open_services(tmp_path, limits=limits) as services:
            result = await upload(services, data)
            assert len(result.results) == 2
            assert [(one.name, one.details) for one in result.rejected] == [
                ("note.txt", "Cannot parse an invalid DICOM file (size: 5 bytes)"),
                ("DICOMDIR", "Inexistent tag"),
                ("damaged", "The file is damaged"),
                ("archive.zip", f"Cannot parse an invalid DICOM file (size: {len(members[4][1])} bytes)"),
            ]
            await services.check_files(tmp_path)


def _with_flags(data: bytes, flags: int, method: int) -> bytes:
    """Return an archive whose first member claims other flags and another method."""
    local, entry = data.index(b"PK\x03\x04"), data.index(b"PK\x01\x02")
    changed = bytearray(data)
    struct.pack_into("<HH", changed, local + 6, flags, method)
    struct.pack_into("<HH", changed, entry + 8, flags, method)
    return bytes(changed)


@pytest.mark.parametrize(
    ("flags", "method", "details"),
    [
        (1, 0, "The file is encrypted"),
        (0, 14, "The compression method is not supported"),
        (0, 99, "The compression method is not supported"),
        (0, 8, "The file is damaged"),
    ],
)
async def test_members_that_cannot_be_unpacked_are_reported(flags: int, method: int, details: str) -> None:
    first, second, _ = three()
    data = _with_flags(make_zip([("a", first), ("b", second)], zipfile.ZIP_STORED), flags, method)
    async with open_services() as services:
        result = await upload(services, data)
        assert result.rejected == (Rejected("a", details),)
        assert [one.status for one in result.results] == ["Success"]


@pytest.mark.parametrize("cut", [4, 100, 0.5, -1, -30])
@pytest.mark.parametrize("limits", [UploadLimits(), SMALL], ids=["in memory", "through the area"])
async def test_a_truncated_archive_is_refused(tmp_path: Path, limits: UploadLimits, cut: float) -> None:
    data = make_zip([(str(number), one) for number, one in enumerate(three())])
    data = data[: int(len(data) * cut) if isinstance(cut, float) else cut]
    async with open_services(tmp_path, limits=limits) as services:
        with pytest.raises(BadFileFormat, match="Cannot read the ZIP archive"):
            await upload(services, data)
        await services.check_files(tmp_path)


async def test_an_empty_archive_stores_nothing() -> None:
    async with open_services() as services:
        result = await upload(services, make_zip([]))
        assert result == UploadResult(is_archive=True, results=())


@pytest.mark.parametrize(
    ("data", "encoding", "details"),
    [
        (b"", "", "Received an empty DICOM file"),
        (gzip.compress(b"", mtime=0), "gzip", "Received an empty DICOM file"),
        (b"abc", "", r"Cannot parse an invalid DICOM file \(size: 3 bytes\)"),
        (b"abc" * 100, "gzip", "Cannot uncompress the gzip body"),
        (b"", "gzip", "Received an empty DICOM file"),
        (gzip.compress(make_instance(), mtime=0)[:-20], "gzip", "The gzip body is cut off"),
        (gzip.compress(make_instance(), mtime=0), "", "Cannot parse an invalid DICOM file"),
        (
            gzip.compress(make_zip([("a", make_instance())]), mtime=0),
            "gzip",
            "Cannot parse an invalid DICOM file",
        ),
    ],
)
@pytest.mark.parametrize("limits", [UploadLimits(), UploadLimits(memory_bytes=1)], ids=["memory", "area"])
async def test_what_is_no_upload_is_refused_with_the_reason(
    tmp_path: Path, data: bytes, encoding: str, details: str, limits: UploadLimits
) -> None:
    async with open_services(tmp_path, limits=limits) as services:
        with pytest.raises(BadFileFormat, match=details):
            await upload(services, data, encoding)
        await services.check_files(tmp_path)


@pytest.mark.parametrize("has_length", [False, True])
@pytest.mark.parametrize("memory_bytes", [100, 100_000])
async def test_a_body_beyond_the_limit_is_not_read_to_its_end(
    tmp_path: Path, has_length: bool, memory_bytes: int
) -> None:
    given = 0

    async def endless() -> AsyncGenerator[bytes, None]:
        nonlocal given
        while True:
            given += 1000
            yield bytes(1000)

    limits = UploadLimits(body_bytes=5000, memory_bytes=memory_bytes)
    async with open_services(tmp_path, limits=limits) as services:
        with pytest.raises(PayloadTooLarge) as caught:
            await services.upload.store(endless(), REST, content_length=10_000 if has_length else None)
        assert caught.value.http_status == 413
        assert given == (0 if has_length else 6000)
        await services.check_files(tmp_path)


async def test_no_limit_is_no_limit() -> None:
    limits = UploadLimits(body_bytes=0, member_bytes=0, archive_bytes=0)
    async with open_services(limits=limits) as services:
        assert (await upload(services, make_zip([("a", make_instance())]))).results


@pytest.mark.parametrize(
    ("limits", "details"),
    [
        (UploadLimits(member_bytes=100), "A file in the ZIP archive is too large"),
        (UploadLimits(archive_bytes=1500), "The files in the ZIP archive are too large together"),
        (UploadLimits(archive_entries=2), "Too many files in the ZIP archive"),
    ],
)
async def test_an_archive_beyond_a_limit_is_refused_before_anything_is_stored(
    limits: UploadLimits, details: str
) -> None:
    data = make_zip([(str(number), one) for number, one in enumerate(three())])
    async with open_services(limits=limits) as services:
        with pytest.raises(BadFileFormat, match=details):
            await upload(services, data)
        assert await services.facts(ResourceLevel.INSTANCE) == []


async def test_a_huge_directory_is_refused_before_it_is_read() -> None:
    data = make_zip([("x" * 60_000 + str(number), b"x") for number in range(20)])
    async with open_services(limits=UploadLimits(archive_entries=100)) as services:
        with pytest.raises(BadFileFormat, match="The directory of the ZIP archive is too large"):
            await upload(services, data)


async def test_a_member_never_unpacks_to_more_than_it_declares(tmp_path: Path) -> None:
    data = bytearray(make_zip([("bomb", bytes(50_000_000)), ("good", make_instance())]))
    struct.pack_into("<L", data, data.index(b"PK\x01\x02") + 24, 1000)
    async with open_services(tmp_path, limits=UploadLimits(member_bytes=100_000)) as services:
        result = await upload(services, bytes(data))
        assert [one.name for one in result.rejected] == ["bomb"]
        assert len(result.results) == 1
        await services.check_files(tmp_path)


@pytest.mark.parametrize("memory_bytes", [1 << 20, 1 << 30])
async def test_a_gzip_bomb_is_refused(tmp_path: Path, memory_bytes: int) -> None:
    limits = UploadLimits(member_bytes=5_000_000, memory_bytes=memory_bytes)
    async with open_services(tmp_path, limits=limits) as services:
        with pytest.raises(BadFileFormat, match="The uncompressed body is too large"):
            await upload(services, gzip.compress(bytes(100_000_000), 1), "gzip")
        await services.check_files(tmp_path)


class _SmallArea(MemoryArea):
    """An area with room for two files."""

    def create(self, key: str, data: bytes | bytearray | memoryview) -> None:
        if len(self.unsettled()) + self.settled >= 2:
            raise FullStorage("No space left on device")
        super().create(key, data)

    settled = 0

    def settle(self, keys: Iterable[str]) -> None:
        keys = list(keys)
        self.settled += len(keys)
        super().settle(keys)


async def test_a_full_disk_ends_an_archive_and_what_was_stored_stays() -> None:
    data = make_zip([(str(number), make_instance(instance=number + 1)) for number in range(30)])
    async with (
        opened_storage(_SmallArea(), threads=2) as small,
        open_services(adapt=lambda index, _: (index, small)) as services,
    ):
        with pytest.raises(FullStorage, match="No space left on device"):
            await upload(services, data)
        assert 1 <= len(await services.facts(ResourceLevel.INSTANCE)) <= 2


@pytest.mark.parametrize("form", ["instance", "gzip", "archive"])
async def test_a_client_that_leaves_in_the_middle_leaves_no_file(tmp_path: Path, form: str) -> None:
    data = make_instance(rows=64, columns=64)
    body = {"instance": data, "gzip": gzip.compress(data), "archive": make_zip([("a", data)])}[form]

    async def leaving() -> AsyncGenerator[bytes, None]:
        yield body[:1500]
        yield body[1500:-10]
        raise OrthancError("the client left")

    async with open_services(tmp_path, limits=SMALL) as services:
        with pytest.raises(OrthancError, match="the client left"):
            await services.upload.store(leaving(), REST)
        await services.check_files(tmp_path)


@pytest.mark.parametrize("form", ["instance", "gzip", "archive"])
async def test_a_cancelled_upload_leaves_no_half_of_an_instance(tmp_path: Path, form: str) -> None:
    members = [make_instance(rows=32, columns=32, instance=number) for number in range(1, 6)]
    body = {
        "instance": members[0],
        "gzip": gzip.compress(members[0]),
        "archive": make_zip([(str(number), data) for number, data in enumerate(members)]),
    }[form]
    async with open_services(tmp_path, limits=SMALL) as services:
        for step in range(0, 60, 2):
            with trio.CancelScope() as scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(_cancel_after, scope, step)
                    await upload(services, body, "gzip" if form == "gzip" else "")
                    nursery.cancel_scope.cancel()
            await services.check_files(tmp_path)


async def _cancel_after(scope: trio.CancelScope, checkpoints: int) -> None:
    for _ in range(checkpoints):
        await trio.lowlevel.checkpoint()
    scope.cancel()


@pytest.mark.parametrize("seed", range(5))
async def test_garbage_after_the_signature_is_refused_or_reported(tmp_path: Path, seed: int) -> None:
    data = bytearray(make_zip([(str(number), one) for number, one in enumerate(three())]))
    async with open_services(tmp_path) as services:
        for _ in range(20):
            damaged = bytearray(data)
            for _ in range(3):
                damaged[4 + int.from_bytes(os.urandom(4)) % (len(data) - 4)] = os.urandom(1)[0]
            try:
                result = await upload(services, bytes(damaged))
            except BadFileFormat:
                continue
            assert result.is_archive
        await services.check_files(tmp_path)
