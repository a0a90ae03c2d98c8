"""Files that stay open: found again, and closed when they must be."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from orthanc_trio.services import open_files
from orthanc_trio.services.open_files import OpenFiles


@pytest.fixture
def files() -> Iterator[OpenFiles]:
    files = OpenFiles()
    yield files
    files.close()


def keep(files: OpenFiles, path: Path, id: str, key: str) -> None:
    path.write_bytes(key.encode())
    descriptor = os.open(path, os.O_RDONLY)
    files.keep(id, key, descriptor)
    os.close(descriptor)


def content(files: OpenFiles, id: str, key: str) -> bytes | None:
    descriptor = files.borrow(id, key)
    if descriptor is None:
        return None
    try:
        return os.pread(descriptor, 100, 0)
    finally:
        os.close(descriptor)


def open_count() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_a_file_can_be_read_again_and_again_also_when_it_is_deleted(files: OpenFiles, tmp_path: Path) -> None:
    keep(files, tmp_path / "file", "id", "key")
    (tmp_path / "file").unlink()
    assert [content(files, "id", "key") for _ in range(2)] == [b"key", b"key"]


def test_another_file_of_the_same_resource_takes_its_place(files: OpenFiles, tmp_path: Path) -> None:
    keep(files, tmp_path / "file", "id", "old")
    assert content(files, "id", "new") is None
    keep(files, tmp_path / "other", "id", "new")
    assert content(files, "id", "new") == b"new"
    assert content(files, "id", "old") is None


def test_a_forgotten_file_is_closed(files: OpenFiles, tmp_path: Path) -> None:
    before = open_count()
    keep(files, tmp_path / "file", "id", "key")
    files.forget("id")
    files.forget("id")
    assert content(files, "id", "key") is None
    assert open_count() == before


def test_the_least_recently_used_file_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(open_files, "_MOST", 2)
    few = OpenFiles()
    before = open_count()
    for number in range(3):
        keep(few, tmp_path / f"{number}", f"id-{number}", "key")
        content(few, "id-0", "key")
    assert [content(few, f"id-{number}", "key") for number in range(3)] == [b"key", None, b"key"]
    few.close()
    few.close()
    assert open_count() == before
