"""The compression of an archive: members -> units of about 2 MiB, each packed in one hop to a thread.

A hop costs more than the work on a small member, so small ones share one; a large member is cut into parts
that are deflated at the same time. What the kernel only has to copy shares one by 8 MiB.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime

from msgspec import Struct

from .. import zipfmt
from ..dicom.media import NeedMoreData, make_leaf
from ..extent import Chunk
from ..model.errors import BadFileFormat, InexistentFile
from .archive_checksum import member_row
from .archive_media import frame
from .archive_member import PackedMember, Source, join, join_part
from .archive_scratch import read_briefly

Buffer = zipfmt.Buffer

UNIT_BYTES = 2 << 20
_COPIED_BYTES = 8 << 20
_UNIT_MEMBERS = 256
# So that a reader who waits soon gets something.
_FIRST_MEMBERS, _FIRST_BYTES = 16, 256 << 10
_SMALL_BYTES = 32 << 10
_LEAF_BYTES = 64 << 10  # what a DICOMDIR tells of a file is nearly always there
_MAX_HEAD_BYTES = 64 << 20


class Batch(Struct, frozen=True):
    """Whole members that are packed in one hop."""

    sources: tuple[Source, ...]

    @property
    def size(self) -> int:
        """The bytes of input."""
        return sum(source.work_size for source in self.sources)

    @property
    def is_small_work(self) -> bool:
        """Whether the members are so small that the GIL is held for most of the time."""
        return self.size < _SMALL_BYTES * len(self.sources)


class Part(Struct, frozen=True):
    """`size` bytes from `offset` of one streamed member: of its content, or of the stream that it is."""

    source: Source
    offset: int
    size: int

    is_small_work = False

    @property
    def is_last(self) -> bool:
        """Whether the member ends here."""
        return self.offset + self.size == self.source.work_size


Unit = Batch | Part


class LeafOptions(Struct, frozen=True):
    """How a media tells of its files. `now`, in UTC, stands in for a missing date."""

    is_extended: bool
    now: datetime


class PackOptions(Struct, frozen=True, gc=False):
    """What is made of members besides the ZIP. `time` is theirs, as DOS writes it."""

    time: int
    leaves: LeafOptions | None = None
    has_manifest: bool = False


class PackedBatch(Struct, frozen=True):
    """The members of a batch; None stands for one whose file has vanished.

    Of a media also their leaves, and their rows for the manifest.
    """

    batch: Batch
    members: tuple[PackedMember | None, ...]
    leaves: tuple[bytes, ...] = ()
    rows: tuple[bytes, ...] = ()


class PackedPart(Struct, frozen=True):
    """A part of a streamed member; None if its file has vanished.

    Of a media also its leaf; `data` is the content, for the checksum in a manifest, unless the member is a
    stream, whose parts have none of their own.
    """

    part: Part
    piece: zipfmt.Piece | tuple[Chunk, ...] | None
    """Of a member that is a stream a part of that."""
    leaves: tuple[bytes, ...] = ()
    data: bytes | None = None


def cut(sources: Sequence[Source], position: int = 0) -> Iterator[Unit]:
    """Cut members into units, in order; `position` is how much of the first (a streamed one) is done."""
    batch: list[Source] = []
    size = held = 0
    most_members, most_held = _FIRST_MEMBERS, _FIRST_BYTES
    for source in sources:
        is_full = size + source.work_size > _COPIED_BYTES or held + source.held_size > most_held
        if batch and (is_full or len(batch) == most_members or source.is_streamed):
            yield Batch(tuple(batch))
            batch, size, held = [], 0, 0
            most_members, most_held = min(4 * most_members, _UNIT_MEMBERS), UNIT_BYTES
        if source.is_streamed:
            yield from _parts(source, position)
        else:
            batch.append(source)
            size += source.work_size
            held += source.held_size
        position = 0
    if batch:
        yield Batch(tuple(batch))


def _parts(source: Source, position: int) -> Iterator[Part]:
    most = UNIT_BYTES if source.stream is None else _COPIED_BYTES
    for offset in range(position, source.work_size, most):
        yield Part(source, offset, min(most, source.work_size - offset))


def pack(unit: Unit, options: PackOptions) -> PackedBatch | PackedPart:
    """Read and compress a unit; read also what a DICOMDIR tells of its members, and their checksums.

    Blocks; releases the GIL for the most part. Raises BadFileFormat for a file that no DICOMDIR can tell of.
    """
    if isinstance(unit, Part):
        return _pack_part(unit, options)
    members: list[PackedMember | None] = []
    leaves: list[bytes] = []
    rows: list[bytes] = []
    for source in unit.sources:
        packed = _pack_whole(source, options)
        if packed is None:
            members.append(None)
            continue
        member, data = packed
        members.append(member)
        if options.leaves:
            leaves.append(_leaf(source, bytes(data), options.leaves))
        if options.has_manifest:
            rows.append(member_row(source.path, source.uid, data))
    return PackedBatch(unit, tuple(members), tuple(leaves), tuple(rows))


def _pack_whole(source: Source, options: PackOptions) -> tuple[PackedMember, Buffer] | None:
    """Return the member and, if the options need it, its content; None if its file has vanished."""
    try:
        if source.stream is not None:
            member = join(source.path, source.stream, options.time)
            return member, source.stream.read(0, _content_wanted(options))
        data = _read(source, options)
    except InexistentFile:
        return None
    packed = zipfmt.pack(source.path, data, options.time, is_compressed=source.is_compressed)
    return PackedMember(packed.entry, (packed.header, packed.payload)), data


def _content_wanted(options: PackOptions) -> int | None:
    """Return how much of the content of a stream is asked for, None for all."""
    if options.has_manifest:
        return None
    return _LEAF_BYTES if options.leaves else 0


def _pack_part(part: Part, options: PackOptions) -> PackedPart:
    source = part.source
    try:
        if source.stream is not None:
            joined = join_part(source.stream, part.offset, part.size)
            return PackedPart(part, joined, _leaves_of_part(part, options))
        data = _read(source, options, part.offset, part.size)
        if len(data) != part.size:
            return PackedPart(part, None)
        leaves = _leaves_of_part(part, options, data)
    except InexistentFile:
        return PackedPart(part, None)
    make = zipfmt.store_piece if source.is_compressed else zipfmt.deflate_piece
    kept = bytes(data) if options.has_manifest else None
    return PackedPart(part, make(data, is_last=part.is_last), leaves, kept)


def _read(source: Source, options: PackOptions, offset: int = 0, size: int | None = None) -> Buffer:
    """Read a file, or a part of it. What else is made of the content may keep it for longer."""
    is_bare = options.leaves is None and not options.has_manifest
    return read_briefly(source.blob, offset, size) if is_bare else source.blob.read(offset, size)


def _leaves_of_part(part: Part, options: PackOptions, head: Buffer | None = None) -> tuple[bytes, ...]:
    """Return the leaf of a media, which goes with the first part of a member; `head` is its beginning."""
    if part.offset or not options.leaves:
        return ()
    source = part.source
    return (_leaf(source, bytes(head or source.blob.read(0, _LEAF_BYTES)), options.leaves),)


def _leaf(source: Source, head: bytes, options: LeafOptions) -> bytes:
    file_id = source.path.replace("/", "\\")
    try:
        leaf = make_leaf(head, source.size, file_id, is_extended=options.is_extended, now=options.now)
    except NeedMoreData as error:
        if error.needed > _MAX_HEAD_BYTES:
            raise BadFileFormat("The header of a file of the media is too long") from error
        # Not byte by byte: what is needed next is often known only then.
        longer = source.blob.read(0, max(error.needed, 4 * len(head)))
        return _leaf(source, longer, options)
    return frame(leaf)
