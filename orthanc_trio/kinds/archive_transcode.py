"""Members of an archive on their way to another transfer syntax: read, transcoded in a process, packed."""

from collections.abc import Sequence
from functools import partial

import trio
from msgspec import Struct
from msgspec.structs import replace

from ..dicom.derived_uid import derived_uid
from ..model.errors import InexistentFile
from ..services.transcoding import InWorker, transcode_files
from .archive_member import Source
from .archive_pack import Batch, PackedBatch, PackedPart, Unit
from .archive_plan import is_packed

NAMED_REFUSALS = 100
"""So many of the instances that could not be transcoded are named, so that a cursor stays small."""


class Transcoding(Struct, frozen=True):
    """What members are to become."""

    syntax: str
    quality: int


class MemoryBlob:
    """Bytes that are a member of the archive."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def read(self, offset: int = 0, size: int | None = None) -> bytes:
        """Return up to `size` bytes from `offset`."""
        return self._data[offset : None if size is None else offset + size]

    def descriptor(self) -> None:
        """Return None: there is no file."""


class Transcoder:
    """Transcodes the units of one step, and tells which members it had to leave as they are.

    A source with an `id` is to be transcoded; one that comes back with it could not be.
    """

    def __init__(self, to: Transcoding, in_worker: InWorker, reading: trio.CapacityLimiter) -> None:
        self.refused: list[str] = []
        self._to = to
        self._in_worker = in_worker
        self._reading = reading

    async def transcoded(self, unit: Unit) -> Unit:
        """Return the unit with the members in memory that could be transcoded."""
        if not isinstance(unit, Batch):
            return unit
        wanted = [source for source in unit.sources if source.id]
        if not wanted:
            return unit
        to = self._to
        files = await trio.to_thread.run_sync(partial(_read_all, wanted), limiter=self._reading)
        made = await transcode_files(self._in_worker, tuple(files.values()), to.syntax, to.quality)
        results = dict(zip(files, made, strict=True))
        return Batch(tuple(self._source(source, results.get(source.path)) for source in unit.sources))

    def _source(self, source: Source, data: bytes | None) -> Source:
        if data is None:
            return source
        return replace(
            source,
            blob=MemoryBlob(data),
            size=len(data),
            is_compressed=is_packed(self._to.syntax),
            uid=source.uid and derived_uid(source.uid, self._to.syntax, self._to.quality),
            id="",
        )

    def notice(self, packed: PackedBatch | PackedPart) -> None:
        """Remember which members of a unit that goes into the archive were not transcoded."""
        if isinstance(packed, PackedBatch):
            pairs = zip(packed.batch.sources, packed.members, strict=True)
            self.refused += [source.id for source, member in pairs if source.id and member is not None]
        elif packed.part.is_last and packed.part.source.id and packed.piece is not None:
            self.refused.append(packed.part.source.id)


def _read_all(sources: Sequence[Source]) -> dict[str, bytes]:
    """Return the bytes of sources by path, without those that have vanished."""
    files: dict[str, bytes] = {}
    for source in sources:
        try:
            files[source.path] = source.blob.read()
        except InexistentFile:
            continue
    return files
