"""Where an archive goes: files that grow from step to step, or a channel to a caller that waits.

What a step that was cut off left behind the saved length is cut away when the next one opens the file.
"""

import errno
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import trio

from ..allocation import sync_folder
from ..extent import Chunk, Extent
from ..model.errors import CannotWriteFile, CorruptedFile, FullStorage

Buffer = bytes | memoryview

CHUNK_BYTES = 1 << 20
_FULL = {errno.ENOSPC, errno.EDQUOT}
_CAN_ADVISE = hasattr(os, "posix_fadvise")
_MOST_BUFFERS = 512  # of one call; Linux takes 1024
_MODE = 0o600  # patients' data: for this server alone


class BytesLost(Exception):
    """A file is shorter than what was saved of it: the work has to start over."""


class GrowingFile:
    """A file that is appended to. Blocks; raises CannotWriteFile or FullStorage."""

    def __init__(self, path: Path, size: int) -> None:
        """Open or create the file and cut it to `size` bytes. Raises BytesLost if it has fewer."""
        with _errors():
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _MODE)
            try:
                if os.fstat(self._fd).st_size < size:
                    raise BytesLost
                os.ftruncate(self._fd, size)
            except (OSError, BytesLost):
                self.close()
                raise
        self.size = size
        self._begun = size

    def append(self, chunks: Iterable[Chunk]) -> None:
        """Write `chunks` behind all that is there. Raises CorruptedFile if an extent is cut off."""
        waiting: list[Buffer] = []
        with _errors():
            for chunk in chunks:
                if isinstance(chunk, Extent):
                    self._write(waiting)
                    waiting = []
                    self._copy(chunk)
                elif chunk:
                    waiting.append(chunk)
            self._write(waiting)

    def _copy(self, extent: Extent) -> None:
        try:
            extent.copy(self._fd, self.size)
        except EOFError as exc:
            raise CorruptedFile from exc
        self.size += len(extent)

    def _write(self, waiting: list[Buffer]) -> None:
        while waiting:
            written = os.pwritev(self._fd, waiting[:_MOST_BUFFERS], self.size)
            self.size += written
            waiting = _rest(waiting, written)

    def read(self, offset: int, size: int) -> bytes:
        """Return bytes that were written."""
        with _errors():
            return os.pread(self._fd, size, offset)

    def begin_sync(self) -> None:
        """Begin to write to the disk what was appended, so that `sync` has less to wait for."""
        start, self._begun = self._begun, self.size
        if _CAN_ADVISE:
            with _errors():
                # On Linux this begins to write dirty pages, and drops none of them.
                os.posix_fadvise(self._fd, start, self.size - start, os.POSIX_FADV_DONTNEED)

    def sync(self) -> None:
        """Return when the bytes are on the disk."""
        with _errors():
            os.fdatasync(self._fd)

    def close(self) -> None:
        """Close the file. Does not wait for the disk."""
        os.close(self._fd)


def _rest(chunks: list[Buffer], written: int) -> list[Buffer]:
    """Return what is left of `chunks` after their first `written` bytes."""
    for number, chunk in enumerate(chunks):
        if written < len(chunk):
            return [memoryview(chunk)[written:], *chunks[number + 1 :]]
        written -= len(chunk)
    return []


def write_file(path: Path, data: bytes, *, is_synchronous: bool) -> None:
    """Write a whole file over what may be there, `is_synchronous` durably. Blocks; raises as GrowingFile."""
    with _errors():
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, _MODE)
        try:
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(fd, rest) :]
            if is_synchronous:
                os.fdatasync(fd)
        finally:
            os.close(fd)
    if is_synchronous:
        sync_name(path)


class LocalBlob:
    """A local file that is a member of the archive."""

    def __init__(self, path: Path, size: int) -> None:
        self._path = path
        self.size = size

    def read(self, offset: int = 0, size: int | None = None) -> bytes:
        """Return up to `size` bytes from `offset`."""
        with _errors(), self._path.open("rb") as file:
            file.seek(offset)
            return file.read(-1 if size is None else size)

    def descriptor(self) -> None:
        """Return None: it is read by `read` alone."""


def coalesced(chunks: Iterable[Chunk]) -> Iterator[Chunk]:
    """Join small chunks and cut large ones, to at most CHUNK_BYTES each; extents stay as they are."""
    waiting: list[bytes] = []
    size = 0
    for chunk in chunks:
        if waiting and (isinstance(chunk, Extent) or size + len(chunk) > CHUNK_BYTES):
            yield b"".join(waiting)
            waiting, size = [], 0
        if isinstance(chunk, Extent):
            yield chunk
        elif len(chunk) > CHUNK_BYTES:
            yield from (chunk[i : i + CHUNK_BYTES] for i in range(0, len(chunk), CHUNK_BYTES))
        else:
            waiting.append(chunk)
            size += len(chunk)
    if waiting:
        yield b"".join(waiting)


async def send(sink: trio.abc.SendChannel[Chunk], chunks: Iterable[Chunk]) -> None:
    """Send `chunks` to a reader. Raises CannotWriteFile if it has left."""
    try:
        for chunk in coalesced(chunks):
            await sink.send(chunk)
    except trio.BrokenResourceError as exc:
        raise CannotWriteFile("Cannot add new file inside ZIP archive - error code = -1") from exc


def remove(paths: Iterable[Path]) -> None:
    """Remove files. Safe to repeat. Blocks."""
    for path in paths:
        with _errors():
            path.unlink(missing_ok=True)


def sync_name(path: Path) -> None:
    """Have the name of a new file on the disk. Blocks."""
    with _errors():
        sync_folder(path.parent)


@contextmanager
def _errors() -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        reason = exc.strerror or ""
        raise (FullStorage(reason) if exc.errno in _FULL else CannotWriteFile(reason)) from exc
