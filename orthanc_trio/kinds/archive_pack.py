"""The compression of an archive: members -> units of about 1 MiB, each packed in one hop to a thread.

A hop costs more than the work on a small member, so small ones share one; a large member is cut into parts
that are deflated at the same time.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Protocol

from msgspec import Struct

from .. import zipfmt
from ..dicom.media import NeedMoreData, make_leaf
from ..model.errors import BadFileFormat, InexistentFile
from .archive_media import frame

UNIT_BYTES = 1 << 20
_UNIT_MEMBERS = 256
_SMALL_BYTES = 32 << 10
_MAX_HEAD_BYTES = 64 << 20
STREAMED_BYTES = 32 << 20
"""Members above this size are not kept in memory as a whole."""


class Readable(Protocol):
    """What a member is read from: the reading half of a Blob."""

    def read(self, offset: int = 0, size: int | None = None) -> bytes:
        """Return up to `size` bytes from `offset`. Raises InexistentFile if the file has vanished."""
        ...


class Source(Struct, frozen=True):
    """Where a member comes from, and its name in the ZIP."""

    path: str
    blob: Readable
    size: int
    is_compressed: bool = False

    @property
    def is_streamed(self) -> bool:
        """Whether the member is too large to be packed as a whole."""
        return self.size > STREAMED_BYTES


class Batch(Struct, frozen=True):
    """Whole members that are packed in one hop."""

    sources: tuple[Source, ...]

    @property
    def size(self) -> int:
        """The bytes of input."""
        return sum(source.size for source in self.sources)

    @property
    def is_small_work(self) -> bool:
        """Whether the members are so small that the GIL is held for most of the time."""
        return self.size < _SMALL_BYTES * len(self.sources)


class Part(Struct, frozen=True):
    """`size` bytes from `offset` of one streamed member."""

    source: Source
    offset: int
    size: int

    is_small_work = False

    @property
    def is_last(self) -> bool:
        """Whether the member ends here."""
        return self.offset + self.size == self.source.size


Unit = Batch | Part


class LeafOptions(Struct, frozen=True):
    """How a media tells of its files. `now`, in UTC, stands in for a missing date."""

    is_extended: bool
    now: datetime


class PackedBatch(Struct, frozen=True):
    """The members of a batch; None stands for one whose file has vanished. Of a media also their leaves."""

    batch: Batch
    members: tuple[zipfmt.Packed | None, ...]
    leaves: tuple[bytes, ...] = ()


class PackedPart(Struct, frozen=True):
    """A part of a streamed member; no piece if its file has vanished. Of a media also its leaf."""

    part: Part
    piece: zipfmt.Piece | None
    leaves: tuple[bytes, ...] = ()


def cut(sources: Sequence[Source], position: int = 0) -> Iterator[Unit]:
    """Cut members into units, in order; `position` is how much of the first (a streamed one) is done."""
    batch: list[Source] = []
    size = 0
    for source in sources:
        is_full = len(batch) == _UNIT_MEMBERS or size + source.size > UNIT_BYTES
        if batch and (is_full or source.is_streamed):
            yield Batch(tuple(batch))
            batch, size = [], 0
        if source.is_streamed:
            yield from _parts(source, position)
        else:
            batch.append(source)
            size += source.size
        position = 0
    if batch:
        yield Batch(tuple(batch))


def _parts(source: Source, position: int) -> Iterator[Part]:
    for offset in range(position, source.size, UNIT_BYTES):
        yield Part(source, offset, min(UNIT_BYTES, source.size - offset))


def pack(unit: Unit, time: int, leaf_options: LeafOptions | None = None) -> PackedBatch | PackedPart:
    """Read and compress a unit; with `leaf_options` read also what a DICOMDIR tells of its members.

    Blocks; releases the GIL for the most part. Raises BadFileFormat for a file that no DICOMDIR can tell of.
    """
    if isinstance(unit, Part):
        return _pack_part(unit, leaf_options)
    members: list[zipfmt.Packed | None] = []
    leaves: list[bytes] = []
    for source in unit.sources:
        data = _read(source, 0, None)
        if data is None:
            members.append(None)
            continue
        members.append(zipfmt.pack(source.path, data, time, is_compressed=source.is_compressed))
        if leaf_options:
            leaves.append(_leaf(source, data, len(data), leaf_options))
    return PackedBatch(unit, tuple(members), tuple(leaves))


def _pack_part(part: Part, leaf_options: LeafOptions | None) -> PackedPart:
    data = _read(part.source, part.offset, part.size)
    if data is None or len(data) != part.size:
        return PackedPart(part, None)
    piece = zipfmt.deflate_piece(data, is_last=part.is_last)
    if leaf_options is None or part.offset:
        return PackedPart(part, piece)
    return PackedPart(part, piece, (_leaf(part.source, data, part.source.size, leaf_options),))


def _read(source: Source, offset: int, size: int | None) -> bytes | None:
    try:
        return source.blob.read(offset, size)
    except InexistentFile:
        return None


def _leaf(source: Source, head: bytes, total: int, options: LeafOptions) -> bytes:
    file_id = source.path.replace("/", "\\")
    try:
        leaf = make_leaf(head, total, file_id, is_extended=options.is_extended, now=options.now)
    except NeedMoreData as error:
        if error.needed > _MAX_HEAD_BYTES:
            raise BadFileFormat("The header of a file of the media is too long") from error
        # Not byte by byte: what is needed next is often known only then.
        longer = source.blob.read(0, max(error.needed, 4 * len(head)))
        return _leaf(source, longer, total, options)
    return frame(leaf)
