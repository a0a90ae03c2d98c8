"""The content of an attachment, whatever form it is stored in."""

from collections import OrderedDict
from threading import Lock

from ..deflate import BrokenStream, Inflater
from ..model.errors import CorruptedFile
from ..model.resource import Attachment, Compression
from .area import Blob, StorageArea

_CHUNK = 1 << 20
_KEPT_CHUNKS = 8


class DeflatedBlob:
    """The content of a file that is stored as a raw deflate stream. Safe in several threads.

    Reading goes on where it stopped; several readers may take turns some chunks apart. What lies before
    that is read again from the beginning.
    """

    def __init__(self, stored: Blob, size: int, crc32: int) -> None:
        self.stored = stored
        self.size = size
        self.crc32 = crc32
        self._turn = Lock()
        self._inflater: Inflater | None = None
        self._next = 0
        self._chunks: OrderedDict[int, bytes] = OrderedDict()

    def read(self, offset: int = 0, size: int | None = None) -> bytes:
        """Return bytes of the content. Raises InexistentFile, CorruptedFile."""
        end = self.size if size is None else min(self.size, offset + size)
        if offset >= end:
            return b""
        with self._turn:
            if offset == 0 and end <= _CHUNK:
                return self._inflated(Inflater(self.stored.read), end)
            return b"".join(self._pieces(offset, end))

    def descriptor(self) -> None:
        """Return None: no file holds the content itself."""

    def _pieces(self, offset: int, end: int) -> list[bytes]:
        pieces = []
        for number in range(offset // _CHUNK, (end - 1) // _CHUNK + 1):
            start = number * _CHUNK
            pieces.append(self._chunk(number)[max(0, offset - start) : end - start])
        return pieces

    def _chunk(self, number: int) -> bytes:
        known = self._chunks.get(number)
        if known is not None:
            return known
        if self._inflater is None or number < self._next:
            self._inflater, self._next = Inflater(self.stored.read), 0
        while True:
            size = min(_CHUNK, self.size - self._next * _CHUNK)
            self._chunks[self._next] = chunk = self._inflated(self._inflater, size)
            self._chunks.move_to_end(self._next)
            if len(self._chunks) > _KEPT_CHUNKS:
                self._chunks.popitem(last=False)
            self._next += 1
            if self._next > number:
                return chunk

    def _inflated(self, inflater: Inflater, size: int) -> bytes:
        try:
            content = inflater.next(size)
        except BrokenStream as exc:
            raise CorruptedFile from exc
        if len(content) != size:
            raise CorruptedFile
        return content


def open_content(area: StorageArea, attachment: Attachment) -> Blob:
    """Return the content of an attachment, of its uncompressed size. Reads nothing yet."""
    blob = area.open(attachment.uuid, attachment.size)
    if attachment.compression == Compression.NONE:
        return blob
    return DeflatedBlob(blob, attachment.uncompressed_size, attachment.crc32)
