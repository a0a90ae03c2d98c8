"""What is particular to files: folders, leftovers of a crash, errors of the system."""

import errno
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from orthanc_trio.model.errors import FileStorageCannotWrite, FullStorage, OrthancError
from orthanc_trio.storage.filesystem import FileSystemArea
from orthanc_trio.storage.key import new_key


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "storage"


def open_area(folder: Path, *, is_synchronous: bool = False) -> FileSystemArea:
    return FileSystemArea(folder, is_synchronous=is_synchronous)


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_files_lie_in_256_folders_once_they_are_settled(folder: Path) -> None:
    area = open_area(folder)
    key = new_key()
    area.create(key, b"data")
    assert files(folder) == {f"incoming/{key}"}
    area.settle([key])
    assert files(folder) == {f"{key[:2]}/{key}"}
    assert len(list(folder.iterdir())) == 257
    area.close()


def test_a_restart_keeps_files_and_removes_what_was_being_received(folder: Path) -> None:
    area = open_area(folder)
    settled, unsettled, half = new_key(), new_key(), new_key()
    area.create(settled, b"a")
    area.settle([settled])
    area.create(unsettled, b"b")
    area.receive(half).write(b"c")
    (folder / "incoming" / "note.part").write_bytes(b"not ours")
    area.close()
    area = open_area(folder)
    assert files(folder) == {f"{settled[:2]}/{settled}", f"incoming/{unsettled}", "incoming/note.part"}
    assert area.unsettled() == [unsettled]
    area.close()


@pytest.fixture
def cached_key(folder: Path) -> Iterator[tuple[FileSystemArea, str]]:
    area, key = open_area(folder), new_key()
    area.create(key, b"data")
    area.open(key, 4).read()
    yield area, key
    area.close()


