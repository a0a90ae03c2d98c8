"""Read an uploaded ZIP archive member by member. Blocks: for storage threads.

What an archive says of itself bounds what it can cost: the directory is measured before it is read, and the
declared sizes, beyond which zipfile reads nothing, before anything is unpacked.
"""

import io
import struct
import zipfile
import zlib
from collections.abc import Iterator

import trio
from msgspec import Struct

from ..model.errors import BadFileFormat
from ..storage.area import StorageArea
from .spool import Collected, CollectedFile, Received, Spool, size_of

_PIECE = 1 << 20
_BATCH_BYTES = 4 << 20
_BATCH_MEMBERS = 64
_DIRECTORY_ENTRY = b"PK\x01\x02"
_BYTES_PER_ENTRY = 1024  # 46, and names and extra fields as long as they reasonably get
_ENCRYPTED = 0x1
_METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
# What zipfile raises for archives that are damaged or made in bad faith.
_DAMAGE = (
    zipfile.BadZipFile, zlib.error, EOFError, struct.error, NotImplementedError, OverflowError, OSError,
    RuntimeError, ValueError,
)  # fmt: skip


class ArchiveLimits(Struct, frozen=True, kw_only=True):
    """What an uploaded archive may cost, in bytes of what it unpacks to."""

    entries: int
    member_bytes: float
    total_bytes: float
    memory_bytes: int
    """Larger members go through the storage area."""


class Member(Struct, frozen=True):
    """A file of an archive: its bytes, or the reason why they cannot be had."""

    number: int
    name: str
    content: Collected
    problem: str = ""


class ArchiveReader:
    """Reads the members of an archive in order, in batches that fit in memory.

    Raises BadFileFormat if it is no archive or is beyond the limits.
    """

    def __init__(self, data: Collected, limits: ArchiveLimits) -> None:
        self._limits = limits
        file = _ArchiveFile(data, limits.entries)
        try:
            self._zip = zipfile.ZipFile(file)
        except _DAMAGE as exc:
            raise BadFileFormat("Cannot read the ZIP archive") from exc
        file.is_open = True
        members = [info for info in self._zip.infolist() if info.file_size > 0 and not info.is_dir()]
        self._check_sizes(members)
        self._left = iter(enumerate(members))

    def _check_sizes(self, members: list[zipfile.ZipInfo]) -> None:
        if any(info.file_size > self._limits.member_bytes for info in members):
            raise BadFileFormat("A file in the ZIP archive is too large")
        if sum(info.file_size for info in members) > self._limits.total_bytes:
            raise BadFileFormat("The files in the ZIP archive are too large together")

    def next_batch(self, area: StorageArea) -> list[Member]:
        """Unpack the next members; none are left if the list is empty.

        A cancelled call leaves no file behind. Raises FullStorage, FileStorageCannotWrite.
        """
        batch: list[Member] = []
        size = 0
        for number, info in self._left:
            member = self._read(area, number, info)
            batch.append(member)
            size += size_of(member.content)
            # What lies in the storage area is handed over before the next member can fail or be cancelled.
            if isinstance(member.content, Received) or size >= _BATCH_BYTES or len(batch) >= _BATCH_MEMBERS:
                break
        return batch

    def _read(self, area: StorageArea, number: int, info: zipfile.ZipInfo) -> Member:
        if info.flag_bits & _ENCRYPTED:
            return Member(number, info.filename, b"", "The file is encrypted")
        if info.compress_type not in _METHODS:
            return Member(number, info.filename, b"", "The compression method is not supported")
        spool = Spool(area, self._limits.memory_bytes)
        is_complete = False
        try:
            for piece in self._pieces(info):
                spool.write(piece)
            is_complete = True
            return Member(number, info.filename, spool.finish())
        except _DAMAGE:
            return Member(number, info.filename, b"", "The file is damaged")
        finally:
            if not is_complete:
                spool.discard()

    def _pieces(self, info: zipfile.ZipInfo) -> Iterator[bytes]:
        with self._zip.open(info) as file:
            while piece := file.read(_PIECE):
                trio.from_thread.check_cancelled()
                yield piece


class _ArchiveFile(io.BufferedReader):
    """An archive whose directory, which zipfile reads as a whole, has at most `entries` entries."""

    def __init__(self, data: Collected, entries: int) -> None:
        super().__init__(CollectedFile(data), _PIECE // 8)
        self._entries = entries
        self.is_open = False

    def read(self, size: int | None = -1, /) -> bytes:
        """Return the next bytes. Raises BadFileFormat for a directory that is too large."""
        if self.is_open:
            return super().read(size)
        if size is not None and size > self._entries * _BYTES_PER_ENTRY:
            raise BadFileFormat("The directory of the ZIP archive is too large")
        data = super().read(size)
        if data.count(_DIRECTORY_ENTRY) > self._entries:
            raise BadFileFormat("Too many files in the ZIP archive")
        return data
