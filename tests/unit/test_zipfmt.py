"""The ZIP format, read back by the standard library and by tools of other authors."""

import io
import random
import shutil
import subprocess
import zipfile
import zlib
from datetime import datetime
from pathlib import Path
from typing import IO

import pytest

from orthanc_trio import zipfmt

TIME = zipfmt.dos_time(datetime(2024, 2, 29, 13, 45, 31))
NOISE = bytes(range(256)) * 40


class Archive:
    """Collects members as a job does."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file
        self.records: list[bytes] = []

    def add(self, name: str, data: bytes, *, is_compressed: bool = False) -> zipfmt.Entry:
        packed = zipfmt.pack(name, data, TIME, is_compressed=is_compressed)
        self.records.append(zipfmt.central_record(packed.entry, self.file.tell()))
        self.file.write(packed.header + packed.payload)
        return packed.entry

    def add_streamed(self, name: str, pieces: list[bytes]) -> None:
        offset = self.file.tell()
        entry, header = zipfmt.open_streamed(name, sum(map(len, pieces)), TIME)
        self.file.write(header)
        crc = size = 0
        for number, data in enumerate(pieces, 1):
            piece = zipfmt.deflate_piece(data, is_last=number == len(pieces))
            self.file.write(piece.payload)
            crc, size = zipfmt.join_crc(crc, piece), size + len(piece.payload)
        complete, descriptor = zipfmt.close_streamed(entry, crc, size)
        self.file.write(descriptor)
        self.records.append(zipfmt.central_record(complete, offset))

    def finish(self) -> zipfile.ZipFile:
        offset, records = self.file.tell(), b"".join(self.records)
        self.file.write(records + zipfmt.end_of_archive(len(self.records), offset, len(records)))
        self.file.flush()
        return zipfile.ZipFile(self.file)


def test_a_member_comes_back_with_its_name_bytes_and_time() -> None:
    archive = Archive(io.BytesIO())
    archive.add("A/B/CT000001.dcm", NOISE)
    read = archive.finish()
    info = read.getinfo("A/B/CT000001.dcm")
    assert read.read(info) == NOISE
    assert info.date_time == (2024, 2, 29, 13, 45, 30)
    assert info.compress_type == zipfile.ZIP_DEFLATED
    assert info.compress_size < len(NOISE)


def test_headers_say_what_orthanc_says() -> None:
    archive = Archive(io.BytesIO())
    archive.add("name", NOISE)
    read = archive.finish()
    info = read.getinfo("name")
    assert (info.create_system, info.create_version, info.extract_version) == (0, 0, 20)
    assert (info.flag_bits, info.external_attr, info.extra, info.comment) == (0, 0, b"", b"")
    assert read.comment == b"Created by Orthanc"


def test_the_local_header_has_the_sizes_and_the_checksum() -> None:
    packed = zipfmt.pack("name", NOISE, TIME)
    fields = packed.header[14:26]
    assert fields == b"".join(
        value.to_bytes(4, "little") for value in (zlib.crc32(NOISE), len(packed.payload), len(NOISE))
    )


@pytest.mark.parametrize(
    ("data", "is_compressed"),
    [(b"", False), (b"x", False), (random.Random(1).randbytes(5000), False), (NOISE, True)],
    ids=["empty", "short", "does not shrink", "compressed already"],
)
def test_what_deflate_does_not_help_is_stored(data: bytes, is_compressed: bool) -> None:
    archive = Archive(io.BytesIO())
    entry = archive.add("name", data, is_compressed=is_compressed)
    assert entry.method == zipfile.ZIP_STORED
    assert archive.finish().read("name") == data


def test_names_beyond_ascii_are_marked_as_utf8() -> None:
    archive = Archive(io.BytesIO())
    archive.add("crâne/é", b"1")
    read = archive.finish()
    assert read.namelist() == ["crâne/é"]
    assert read.infolist()[0].flag_bits == 0x800


def test_a_name_that_no_header_can_hold_is_refused() -> None:
    with pytest.raises(ValueError, match="too long"):
        zipfmt.pack("x" * 65_536, b"", TIME)


@pytest.mark.parametrize("pieces", [[NOISE], [NOISE, b"tail"], [NOISE, b"", NOISE * 3]])
def test_pieces_deflated_apart_make_one_member(pieces: list[bytes]) -> None:
    archive = Archive(io.BytesIO())
    archive.add_streamed("large", pieces)
    archive.add("next", b"after the descriptor")
    read = archive.finish()
    assert read.testzip() is None
    assert read.read("large") == b"".join(pieces)
    assert read.getinfo("large").flag_bits == 0x8


def test_an_archive_may_be_empty() -> None:
    read = Archive(io.BytesIO()).finish()
    assert read.namelist() == []
    assert read.comment == b"Created by Orthanc"


def test_more_members_than_16_bits_count() -> None:
    archive = Archive(io.BytesIO())
    for number in range(65_537):
        archive.add(str(number), b"")
    assert len(archive.finish().namelist()) == 65_537


def test_members_beyond_4_gib_are_found(tmp_path: Path) -> None:
    with (tmp_path / "sparse.zip").open("w+b") as file:
        archive = Archive(file)
        archive.add("first", b"1")
        file.seek(5 << 30)
        archive.add("far", NOISE)
        read = archive.finish()
        assert read.read("first") == b"1"
        assert read.read("far") == NOISE
        assert read.getinfo("far").header_offset == 5 << 30


@pytest.mark.parametrize("size", [0, 1, 65_535, 65_536, 200_000])
def test_what_does_not_shrink_is_a_stream_of_stored_blocks(size: int) -> None:
    data = random.Random(size).randbytes(size)
    first, last = zipfmt.store_piece(data, is_last=False), zipfmt.store_piece(data, is_last=True)
    assert zlib.decompress(first.payload + last.payload, -zlib.MAX_WBITS) == 2 * data
    assert zipfmt.join_crc(first.crc, last) == zlib.crc32(2 * data)
    assert len(last.payload) <= size + 5 * (size // 65_535 + 1)


@pytest.mark.parametrize("compressed_size", [1000, 5 << 30], ids=["that shrinks", "as large"])
def test_a_stream_above_4_gib_has_its_sizes_in_front(compressed_size: int) -> None:
    size = 5 << 30
    entry, header = zipfmt.open_deflated("wide", TIME, crc=1, size=size, compressed_size=compressed_size)
    assert header[18:26] == b"\xff" * 8
    sizes = size.to_bytes(8, "little") + compressed_size.to_bytes(8, "little")
    assert header.endswith(b"wide" + b"\x01\x00\x10\x00" + sizes)
    assert zipfmt.central_record(entry, 0)[6:8] == b"\x2d\x00"


def test_a_member_above_4_gib_has_wide_sizes() -> None:
    size = 5 << 30
    entry, header = zipfmt.open_streamed("wide", size, TIME)
    complete, descriptor = zipfmt.close_streamed(entry, 1, size - 7)
    assert header[18:26] == b"\xff" * 8
    assert header.endswith(b"wide" + b"\x01\x00\x10\x00" + bytes(16))
    assert descriptor[8:] == (size - 7).to_bytes(8, "little") + size.to_bytes(8, "little")
    record = zipfmt.central_record(complete, 0)
    assert record[20:28] == b"\xff" * 8
    assert record.endswith(
        b"\x01\x00\x10\x00" + size.to_bytes(8, "little") + (size - 7).to_bytes(8, "little")
    )


@pytest.mark.parametrize(
    ("moment", "expected"),
    [
        (datetime(1980, 1, 1), 0x00210000),
        (datetime(1970, 6, 5), 0x00C50000),
        (datetime(2024, 2, 29, 23, 59, 59), 44 << 25 | 2 << 21 | 29 << 16 | 23 << 11 | 59 << 5 | 29),
    ],
)
def test_times_as_dos_writes_them(moment: datetime, expected: int) -> None:
    assert zipfmt.dos_time(moment) == expected


@pytest.mark.parametrize("tool", [["unzip", "-tqq"], ["7z", "t"]], ids=lambda command: command[0])
def test_other_tools_accept_the_archive(tmp_path: Path, tool: list[str]) -> None:
    if shutil.which(tool[0]) is None:
        pytest.skip(f"{tool[0]} is not installed")
    path = tmp_path / "archive.zip"
    with path.open("w+b") as file:
        archive = Archive(file)
        archive.add("a/plain", NOISE)
        archive.add("a/stored", NOISE, is_compressed=True)
        archive.add_streamed("a/streamed", [NOISE, NOISE])
        archive.add("é", b"utf8")
        archive.finish()
    assert subprocess.run([*tool, path], capture_output=True).returncode == 0
