"""One step's hand on an archive: appends packed units, and says from where the next step goes on.

The records of the central directory and the leaves of a DICOMDIR wait in files of their own, beside the
archive, so that memory and cursor stay small; a job that ends in its first step never makes them.
"""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import trio
from msgspec import Struct

from .. import zipfmt
from ..extent import Chunk
from ..model.errors import CannotWriteFile, InexistentFile
from .archive_files import CHUNK_BYTES, BytesLost, GrowingFile, send, sync_name
from .archive_manifest import Manifest
from .archive_member import Source, open_joined
from .archive_pack import PackedBatch, PackedPart, Part

# A hop to a thread pays off for so much, and it is not too much to keep.
_WRITE_BYTES = 2 << 20


class OpenMember(Struct, frozen=True):
    """A streamed member of which `position` bytes of input are in the archive; its header is at `offset`."""

    position: int
    offset: int
    time: int
    crc: int = 0
    compressed_size: int = 0


class ArchiveCursor(Struct, frozen=True, omit_defaults=True):
    """How far an archive is: the members before `next` are done, and `open` of that one is."""

    next: int = 0
    offset: int = 0
    """The size of the archive."""
    count: int = 0
    """Members in the archive; fewer than `next` if some have vanished."""
    records_size: int = 0
    leaves_size: int = 0
    open: OpenMember | None = None
    manifest_size: int = 0
    refused: tuple[str, ...] = ()
    """The first of the instances that were to be transcoded and could not be."""
    refused_count: int = 0


class ArchivePaths:
    """The files of one archive job. A path is asked for only when it is used: the engine removes what a job
    has asked for and not left as an output."""

    def __init__(self, output_path: Callable[[str], Path]) -> None:
        self._output_path = output_path

    @property
    def archive(self) -> Path:
        """The archive itself."""
        return self._output_path("archive")

    @property
    def records(self) -> Path:
        """The records of the central directory."""
        return self._output_path("archive-records")

    @property
    def leaves(self) -> Path:
        """The leaves of the DICOMDIR."""
        return self._output_path("archive-leaves")

    @property
    def dicomdir(self) -> Path:
        """The DICOMDIR."""
        return self._output_path("archive-dicomdir")

    @property
    def manifest(self) -> Path:
        """The manifest."""
        return self._output_path("archive-manifest")


