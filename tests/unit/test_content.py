"""The content of a stored file, however it is stored: any part, in any order, in bounded memory."""

import random

import pytest

from orthanc_trio.deflate import deflate
from orthanc_trio.model.errors import CorruptedFile, InexistentFile
from orthanc_trio.model.resource import Attachment, AttachmentType, Compression
from orthanc_trio.storage.area import Blob
from orthanc_trio.storage.content import open_content
from orthanc_trio.storage.key import new_key
from orthanc_trio.storage.memory import MemoryArea

MIB = 1 << 20


def stored(content: bytes, stream: bytes | None, size: int | None = None) -> Blob:
    """Store `content`, as `stream` unless that is None; return what is read back."""
    area, key = MemoryArea(), new_key()
    area.create(key, content if stream is None else stream)
    attachment = Attachment(
        type=AttachmentType.DICOM,
        uuid=key,
        size=len(content if stream is None else stream),
        uncompressed_size=len(content) if size is None else size,
        compression=Compression.NONE if stream is None else Compression.DEFLATE,
    )
    return open_content(area, attachment)


@pytest.mark.parametrize("is_deflated", [False, True])
@pytest.mark.parametrize("size", [0, 1, MIB, MIB + 1])
def test_any_part_of_the_content_can_be_read(size: int, is_deflated: bool) -> None:
    content = random.Random(size).randbytes(size)
    blob = stored(content, deflate(content) if is_deflated else None)
    assert blob.size == size
    assert blob.read() == content
    for offset, length in [(0, 10), (size // 2, size), (size, 1), (size + 5, 1), (max(0, size - 3), 3)]:
        assert blob.read(offset, length) == content[offset : offset + length]
    assert blob.descriptor() is None


def test_pieces_may_be_read_in_any_order() -> None:
    content = random.Random(1).randbytes(MIB // 8) * 96
    blob = stored(content, deflate(content))
    numbers = [1, 0, 3, 2, 5, 4, 11, 10, 0, 7]
    for number in numbers:
        assert blob.read(number * MIB, MIB) == content[number * MIB : (number + 1) * MIB]


@pytest.mark.parametrize(
    ("stream", "size"),
    [(deflate(b"content")[:-2], 7), (b"\xff" * 20, 7), (deflate(b"content"), 8)],
    ids=["cut off", "no stream", "too short"],
)
def test_a_broken_stream_is_a_corrupted_file(stream: bytes, size: int) -> None:
    blob = stored(b"content", stream, size)
    with pytest.raises(CorruptedFile):
        blob.read()


def test_a_deflated_file_that_vanishes_is_told() -> None:
    area = MemoryArea()
    attachment = Attachment(
        type=1, uuid=new_key(), size=5, uncompressed_size=7, compression=Compression.DEFLATE
    )
    with pytest.raises(InexistentFile):
        open_content(area, attachment).read()
