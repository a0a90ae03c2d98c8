"""The file of a member: where it lies, and what the ZIP gets of it."""

from typing import Protocol

from msgspec import Struct

from .. import zipfmt
from ..extent import Chunk, Extent
from ..model.errors import CorruptedFile, InternalError
from ..services.transcoding import MAX_FILE_BYTES
from ..storage.area import Blob, StorageArea
from ..storage.content import DeflatedBlob
from .archive_plan import Member

STREAMED_BYTES = 16 << 20
"""Members above this size are not kept in memory as a whole."""

_EXTENT_BYTES = 128 << 10
"""To read and write less of a stream costs no more than to have the kernel copy it, and no open file."""


class Readable(Protocol):
    """What a member is read from: the reading half of a Blob."""

    def read(self, offset: int = 0, size: int | None = None) -> bytes:
        """Return up to `size` bytes from `offset`. Raises InexistentFile if the file has vanished."""
        ...

    def descriptor(self) -> tuple[int, int] | None:
        """Open the local file that holds the bytes, see `Blob.descriptor`; None if there is none."""
        ...


class Source(Struct, frozen=True):
    """Where a member comes from, and its name in the ZIP; `uid` is for the manifest.

    `id` is the instance's if the member is to be transcoded.
    """

    path: str
    blob: Readable
    size: int
    is_compressed: bool = False
    uid: str = ""
    id: str = ""

    @property
    def stream(self) -> DeflatedBlob | None:
        """The blob if it is stored as a deflate stream, which goes into the archive as it is."""
        return self.blob if isinstance(self.blob, DeflatedBlob) else None

    @property
    def is_streamed(self) -> bool:
        """Whether the member is too large to be packed, or transcoded, as a whole."""
        return self.size > (MAX_FILE_BYTES if self.id else STREAMED_BYTES)

    @property
    def work_size(self) -> int:
        """The bytes that are read to make the member: of a stream its own, unless it is to be transcoded."""
        if self.stream is None or (self.id and not self.is_streamed):
            return self.size
        return self.stream.stored.size

    @property
    def held_size(self) -> int:
        """How much of that is in memory until it is written: nothing of what the kernel copies."""
        size = self.work_size
        return 0 if self.stream is not None and not self.id and size >= _EXTENT_BYTES else size


def open_member(area: StorageArea, member: Member) -> Blob:
    """Return the content of the file of a member, however it is stored. Reads nothing yet."""
    if member.deflated is None:
        return area.open(member.key, member.size)
    return DeflatedBlob(area.open(member.key, member.deflated.size), member.size, member.deflated.crc32)


def open_joined(path: str, stream: DeflatedBlob, time: int) -> tuple[zipfmt.Entry, bytes]:
    """Begin a member of a file that is stored deflated; its bytes follow."""
    sizes = {"size": stream.size, "compressed_size": stream.stored.size}
    return zipfmt.open_deflated(path, time, crc=stream.crc32, **sizes)


class PackedMember(Struct, frozen=True):
    """A whole member: what is said of it, and its pieces, from its header on."""

    entry: zipfmt.Entry
    chunks: tuple[Chunk, ...]

    @property
    def size(self) -> int:
        """The bytes of its pieces."""
        return sum(map(len, self.chunks))


def join(path: str, stream: DeflatedBlob, time: int) -> PackedMember:
    """Make a whole member of a file that is stored deflated. Raises InexistentFile, CorruptedFile."""
    entry, header = open_joined(path, stream, time)
    return PackedMember(entry, join_part(stream, 0, stream.stored.size, header))


def join_part(stream: DeflatedBlob, offset: int, size: int, prefix: bytes = b"") -> tuple[Chunk, ...]:
    """Return `prefix` and a part of a stream: a long one of a local file is left for the kernel to copy.

    Raises InexistentFile, CorruptedFile.
    """
    place = stream.stored.descriptor() if size >= _EXTENT_BYTES else None
    if place is None:
        data = stream.stored.read(offset, size)
        if len(data) != size:
            raise CorruptedFile
        return prefix, data
    extent = Extent(place[0], place[1] + offset, size, prefix)
    try:
        extent.load()
    except EOFError as exc:
        raise CorruptedFile from exc
    except OSError as exc:
        raise InternalError(f"Error while accessing the filesystem: {exc.strerror}") from exc
    return (extent,)