class ArchiveWriter:
    """Appends to the archive of one job, to its file or (`sink`) to a reader, within one step.

    `open` first; then `take` in order; then `save` or `finish`; `close` in any case. `time` is that of the
    new members. After an error or a cancel nothing but `close` works, and the cursor of before still holds.
    """

    def __init__(
        self,
        paths: ArchivePaths,
        cursor: ArchiveCursor,
        *,
        sink: trio.abc.SendChannel[Chunk] | None,
        manifest: Manifest | None,
        time: int,
        is_synchronous: bool,
        limiter: trio.CapacityLimiter,
    ) -> None:
        self.paths = paths
        self.next = cursor.next
        self.offset = cursor.offset
        self.vanished: list[int] = []
        """Positions in the plan of the members that were passed over."""
        self._cursor = cursor
        self._count = cursor.count
        self._open_member = cursor.open
        self._sink = sink
        self._manifest = manifest
        self._time = time
        self._is_synchronous = is_synchronous
        self._limiter = limiter
        self._archive: GrowingFile | None = None
        self._records: GrowingFile | None = None
        self._leaves: GrowingFile | None = None
        self._unwritten: list[Chunk] = []
        self._new_records: list[bytes] = []
        self._new_leaves: list[bytes] = []
        self._skipped: Source | None = None

    async def open(self) -> None:
        """Open what earlier steps have left. Raises BytesLost if the archive has to start over."""
        cursor = self._cursor
        if self._sink is not None and not (cursor.records_size or cursor.leaves_size or cursor.manifest_size):
            return
        try:
            await trio.to_thread.run_sync(self._open_files, limiter=self._limiter)
        except BytesLost as exc:
            if self._sink is not None:
                raise CannotWriteFile("The beginning of the archive is lost") from exc
            raise

    async def take(self, packed: PackedBatch | PackedPart) -> None:
        """Append the next unit. Raises InexistentFile if a member has vanished behind its first part."""
        chunks = self._enter_batch(packed) if isinstance(packed, PackedBatch) else self._enter_part(packed)
        self._new_leaves += packed.leaves
        if self._manifest is not None:
            await self._enter_rows(self._manifest, packed)
        await self._write(chunks)

    async def save(self) -> ArchiveCursor:
        """Return the cursor after what was taken, when it is safe to go on from there."""
        sizes = await trio.to_thread.run_sync(self._save, limiter=self._limiter)
        records, leaves, manifest = sizes
        return ArchiveCursor(
            self.next, self.offset, self._count, records, leaves, self._open_member, manifest
        )

    async def save_leaves(self) -> int:
        """Have all leaves in their file, and return its size."""
        return await trio.to_thread.run_sync(self._save_leaves, limiter=self._limiter)

    async def save_manifest(self) -> int:
        """Have all rows of the manifest in their file, and return its size."""
        assert self._manifest is not None
        return await trio.to_thread.run_sync(self._manifest.save, limiter=self._limiter)

    async def finish(self) -> ArchiveCursor:
        """Write the central directory and the end."""
        start = self.offset
        for position in range(0, self._cursor.records_size, CHUNK_BYTES):
            await self._write([await self._read_records(position)])
        await self._write(self._new_records)
        await self._write([zipfmt.end_of_archive(self._count, start, self.offset - start)])
        await trio.to_thread.run_sync(self._finish, limiter=self._limiter)
        return ArchiveCursor(self.next, self.offset, self._count)

    def close(self) -> None:
        """Close the files. Safe to repeat."""
        for file in self._files():
            file.close()
        self._archive = self._records = self._leaves = None

    def _enter_batch(self, packed: PackedBatch) -> list[Chunk]:
        chunks: list[Chunk] = []
        offset = self.offset
        for position, member in enumerate(packed.members, self.next):
            if member is None:
                self.vanished.append(position)
                continue
            self._enter_record(member.entry, offset)
            chunks += member.chunks
            offset += member.size
        self.next += len(packed.members)
        return chunks

    def _enter_part(self, packed: PackedPart) -> list[Chunk]:
        part = packed.part
        if part.source is self._skipped:
            return []
        if packed.piece is None:
            if part.offset:
                raise InexistentFile
            self._skipped = part.source
            self.vanished.append(self.next)
            self.next += 1
            return []
        before = self._open_member or OpenMember(0, self.offset, self._time)
        if isinstance(packed.piece, zipfmt.Piece):
            chunks = self._enter_piece(part, packed.piece, before)
        else:
            chunks = self._join(part, packed.piece, before)
        if part.is_last:
            self._open_member = None
            self.next += 1
        return chunks

    def _join(self, part: Part, data: tuple[Chunk, ...], before: OpenMember) -> list[Chunk]:
        """Go on with a member that is a deflate stream, of which all is known beforehand."""
        assert part.source.stream is not None
        entry, header = open_joined(part.source.path, part.source.stream, before.time)
        self._open_member = OpenMember(part.offset + part.size, before.offset, before.time)
        if part.is_last:
            self._enter_record(entry, before.offset)
        return [*data] if part.offset else [header, *data]

    def _enter_piece(self, part: Part, piece: zipfmt.Piece, before: OpenMember) -> list[Chunk]:
        """Go on with a member that is made of pieces."""
        entry, header = zipfmt.open_streamed(part.source.path, part.source.size, before.time)
        crc = zipfmt.join_crc(before.crc, piece)
        compressed_size = before.compressed_size + len(piece.payload)
        chunks: list[Chunk] = [piece.payload] if part.offset else [header, piece.payload]
        self._open_member = OpenMember(
            part.offset + part.size, before.offset, before.time, crc, compressed_size
        )
        if part.is_last:
            entry, descriptor = zipfmt.close_streamed(entry, crc, compressed_size)
            self._enter_record(entry, before.offset)
            chunks.append(descriptor)
        return chunks

    async def _enter_rows(self, manifest: Manifest, packed: PackedBatch | PackedPart) -> None:
        if isinstance(packed, PackedBatch):
            manifest.enter(packed.rows)
        elif packed.piece is not None and packed.part.source is not self._skipped:
            await trio.to_thread.run_sync(manifest.add_part, packed.part, packed.data, limiter=self._limiter)

    def _enter_record(self, entry: zipfmt.Entry, offset: int) -> None:
        self._new_records.append(zipfmt.central_record(entry, offset))
        self._count += 1

    async def _write(self, chunks: Sequence[Chunk]) -> None:
        self.offset += sum(map(len, chunks))
        if self._sink is not None:
            await send(self._sink, chunks)
            return
        self._unwritten += chunks
        if sum(map(len, self._unwritten)) >= _WRITE_BYTES:
            await trio.to_thread.run_sync(self._flush, limiter=self._limiter)

    async def _read_records(self, position: int) -> bytes:
        assert self._records is not None
        size = min(CHUNK_BYTES, self._cursor.records_size - position)
        return await trio.to_thread.run_sync(
            partial(self._records.read, position, size), limiter=self._limiter
        )

    def _open_files(self) -> None:
        if self._sink is None:
            self._archive = GrowingFile(self.paths.archive, self._cursor.offset)
        if self._cursor.records_size:
            self._records = GrowingFile(self.paths.records, self._cursor.records_size)
        if self._cursor.leaves_size:
            self._leaves = GrowingFile(self.paths.leaves, self._cursor.leaves_size)
        if self._manifest is not None:
            self._manifest.open()

    def _files(self) -> list[GrowingFile | Manifest]:
        files = (self._archive, self._records, self._leaves, self._manifest)
        return [file for file in files if file is not None]

    def _flush(self) -> None:
        if self._archive is not None:
            self._archive.append(self._unwritten)
            self._unwritten = []
            if self._is_synchronous:
                self._archive.begin_sync()

    def _save(self) -> tuple[int, int, int]:
        self._flush()
        if self._records is None:
            self._records = GrowingFile(self.paths.records, 0)
        self._records.append(self._new_records)
        leaves_size = self._save_leaves()
        manifest_size = self._manifest.save() if self._manifest is not None else 0
        if self._is_synchronous and self._sink is None:
            for file in self._files():
                file.sync()
        return self._records.size, leaves_size, manifest_size

    def _save_leaves(self) -> int:
        if self._leaves is None:
            if not self._new_leaves:
                return 0
            self._leaves = GrowingFile(self.paths.leaves, 0)
        self._leaves.append(self._new_leaves)
        self._new_leaves = []
        return self._leaves.size

    def _finish(self) -> None:
        self._flush()
        if self._archive is not None and self._is_synchronous:
            self._archive.sync()
            sync_name(self.paths.archive)
