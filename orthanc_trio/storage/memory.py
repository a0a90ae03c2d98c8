"""A storage area in memory: for trials and tests, gone with the process."""

from collections.abc import Iterable, Sequence

from ..model.errors import FileStorageCannotWrite, InexistentFile
from .area import Blob, Receiver
from .key import check_key

Buffer = bytes | bytearray | memoryview


class MemoryArea:
    """A storage area without files. Safe in any thread: each step is one operation of a dictionary."""

    def __init__(self) -> None:
        self._files: dict[str, bytes] = {}
        self._unsettled: dict[str, None] = {}

    def create(self, key: str, data: Buffer) -> None:
        """Keep a copy of `data`. Raises FileStorageCannotWrite if the key is taken."""
        if check_key(key) in self._files:
            raise FileStorageCannotWrite("File exists")
        self._files[key] = bytes(data)
        self._unsettled[key] = None

    def receive(self, key: str) -> "MemoryReceiver":
        """Begin a file whose bytes come in pieces."""
        return MemoryReceiver(self, check_key(key))

    def commit_all(self, receivers: Sequence[Receiver]) -> None:
        """Keep several files."""
        for receiver in receivers:
            receiver.commit()

    def settle(self, keys: Iterable[str]) -> None:
        """Mark files as known to the index."""
        for key in keys:
            self._unsettled.pop(key, None)

    def unsettled(self) -> list[str]:
        """Return the keys of the files that are not settled."""
        return list(self._unsettled)

    def open(self, key: str, size: int) -> "MemoryBlob":
        """Return the blob of a key."""
        return MemoryBlob(self, check_key(key), size)

    def read_near(self, key: str, size: int) -> bytes | None:
        """Return a file of `size` bytes."""
        data = self._files.get(check_key(key))
        return None if data is None or len(data) != size else data

    def delete(self, key: str) -> None:
        """Remove a file, settled or not."""
        self._unsettled.pop(check_key(key), None)
        self._files.pop(key, None)

    def content(self, key: str) -> bytes:
        """Return the bytes of a file. Raises InexistentFile."""
        try:
            return self._files[key]
        except KeyError as exc:
            raise InexistentFile from exc


class MemoryBlob:
    """The bytes behind one key."""

    def __init__(self, area: MemoryArea, key: str, size: int) -> None:
        self._area = area
        self._key = key
        self.size = size

    def read(self, offset: int = 0, size: int | None = None) -> bytes:
        """Return up to `size` bytes from `offset`. Raises InexistentFile."""
        content = self._area.content(self._key)
        return content[offset:] if size is None else content[offset : offset + size]

    def descriptor(self) -> None:
        """Return None: there is no local file. Raises InexistentFile."""
        self._area.content(self._key)


class MemoryReceiver:
    """A file that grows in memory."""

    def __init__(self, area: MemoryArea, key: str) -> None:
        self._area = area
        self._key = key
        self._content = bytearray()
        self._is_open = True

    def write(self, data: Buffer) -> None:
        """Append `data`."""
        self._content += data

    def read(self, offset: int, size: int) -> bytes:
        """Return bytes that were written already."""
        return bytes(self._content[offset : offset + size])

    def copy(self, blob: Blob, offset: int) -> None:
        """Append what `blob` holds from `offset` on."""
        self.write(blob.read(offset))

    def descriptor(self) -> None:
        """Return None: there is no local file."""

    def commit(self) -> int:
        """Keep the file under its key and return its size. Safe to repeat."""
        if self._is_open:
            self._area.create(self._key, self._content)
            self._is_open = False
        return len(self._content)

    def discard(self) -> None:
        """Forget the bytes. Does nothing after `commit`; safe to repeat."""
        if self._is_open:
            self._content = bytearray()