def test_a_file_that_was_just_read_is_near(
    folder: Path, cached_key: tuple[FileSystemArea, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    area, key = cached_key
    calls: list[tuple[int, int]] = []

    def preadv(descriptor: int, buffers: list[bytearray], offset: int, flags: int = 0) -> int:
        calls.append((offset, flags))
        return os.readv(descriptor, buffers)  # on any file system

    monkeypatch.setattr("orthanc_trio.storage.filesystem._NOWAIT", 8)
    monkeypatch.setattr(os, "preadv", preadv)
    assert area.read_near(key, 4) == b"data"
    area.settle([key])
    assert area.read_near(key, 4) == b"data"
    assert calls == [(0, 8), (0, 8)]
    assert os.listdir(folder / "incoming") == []


@pytest.mark.parametrize(
    ("error", "is_asked_again"),
    [(errno.EAGAIN, True), (errno.EIO, True), (errno.EOPNOTSUPP, False), (errno.EINVAL, False)],
)
def test_what_the_system_cannot_tell_is_not_near(
    cached_key: tuple[FileSystemArea, str],
    monkeypatch: pytest.MonkeyPatch,
    error: int,
    is_asked_again: bool,
) -> None:
    area, key = cached_key
    calls: list[int] = []

    def preadv(descriptor: int, *_: object) -> int:
        calls.append(descriptor)
        raise OSError(error, os.strerror(error))

    monkeypatch.setattr("orthanc_trio.storage.filesystem._NOWAIT", 8)
    monkeypatch.setattr(os, "preadv", preadv)
    assert [area.read_near(key, 4), area.read_near(key, 4)] == [None, None]
    assert len(calls) == 1 + is_asked_again
    for descriptor in calls:
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(descriptor)


def test_nothing_is_near_if_only_a_part_of_it_is(
    cached_key: tuple[FileSystemArea, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    area, key = cached_key
    monkeypatch.setattr("orthanc_trio.storage.filesystem._NOWAIT", 8)
    monkeypatch.setattr(os, "preadv", lambda *_: 3)
    assert area.read_near(key, 4) is None


def test_a_second_server_cannot_use_the_folder(folder: Path) -> None:
    area = open_area(folder)
    with pytest.raises(FileStorageCannotWrite, match="Another process"):
        open_area(folder)
    area.close()
    open_area(folder).close()


def test_a_folder_that_is_a_file_is_refused_with_the_reason_and_without_its_path(tmp_path: Path) -> None:
    (tmp_path / "storage").write_bytes(b"")
    with pytest.raises(FileStorageCannotWrite) as caught:
        open_area(tmp_path / "storage")
    assert caught.value.details == os.strerror(errno.ENOTDIR)
    assert str(tmp_path) not in caught.value.details


def test_a_full_disk_leaves_nothing_of_a_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    area = open_area(folder)
    written: list[int] = []

    def write_half(fd: int, data: memoryview) -> int:
        if written:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written.append(os.pwrite(fd, data[:10], 0))
        return 10

    monkeypatch.setattr(os, "write", write_half)
    with pytest.raises(FullStorage, match="No space left on device"):
        area.create(new_key(), b"x" * 100)
    with pytest.raises(FullStorage):
        area.receive(new_key()).write(b"x" * 100)
    assert files(folder) == set()
    area.close()


@pytest.mark.parametrize("failing", ["write", "fsync", "rename"])
def test_an_error_of_the_disk_leaves_nothing_of_a_received_file(
    folder: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    area = open_area(folder, is_synchronous=True)

    def fail(*_: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO), "/a/path")

    receiver = area.receive(new_key())
    receiver.write(b"some")
    monkeypatch.setattr(os, failing, fail)

    def write_and_commit() -> None:
        receiver.write(b"more")
        receiver.commit()

    with pytest.raises(FileStorageCannotWrite) as caught:
        write_and_commit()
    assert caught.value.details == "Input/output error"
    assert files(folder) == set()
    assert receiver.descriptor() is None
    area.close()


def test_a_missing_folder_refuses_files_until_it_is_back(folder: Path) -> None:
    area = open_area(folder)
    (folder / "incoming").rename(folder / "away")
    with pytest.raises(FileStorageCannotWrite, match="No such file"):
        area.create(new_key(), b"data")
    (folder / "away").rename(folder / "incoming")
    key = new_key()
    area.create(key, b"data")
    assert area.unsettled() == [key]
    area.close()


def test_errors_of_reading_are_told_without_the_path(folder: Path) -> None:
    area = open_area(folder)
    key = new_key()
    (folder / key[:2] / key).mkdir()
    with pytest.raises(OrthancError, match="Is a directory") as caught:
        area.open(key, 4).read()
    assert key not in caught.value.details
    area.close()


def test_a_file_can_be_read_at_any_moment_of_its_move(folder: Path) -> None:
    area = open_area(folder)
    keys = [new_key() for _ in range(300)]
    for key in keys:
        area.create(key, key.encode())
    settling = threading.Thread(target=area.settle, args=(keys,))
    settling.start()
    while settling.is_alive():
        for key in keys[::7]:
            assert area.open(key, 36).read() == key.encode()
    settling.join()
    assert area.unsettled() == []
    area.close()


def test_a_deletion_finds_a_file_that_is_being_moved(folder: Path) -> None:
    area = open_area(folder)
    keys = [new_key() for _ in range(300)]
    for key in keys:
        area.create(key, b"")
    settling = threading.Thread(target=area.settle, args=(keys,))
    settling.start()
    for key in reversed(keys):
        area.delete(key)
    settling.join()
    assert files(folder) == set()
    area.close()


def test_the_descriptor_of_a_receiver_shows_what_was_written(folder: Path) -> None:
    area = open_area(folder)
    receiver = area.receive(new_key())
    receiver.write(b"data")
    descriptor = receiver.descriptor()
    assert descriptor is not None
    assert os.pread(descriptor, 10, 0) == b"data"
    receiver.commit()
    assert receiver.descriptor() is None
    area.close()


def test_files_are_readable_by_this_user_only(folder: Path) -> None:
    area = open_area(folder)
    key = new_key()
    area.create(key, b"data")
    assert (folder / "incoming" / key).stat().st_mode & 0o777 == 0o600
    area.close()
