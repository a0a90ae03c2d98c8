"""One instance on its way to another one: read, rewritten, written as a new file. Blocks."""

import hashlib
from collections.abc import Iterator
from typing import Final

from msgspec import Struct

from ..dicom.rewrite import Rewriter, Rewritten
from ..dicom.scan import NeedMoreData
from ..model.errors import CorruptedFile, FileStorageCannotWrite, FullStorage, OrthancError
from ..model.resource import Attachment
from ..storage.area import Blob, StorageArea
from ..storage.content import open_content
from ..storage.key import new_key
from .registration import ResourceIds
from .spool import Received

_HEAD: Final = 16 << 10
"""Most headers are shorter."""
_PIECE: Final = 1 << 20
_SMALL: Final = 32 << 10


class Source(Struct, frozen=True):
    """An instance that another one is made of: its place in the tree, and its DICOM file."""

    ids: ResourceIds
    file: Attachment


class Outcome(Struct, frozen=True, kw_only=True):
    """What became of one source: a result, or an error."""

    source: ResourceIds
    result: ResourceIds | None = None
    is_new: bool = False
    """Whether the result was stored now, and not there already."""
    error: OrthancError | None = None
    is_burned_in: bool = False
    """Whether the pixels show who the patient is, as the source itself says."""
    is_transcoded: bool = True
    """False if that was asked for and cannot be done."""
    size: int = 0
    """The bytes of the source."""


class MemoryBlob:
    """A file in memory."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.size = len(data)

    def read(self, offset: int = 0, size: int | None = None) -> bytes:
        """Return up to `size` bytes from `offset`."""
        return self._data[offset : None if size is None else offset + size]

    def descriptor(self) -> None:
        """Return None: there is no local file."""


class Item:
    """The state of one source within one call. Used by one thread at a time."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.given: bytes | None = None
        """What is to be rewritten in place of the stored file."""
        self.edited: Rewritten | None = None
        """The whole result, if a worker process has made it."""
        self.needs_whole = False
        """Whether only a parse of the whole file can tell what is to be done."""
        self.result: ResourceIds | None = None
        self.is_new = False
        self.error: OrthancError | None = None
        self.is_burned_in = False
        self.is_transcoded = True

    def content(self, area: StorageArea) -> Blob:
        """Return what is to be rewritten. Reads nothing yet."""
        return open_content(area, self.source.file) if self.given is None else MemoryBlob(self.given)

    def outcome(self) -> Outcome:
        """Return what became of it."""
        assert (self.result is None) != (self.error is None)
        return Outcome(
            source=self.source.ids,
            result=self.result,
            is_new=self.is_new,
            error=self.error,
            is_burned_in=self.is_burned_in,
            is_transcoded=self.is_transcoded,
            size=self.source.file.uncompressed_size,
        )


def make_file(area: StorageArea, item: Item, rewriter: Rewriter, *, stores_md5: bool) -> Received | None:
    """Write the new file, not committed; None if the item has to be edited as a whole, or has an error.

    Raises FullStorage, FileStorageCannotWrite.
    """
    blob: Blob = MemoryBlob(b"")
    try:
        rewritten = item.edited
        if rewritten is None:
            blob = _at_hand(item.content(area))
            rewritten = rewrite_head(blob, rewriter)
        if rewritten is None:
            item.needs_whole = True
            return None
        item.is_burned_in = rewritten.is_burned_in
        return _join(area, rewritten, blob, stores_md5=stores_md5)
    except (FullStorage, FileStorageCannotWrite):
        raise
    except OrthancError as error:
        item.error = error
        return None


def rewrite_head(blob: Blob, rewriter: Rewriter) -> Rewritten | None:
    """Rewrite the head of a file; None if only a parse of the whole of it will do. Raises CorruptedFile."""
    size = min(_HEAD, blob.size)
    while True:
        try:
            return rewriter.rewrite(_read(blob, 0, size), blob.size, blob.read)
        except NeedMoreData as more:
            if more.needed >= blob.size:
                return None
            size = min(max(more.needed, 4 * size), blob.size)


def _at_hand(blob: Blob) -> Blob:
    """Read a small file at once: to open it again for what follows its head costs more."""
    return MemoryBlob(_read(blob, 0, blob.size)) if blob.size <= _SMALL else blob


def _read(blob: Blob, offset: int, size: int) -> bytes:
    data = blob.read(offset, size)
    if len(data) < size:
        raise CorruptedFile
    return data


def _join(area: StorageArea, rewritten: Rewritten, blob: Blob, *, stores_md5: bool) -> Received:
    """Write the new head, and behind it what follows in the source. Raises InexistentFile, CorruptedFile."""
    key, head, offset = new_key(), rewritten.head, min(rewritten.tail_offset, blob.size)
    receiver = area.receive(key)
    digest = hashlib.md5(usedforsecurity=False)
    is_complete = False
    try:
        if not stores_md5:
            receiver.write(head)
            receiver.copy(blob, offset)
        else:
            # MD5 has to see the bytes, and once they are here, it is cheaper to write them than to copy.
            for piece in _pieces(head, blob, offset):
                digest.update(piece)
                receiver.write(piece)
        is_complete = True
    finally:
        if not is_complete:
            receiver.discard()
    return Received(key, receiver, len(head) + blob.size - offset, digest.hexdigest())


def _pieces(head: bytes, blob: Blob, offset: int) -> Iterator[bytes]:
    if blob.size - offset <= _SMALL:
        yield head + _read(blob, offset, blob.size - offset)
        return
    yield head
    for start in range(offset, blob.size, _PIECE):
        yield _read(blob, start, min(_PIECE, blob.size - start))
