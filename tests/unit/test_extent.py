"""Stretches of files that the kernel copies."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from orthanc_trio.extent import Extent, write

CONTENT = Random(1).randbytes(3 << 20)
OFFSET, SIZE = 1000, (2 << 20) + 7


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(CONTENT)
    return path


@pytest.fixture
def target(tmp_path: Path) -> Iterator[int]:
    descriptor = os.open(tmp_path / "target", os.O_RDWR | os.O_CREAT)
    yield descriptor
    os.close(descriptor)


def extent_of(file: Path, size: int = SIZE) -> Extent:
    return Extent(os.open(file, os.O_RDONLY), OFFSET, size, b"head")


def test_it_is_what_its_file_holds(file: Path) -> None:
    extent = extent_of(file)
    extent.load()
    assert bytes(extent) == b"head" + CONTENT[OFFSET : OFFSET + SIZE]
    assert len(extent) == 4 + SIZE


@pytest.mark.parametrize("refusal", [None, errno.EXDEV, errno.ENOSYS])
def test_it_is_copied_also_where_the_kernel_cannot(
    file: Path, target: int, refusal: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> int:
        assert refusal is not None
        raise OSError(refusal, "no")

    if refusal is not None:
        monkeypatch.setattr(os, "copy_file_range", refuse)
    write(target, b"before", 0)
    write(target, extent_of(file), 6)
    assert os.pread(target, 4 << 20, 0) == b"beforehead" + CONTENT[OFFSET : OFFSET + SIZE]


def test_a_file_that_was_cut_off_is_an_error(file: Path, target: int) -> None:
    extent = extent_of(file)
    os.truncate(file, SIZE)
    with pytest.raises(EOFError):
        extent.load()
    with pytest.raises(EOFError):
        bytes(extent)
    with pytest.raises(EOFError):
        write(target, extent, 0)


def test_another_error_is_told(file: Path) -> None:
    with open(file, "rb") as unwritable, pytest.raises(OSError, match="Bad file descriptor"):
        extent_of(file).copy(unwritable.fileno(), 0)


def test_the_file_is_closed_when_nobody_holds_it(file: Path) -> None:
    extent = extent_of(file)
    descriptor = extent.descriptor
    del extent
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)
