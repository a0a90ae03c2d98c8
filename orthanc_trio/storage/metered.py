"""A storage area that measures another: how long its calls take, and how many bytes they move."""

from collections.abc import Iterable, Sequence
from time import perf_counter

from ..metrics import Metrics
from .area import Blob, Receiver, StorageArea

Buffer = bytes | bytearray | memoryview


class MeteredArea:
    """Does what `area` does, and records it. A file that is sent by the kernel counts when it is opened."""

    def __init__(self, area: StorageArea, metrics: Metrics) -> None:
        self._area = area
        self._created = metrics.largest("orthanc_storage_create_duration_ms")
        self._removed = metrics.largest("orthanc_storage_remove_duration_ms")
        self.read_ms = metrics.largest("orthanc_storage_read_duration_ms")
        self.read_bytes = metrics.counter("orthanc_storage_read_bytes")
        self._written_bytes = metrics.counter("orthanc_storage_written_bytes")

    def create(self, key: str, data: Buffer) -> None:
        """Write a whole file."""
        started_s = perf_counter()
        self._area.create(key, data)
        self.note_created(started_s, len(data))

    def receive(self, key: str) -> Receiver:
        """Begin a file whose bytes come in pieces."""
        return _MeteredReceiver(self._area.receive(key), self)

    def commit_all(self, receivers: Sequence[Receiver]) -> None:
        """Commit several receivers of this area."""
        metered = [receiver for receiver in receivers if isinstance(receiver, _MeteredReceiver)]
        assert len(metered) == len(receivers)
        started_s = perf_counter()
        self._area.commit_all([receiver.inner for receiver in metered])
        self.note_created(started_s, sum(receiver.size for receiver in metered))

    def settle(self, keys: Iterable[str]) -> None:
        """Mark files as known to the index."""
        self._area.settle(keys)

    def unsettled(self) -> list[str]:
        """Return the keys of the files that are not settled."""
        return self._area.unsettled()

    def open(self, key: str, size: int) -> Blob:
        """Return the blob of a key."""
        return _MeteredBlob(self._area.open(key, size), self)

    def read_near(self, key: str, size: int) -> bytes | None:
        """Return a file that is in memory."""
        started_s = perf_counter()
        data = self._area.read_near(key, size)
        if data is not None:
            self.read_ms.see_since(started_s)
            self.read_bytes.add(size)
        return data

    def delete(self, key: str) -> None:
        """Remove a file."""
        started_s = perf_counter()
        self._area.delete(key)
        self._removed.see_since(started_s)

    def note_created(self, started_s: float, size: int) -> None:
        """Record that files of `size` bytes together are complete."""
        self._created.see_since(started_s)
        self._written_bytes.add(size)


class _MeteredReceiver:
    """A file that is being received. Its duration is that of its last step: the pieces wait for a client."""

    def __init__(self, receiver: Receiver, area: MeteredArea) -> None:
        self.inner = receiver
        self.size = 0
        self._area = area
        self.read = receiver.read
        self.descriptor = receiver.descriptor
        self.discard = receiver.discard

    def write(self, data: Buffer) -> None:
        self.inner.write(data)
        self.size += len(data)

    def copy(self, blob: Blob, offset: int) -> None:
        self.inner.copy(blob, offset)
        self.size += max(0, blob.size - offset)

    def commit(self) -> int:
        started_s = perf_counter()
        size = self.inner.commit()
        self._area.note_created(started_s, size)
        return size


class _MeteredBlob:
    def __init__(self, blob: Blob, area: MeteredArea) -> None:
        self._blob = blob
        self._area = area
        self._is_counted = False
        self.size = blob.size

    def read(self, offset: int = 0, size: int | None = None) -> bytes:
        started_s = perf_counter()
        data = self._blob.read(offset, size)
        self._area.read_ms.see_since(started_s)
        self._area.read_bytes.add(len(data))
        return data

    def descriptor(self) -> tuple[int, int] | None:
        started_s = perf_counter()
        found = self._blob.descriptor()
        if found is not None:
            self._area.read_ms.see_since(started_s)
            if not self._is_counted:
                self._area.read_bytes.add(self.size)
            self._is_counted = True  # it may be opened for each part of it
        return found
