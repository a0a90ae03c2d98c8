"""Files in folders of the local file system.

`incoming/KEY` is a file that is not settled, `incoming/KEY.part` one that is still being received, and
`ab/KEY` a settled one; the 256 folders are made beforehand, since a new folder costs more than a file.
A file moves once, by a rename from `incoming`; who looks for it looks behind the move as well.
Errors tell the reason of the system and never a path.
"""

import errno
import fcntl
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from ..model.errors import (
    CorruptedFile,
    FileStorageCannotWrite,
    FullStorage,
    InexistentFile,
    InternalError,
)
from .area import Blob, Receiver
from .key import check_key, is_key

_FULL = {errno.ENOSPC, errno.EDQUOT}
_CREATE = os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
_MODE = 0o600  # patients' data: for this server alone
_SUFFIX = ".part"
_PIECE = 1 << 20
_NOWAIT: int | None = getattr(os, "RWF_NOWAIT", None)  # of Linux
_NO_SUCH_READ = {errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS}
_ROOM = 4 << 20
"""No file takes these last bytes of a disk, which the index may need to delete what is there."""

Buffer = bytes | bytearray | memoryview


class FileSystemArea:
    """A storage area in `folder`, which it owns alone while it is open.

    `is_synchronous` has each file on the disk before `create` and `commit` return.
    Raises FileStorageCannotWrite if the folder cannot be used, or another process uses it.
    """

    def __init__(self, folder: Path, *, is_synchronous: bool) -> None:
        self._folder = os.fspath(folder)
        self._incoming = os.path.join(self._folder, "incoming")
        self._is_synchronous = is_synchronous
        self._tells_what_is_near = _NOWAIT is not None
        with _write_errors():
            _make_folders(self._folder, self._incoming)
            self._incoming_fd = os.open(self._incoming, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            self._take_possession()
        except FileStorageCannotWrite:
            self.close()
            raise

    def _take_possession(self) -> None:
        try:
            # A second server would take the files that this one receives for leftovers of a crash.
            fcntl.flock(self._incoming_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            raise FileStorageCannotWrite("Another process uses the storage area") from exc
        except OSError as exc:
            raise _write_error(exc) from exc
        with _write_errors():
            for name in os.listdir(self._incoming):
                if name.endswith(_SUFFIX) and is_key(name.removesuffix(_SUFFIX)):
                    os.unlink(os.path.join(self._incoming, name))

    def close(self) -> None:
        """Let another process use the folder. Safe to repeat."""
        if self._incoming_fd >= 0:
            os.close(self._incoming_fd)
            self._incoming_fd = -1

    def create(self, key: str, data: Buffer) -> None:
        """Write a whole file. See `StorageArea.create`."""
        path = self.incoming_path(key)
        with _write_errors():
            fd = os.open(path, _CREATE | os.O_WRONLY, _MODE)
        try:
            with _write_errors():
                try:
                    _write_all(fd, data)
                    self.leave_room()
                    self.flush(fd)
                finally:
                    os.close(fd)
                self.flush_folder()
        except (FullStorage, FileStorageCannotWrite):
            with suppress(OSError):
                os.unlink(path)
            raise

    def receive(self, key: str) -> "FileReceiver":
        """Begin a file whose bytes come in pieces. See `StorageArea.receive`."""
        return FileReceiver(self, key)

    def commit_all(self, receivers: Sequence[Receiver]) -> None:
        """Make several files durable together. See `StorageArea.commit_all`."""
        if self._is_synchronous:
            for descriptor in filter(None, (receiver.descriptor() for receiver in receivers)):
                # The disk begins to write all of them before the first is waited for.
                os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        for receiver in receivers:
            assert isinstance(receiver, FileReceiver)
            receiver.put()
        with _write_errors():
            self.flush_folder()

    def settle(self, keys: Iterable[str]) -> None:
        """Move files to their final folders. Safe to repeat."""
        for key in keys:
            with _write_errors(), suppress(FileNotFoundError):
                os.rename(self.incoming_path(key), self.settled_path(key))

    def unsettled(self) -> list[str]:
        """Return the keys of the files that are not settled."""
        with _write_errors():
            return [name for name in os.listdir(self._incoming) if is_key(name)]

    def open(self, key: str, size: int) -> "FileBlob":
        """Return the blob of a key. Reads nothing yet."""
        return FileBlob(self, check_key(key), size)

    def open_file(self, key: str) -> int:
        """Return a descriptor for reading a file, settled or not. Raises InexistentFile, InternalError."""
        settled, incoming = f"{self._folder}/{check_key(key)[:2]}/{key}", f"{self._incoming}/{key}"
        # The move may happen between the first look and the second.
        for path in (settled, incoming, settled):
            try:
                return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                continue
            except OSError as exc:
                raise _read_error(exc) from exc
        raise InexistentFile

    def read_near(self, key: str, size: int) -> bytes | None:
        """Return a file of `size` bytes if all of them are in the page cache."""
        # That its name is as near cannot be asked for, but what was read lately has been found lately.
        if not self._tells_what_is_near:
            return None
        try:
            descriptor = self.open_file(key)
        except (InexistentFile, InternalError):
            return None
        try:
            return self._read_near(descriptor, size)
        finally:
            os.close(descriptor)

    def _read_near(self, descriptor: int, size: int) -> bytes | None:
        assert _NOWAIT is not None
        room = bytearray(size + 1)  # a longer file is not the one that was meant
        try:
            count = os.preadv(descriptor, [room], 0, _NOWAIT)
        except OSError as exc:
            if exc.errno in _NO_SUCH_READ:
                self._tells_what_is_near = False  # nor will the next file of this file system
            return None
        return bytes(memoryview(room)[:size]) if count == size else None

    def delete(self, key: str) -> None:
        """Remove a file, settled or not."""
        # In the direction of the move, so that a file which is being settled is not missed.
        for path in (self.incoming_path(key), self.settled_path(key)):
            with _write_errors(), suppress(FileNotFoundError):
                os.unlink(path)

    def incoming_path(self, key: str) -> str:
        """Return where the file of `key` is until it is settled."""
        return f"{self._incoming}/{check_key(key)}"

    def settled_path(self, key: str) -> str:
        """Return where the file of `key` is once it is settled."""
        return f"{self._folder}/{check_key(key)[:2]}/{key}"

    def leave_room(self) -> None:
        """Raise FullStorage if so little is left of the disk that the file just written must go again."""
        disk = os.fstatvfs(self._incoming_fd)
        if disk.f_bavail * disk.f_frsize < _ROOM:
            raise FullStorage(os.strerror(errno.ENOSPC))

    def flush(self, fd: int) -> None:
        """Have the bytes of an open file on the disk, if the area synchronises."""
        if self._is_synchronous:
            os.fsync(fd)

    def flush_folder(self) -> None:
        """Have the names of the incoming files on the disk, if the area synchronises."""
        if self._is_synchronous:
            os.fsync(self._incoming_fd)


class FileBlob:
    """The bytes of one file."""

    def __init__(self, area: FileSystemArea, key: str, size: int) -> None:
        self._area = area
        self._key = key
        self.size = size

    def read(self, offset: int = 0, size: int | None = None) -> bytes:
        """Return up to `size` bytes from `offset`. Raises InexistentFile."""
        fd = self._area.open_file(self._key)
        try:
            with _read_errors():
                wanted = max(0, os.fstat(fd).st_size - offset)
                return _read_all(fd, offset, wanted if size is None else min(size, wanted))
        finally:
            os.close(fd)

    def descriptor(self) -> tuple[int, int]:
        """Open the file: (file descriptor, 0); the caller closes it. Raises InexistentFile."""
        return self._area.open_file(self._key), 0


class FileReceiver:
    """A file that grows under a temporary name, which no listing shows and a restart removes."""

    def __init__(self, area: FileSystemArea, key: str) -> None:
        self._area = area
        self._target = area.incoming_path(key)
        self._path = self._target + _SUFFIX
        self._size = 0
        with _write_errors():
            self._fd = os.open(self._path, _CREATE | os.O_RDWR, _MODE)

    def write(self, data: Buffer) -> None:
        """Append `data`; on failure nothing of the file is left."""
        try:
            with _write_errors():
                _write_all(self._fd, data)
        except (FullStorage, FileStorageCannotWrite):
            self.discard()
            raise
        self._size += len(data)

    def copy(self, blob: Blob, offset: int) -> None:
        """Append what `blob` holds from `offset` on; on failure nothing of the file is left."""
        end = self._size + max(0, blob.size - offset)
        place = blob.descriptor()
        if place is not None:
            self._copy_in_kernel(place, offset, blob.size)
        try:
            while self._size < end:
                piece = blob.read(blob.size - (end - self._size), _PIECE)
                if not piece:
                    raise CorruptedFile
                self.write(piece)
        except (CorruptedFile, InexistentFile):
            self.discard()
            raise

    def _copy_in_kernel(self, place: tuple[int, int], offset: int, end: int) -> None:
        """Append as much as the kernel can copy from a place, which is closed."""
        source, first = place
        try:
            while offset < end:
                count = os.copy_file_range(source, self._fd, end - offset, first + offset)
                if count == 0:
                    return
                offset += count
                self._size += count
        except OSError as exc:
            if exc.errno in _FULL:
                self.discard()
                raise _write_error(exc) from exc
            # Not every file system can do it; reading and writing tells what else is wrong.
        finally:
            os.close(source)

    def read(self, offset: int, size: int) -> bytes:
        """Return bytes that were written already."""
        with _read_errors():
            return _read_all(self._fd, offset, min(size, max(0, self._size - offset)))

    def descriptor(self) -> int | None:
        """Return the descriptor of the file while it is open."""
        return self._fd if self._fd >= 0 else None

    def commit(self) -> int:
        """Give the file its key, durably if the area synchronises, and return its size. Safe to repeat."""
        if self._fd >= 0:
            self.put()
            with _write_errors():
                self._area.flush_folder()
        return self._size

    def put(self) -> None:
        """Give the file its key, whose name is not yet sure to be on the disk."""
        try:
            with _write_errors():
                self._area.leave_room()
                self._area.flush(self._fd)
                os.rename(self._path, self._target)
        except (FullStorage, FileStorageCannotWrite):
            self.discard()
            raise
        self._close()

    def discard(self) -> None:
        """Forget the file. Does nothing after `commit`; safe to repeat."""
        if self._fd >= 0:
            self._close()
            with suppress(OSError):
                os.unlink(self._path)

    def _close(self) -> None:
        os.close(self._fd)
        self._fd = -1


def _make_folders(folder: str, incoming: str) -> None:
    os.makedirs(incoming, exist_ok=True)
    existing = set(os.listdir(folder))
    for name in (f"{number:02x}" for number in range(256)):
        if name not in existing:
            os.mkdir(os.path.join(folder, name))


def _write_all(fd: int, data: Buffer) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(fd, rest) :]


def _read_all(fd: int, offset: int, size: int) -> bytes:
    data = os.pread(fd, size, offset)
    if len(data) == size or not data:
        return data
    # Linux returns at most 2 GiB at once.
    return data + _read_all(fd, offset + len(data), size - len(data))


def _write_error(exc: OSError) -> FullStorage | FileStorageCannotWrite:
    reason = exc.strerror or "Unknown reason"
    return FullStorage(reason) if exc.errno in _FULL else FileStorageCannotWrite(reason)


@contextmanager
def _write_errors() -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise _write_error(exc) from exc


def _read_error(exc: OSError) -> InternalError:
    return InternalError(f"Error while accessing the filesystem: {exc.strerror}")


@contextmanager
def _read_errors() -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise _read_error(exc) from exc
