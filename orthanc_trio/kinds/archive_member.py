"""The file of a member: where it lies, and what the ZIP gets of it."""

from typing import Protocol

from msgspec import Struct

from .. import zipfmt
from ..model.errors import CorruptedFile
from ..services.transcoding import MAX_FILE_BYTES
from ..storage.area import Blob, StorageArea
from ..storage.content import DeflatedBlob
from .archive_plan import Member

STREAMED_BYTES = 16 << 20
"""Members above this size are not kept in memory as a whole."""


class Readable(Protocol):
    """What a member is read from: the reading half of a Blob."""

    def read(self, offset: int = 0, size: int | None = None) -> bytes:
        """Return up to `size` bytes from `offset`. Raises InexistentFile if the file has vanished."""
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


def open_member(area: StorageArea, member: Member) -> Blob:
    """Return the content of the file of a member, however it is stored. Reads nothing yet."""
    if member.deflated is None:
        return area.open(member.key, member.size)
    return DeflatedBlob(area.open(member.key, member.deflated.size), member.size, member.deflated.crc32)


def open_joined(path: str, stream: DeflatedBlob, time: int) -> tuple[zipfmt.Entry, bytes]:
    """Begin a member of a file that is stored deflated; its bytes follow."""
    sizes = {"size": stream.size, "compressed_size": stream.stored.size}
    return zipfmt.open_deflated(path, time, crc=stream.crc32, **sizes)


def join(path: str, stream: DeflatedBlob, time: int) -> zipfmt.Packed:
    """Make a whole member of a file that is stored deflated. Raises InexistentFile, CorruptedFile."""
    payload = stream.stored.read()
    if len(payload) != stream.stored.size:
        raise CorruptedFile
    return zipfmt.Packed(*open_joined(path, stream, time), payload)
