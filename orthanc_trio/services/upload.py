"""Store what a client uploads: an instance, an instance in gzip, or an archive of instances.

The content decides, not its declared type. Small bodies stay in memory, large ones go to the storage area as
they arrive. Source: the Orthanc Book, "Sending DICOM images"; `POST /instances`.
"""

import math
from collections.abc import AsyncIterable
from functools import partial

from msgspec import Struct

from ..storage.area import Storage
from .collecting import Chunk, Collector
from .gunzip import gunzip
from .ingest import Ingest, Origin, StoreResult
from .spool import Collected, Received, owned, piece_of, size_of
from .unpacking import Rejected, Unpacking
from .zip_reader import ArchiveLimits, ArchiveReader

__all__ = ["Rejected", "Upload", "UploadLimits", "UploadResult"]

_SIGNATURES = (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")


class UploadLimits(Struct, frozen=True, kw_only=True):
    """What an upload may cost, in bytes; 0 is no limit."""

    body_bytes: int = 8192 << 20
    member_bytes: int = 4096 << 20
    """One file in an archive, or what a gzip body unpacks to."""
    archive_entries: int = 100_000
    archive_bytes: int = 65_536 << 20
    """All files in an archive together."""
    memory_bytes: int = 16 << 20
    """The largest file that is held in memory."""


class UploadResult(Struct, frozen=True, kw_only=True):
    """What became of an upload: one result, or those of the members of an archive in its order."""

    is_archive: bool
    results: tuple[StoreResult, ...]
    rejected: tuple[Rejected, ...] = ()
    """Members of an archive that are no instances, or cannot be read."""


class Upload:
    """Receives the bodies of uploads and stores what they hold."""

    def __init__(self, ingest: Ingest, storage: Storage, limits: UploadLimits) -> None:
        self._ingest = ingest
        self._storage = storage
        self._limits = limits
        self._collector = Collector(
            storage, limit_bytes=limits.body_bytes or math.inf, memory_bytes=limits.memory_bytes
        )
        self._member_limit = limits.member_bytes or math.inf

    async def store(
        self,
        chunks: AsyncIterable[Chunk],
        origin: Origin,
        *,
        content_length: int | None = None,
        content_encoding: str = "",
    ) -> UploadResult:
        """Store a body that arrives in pieces. A cancelled call leaves no half of a file behind.

        Raises PayloadTooLarge, what `Ingest.store` raises, and BadFileFormat for an archive or gzip body that
        cannot be read or is beyond the limits. The members of an archive that are no instances are passed
        over and reported; another error ends the upload, and what was stored until then stays.
        """
        data = await self._collector.collect(chunks, content_length)
        is_gzip = content_encoding.strip().lower() == "gzip"
        async with owned(self._storage, data):
            return await self._store(data, origin, is_gzip=is_gzip)

    async def _store(self, data: Collected, origin: Origin, *, is_gzip: bool) -> UploadResult:
        # An archive first: one inside gzip is not looked for.
        if (await self._head(data)).startswith(_SIGNATURES):
            return await self._store_archive(data, origin)
        if is_gzip and size_of(data) > 0:
            unpack = partial(
                gunzip, data=data, limit=self._member_limit, memory_bytes=self._limits.memory_bytes
            )
            unpacked = await self._storage.run_long(unpack)
            async with owned(self._storage, unpacked):
                return await self._store_instance(unpacked, origin)
        return await self._store_instance(data, origin)

    async def _store_instance(self, data: Collected, origin: Origin) -> UploadResult:
        return UploadResult(is_archive=False, results=(await self._ingest.store(data, origin),))

    async def _head(self, data: Collected) -> bytes:
        if isinstance(data, Received):
            return await self._storage.run(lambda _: bytes(piece_of(data, 0, 4)))
        return bytes(data[:4])

    async def _store_archive(self, data: Collected, origin: Origin) -> UploadResult:
        limits = ArchiveLimits(
            entries=self._limits.archive_entries,
            member_bytes=self._member_limit,
            total_bytes=self._limits.archive_bytes or math.inf,
            memory_bytes=self._limits.memory_bytes,
        )
        reader = await self._storage.run(lambda _: ArchiveReader(data, limits))
        unpacking = Unpacking(self._ingest, self._storage, reader, origin)
        await unpacking.run()
        return UploadResult(
            is_archive=True,
            results=tuple(unpacking.stored[number] for number in sorted(unpacking.stored)),
            rejected=tuple(unpacking.rejected[number] for number in sorted(unpacking.rejected)),
        )
