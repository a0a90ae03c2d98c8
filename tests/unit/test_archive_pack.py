"""Members of an archive, packed from files of which each is read into the same room."""

import uuid
import zlib
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from orthanc_trio.kinds.archive_member import Source
from orthanc_trio.kinds.archive_pack import Batch, PackedBatch, PackedPart, PackOptions, cut, pack
from orthanc_trio.kinds.archive_scratch import read_briefly
from orthanc_trio.model.errors import InexistentFile
from orthanc_trio.storage.filesystem import FileSystemArea

NOISE = Random(3).randbytes(3 << 20)
TEXT = NOISE[:999].hex().encode()
OPTIONS = PackOptions(time=0)


@pytest.fixture
def area(tmp_path: Path) -> Iterator[FileSystemArea]:
    area = FileSystemArea(tmp_path / "storage", is_synchronous=False)
    yield area
    area.close()


def stored(area: FileSystemArea, data: bytes, *, is_compressed: bool = False) -> Source:
    key = str(uuid.uuid4())
    area.create(key, data)
    return Source(key, area.open(key, len(data)), len(data), is_compressed)


@pytest.mark.parametrize("is_compressed", [False, True])
def test_each_member_has_its_own_bytes(area: FileSystemArea, is_compressed: bool) -> None:
    contents = [NOISE, b"", NOISE[9:], TEXT, NOISE[:700], TEXT[5:]]
    sources = [stored(area, data, is_compressed=is_compressed) for data in contents]
    packed = pack(Batch(tuple(sources)), OPTIONS)
    assert isinstance(packed, PackedBatch)
    for member, data in zip(packed.members, contents, strict=True):
        assert member is not None
        payload = bytes(member.chunks[1])
        assert (zlib.decompress(payload, -15) if member.entry.method else payload) == data
        assert member.entry.crc == zlib.crc32(data)


def test_each_part_of_a_large_member_has_its_own_bytes(area: FileSystemArea) -> None:
    data = (NOISE * 6)[: 17 << 20]
    payloads = []
    for unit in cut([stored(area, data)]):
        packed = pack(unit, OPTIONS)
        assert isinstance(packed, PackedPart)
        assert packed.piece is not None
        assert not isinstance(packed.piece, tuple)
        payloads.append(packed.piece.payload)
    assert zlib.decompress(b"".join(payloads), -15) == data


def test_what_is_behind_the_end_of_a_file_is_not_read(area: FileSystemArea) -> None:
    blob = stored(area, NOISE[:1000]).blob
    assert bytes(read_briefly(blob, 990, 20)) == NOISE[990:1000]
    assert bytes(read_briefly(blob, 2000, 20)) == b""
    assert bytes(read_briefly(blob)) == NOISE[:1000]


def test_a_file_that_vanished_is_told(area: FileSystemArea) -> None:
    source = stored(area, TEXT)
    area.delete(source.path)
    with pytest.raises(InexistentFile):
        read_briefly(source.blob)
    packed = pack(Batch((source,)), OPTIONS)
    assert isinstance(packed, PackedBatch)
    assert packed.members == (None,)
