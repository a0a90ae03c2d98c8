"""What every storage area must do: each backend runs this class with its own `area`."""

import os
from uuid import uuid4

import pytest

from orthanc_trio.model.errors import FileStorageCannotWrite, InexistentFile
from orthanc_trio.storage.area import Blob, StorageArea

_UUID = "0c72d456-5069-4d64-a3ec-696e50b30003"


def new_key() -> str:
    return str(uuid4())


def content(blob: Blob) -> bytes:
    """Return the bytes of a blob by every way there is, which must agree."""
    data = blob.read()
    found = blob.descriptor()
    if found is not None:
        descriptor, offset = found
        assert os.pread(descriptor, blob.size, offset) == data
        os.close(descriptor)
    return data


class StorageContract:
    """Subclass with a fixture `area`."""

    @pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
    @pytest.mark.parametrize("size", [0, 1, 100_000])
    def test_a_file_is_read_as_it_was_written(
        self, area: StorageArea, kind: type[bytes] | type[bytearray] | type[memoryview], size: int
    ) -> None:
        key, data = new_key(), bytes(range(256)) * (size // 256 + 1)
        area.create(key, kind(data[:size]))
        assert content(area.open(key, size)) == data[:size]

    def test_a_part_of_a_file_is_clipped_at_its_end(self, area: StorageArea) -> None:
        key = new_key()
        area.create(key, b"0123456789")
        blob = area.open(key, 10)
        assert blob.size == 10
        assert blob.read(3, 4) == b"3456"
        assert blob.read(8) == b"89"
        assert blob.read(8, 100) == b"89"
        assert blob.read(10) == blob.read(11, 5) == blob.read(0, 0) == b""

    def test_changing_the_buffer_later_does_not_change_the_file(self, area: StorageArea) -> None:
        key, data = new_key(), bytearray(b"before")
        area.create(key, data)
        data[:] = b"after!"
        assert area.open(key, 6).read() == b"before"

    def test_a_file_is_unsettled_until_it_is_settled(self, area: StorageArea) -> None:
        first, second = new_key(), new_key()
        area.create(first, b"a")
        area.create(second, b"b")
        assert sorted(area.unsettled()) == sorted([first, second])
        area.settle([first])
        assert area.unsettled() == [second]
        assert content(area.open(first, 1)) == b"a"
        area.settle([first, second, new_key()])
        assert area.unsettled() == []
        assert content(area.open(second, 1)) == b"b"

    def test_a_blob_is_readable_across_the_settling(self, area: StorageArea) -> None:
        key = new_key()
        area.create(key, b"data")
        blob = area.open(key, 4)
        assert content(blob) == b"data"
        area.settle([key])
        assert content(blob) == b"data"

    @pytest.mark.parametrize("is_settled", [False, True])
    def test_a_deleted_file_is_gone(self, area: StorageArea, is_settled: bool) -> None:
        key = new_key()
        area.create(key, b"data")
        if is_settled:
            area.settle([key])
        blob = area.open(key, 4)
        area.delete(key)
        area.delete(key)
        assert area.unsettled() == []
        with pytest.raises(InexistentFile):
            blob.read()
        with pytest.raises(InexistentFile):
            blob.descriptor()

    def test_opening_an_unknown_key_fails_on_use_only(self, area: StorageArea) -> None:
        blob = area.open(new_key(), 4)
        with pytest.raises(InexistentFile):
            blob.read(0, 1)

    def test_a_key_is_written_once(self, area: StorageArea) -> None:
        key = new_key()
        area.create(key, b"first")
        with pytest.raises(FileStorageCannotWrite):
            area.create(key, b"second")
        assert area.open(key, 5).read() == b"first"

    @pytest.mark.parametrize("key", ["", "../../etc/passwd", "A" * 36, f"{_UUID}/x", f"{_UUID}\n", "é" * 36])
    def test_nothing_but_a_uuid_is_a_key(self, area: StorageArea, key: str) -> None:
        with pytest.raises(ValueError, match="key"):
            area.create(key, b"")
        with pytest.raises(ValueError, match="key"):
            area.receive(key)
        with pytest.raises(ValueError, match="key"):
            area.open(key, 0)
        with pytest.raises(ValueError, match="key"):
            area.delete(key)
        with pytest.raises(ValueError, match="key"):
            area.read_near(key, 0)

    @pytest.mark.parametrize("is_settled", [False, True])
    @pytest.mark.parametrize("size", [0, 1, 4096, 10_000])
    def test_what_is_read_near_is_the_file_or_nothing(
        self, area: StorageArea, size: int, is_settled: bool
    ) -> None:
        key, data = new_key(), bytes(range(256)) * (size // 256 + 1)
        area.create(key, data[:size])
        if is_settled:
            area.settle([key])
        assert area.read_near(key, size) in (data[:size], None)
        assert area.read_near(key, size + 1) is None
        assert not size or area.read_near(key, size - 1) is None
        area.delete(key)
        assert area.read_near(key, size) is None

    def test_a_received_file_appears_with_its_commit(self, area: StorageArea) -> None:
        key = new_key()
        receiver = area.receive(key)
        receiver.write(b"012")
        receiver.write(bytearray(b"345"))
        assert receiver.read(1, 3) == b"123"
        assert receiver.read(4, 100) == b"45"
        assert receiver.read(6, 1) == b""
        assert area.unsettled() == []
        with pytest.raises(InexistentFile):
            area.open(key, 6).read()
        assert receiver.commit() == 6
        receiver.discard()
        assert area.unsettled() == [key]
        assert content(area.open(key, 6)) == b"012345"
        area.settle([key])
        assert content(area.open(key, 6)) == b"012345"

    def test_a_discarded_file_never_appears(self, area: StorageArea) -> None:
        key = new_key()
        receiver = area.receive(key)
        receiver.write(b"data")
        receiver.discard()
        receiver.discard()
        assert area.unsettled() == []
        with pytest.raises(InexistentFile):
            area.open(key, 4).read()

    def test_a_received_file_takes_the_end_of_another_one(self, area: StorageArea) -> None:
        source, key, data = new_key(), new_key(), bytes(range(256)) * 9000
        area.create(source, data)
        receiver = area.receive(key)
        receiver.write(b"head")
        receiver.copy(area.open(source, len(data)), 1000)
        receiver.write(b"end")
        assert receiver.read(0, 8) == b"head" + data[1000:1004]
        assert receiver.commit() == receiver.commit() == len(data) - 993
        assert content(area.open(key, len(data) - 993)) == b"head" + data[1000:] + b"end"

    def test_nothing_is_left_of_a_copy_of_what_is_not_there(self, area: StorageArea) -> None:
        receiver = area.receive(new_key())
        with pytest.raises(InexistentFile):
            receiver.copy(area.open(new_key(), 10), 0)
        receiver.discard()
        assert area.unsettled() == []

    def test_several_files_are_committed_together(self, area: StorageArea) -> None:
        keys = [new_key() for _ in range(3)]
        receivers = [area.receive(key) for key in keys]
        for receiver, key in zip(receivers, keys, strict=True):
            receiver.write(key.encode())
        assert area.unsettled() == []
        area.commit_all(receivers)
        area.commit_all([])
        assert sorted(area.unsettled()) == sorted(keys)
        assert [content(area.open(key, 36)) for key in keys] == [key.encode() for key in keys]
        for receiver in receivers:
            receiver.discard()
        assert sorted(area.unsettled()) == sorted(keys)
