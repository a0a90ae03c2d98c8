"""Write what was received into the storage area, in the form in which it is to lie there. Blocks.

MD5 takes longer than anything else that is done with a large file, so another thread computes it meanwhile.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from math import inf

from msgspec.structs import replace

from ..deflate import Deflater, crc32, deflate
from ..model.resource import Attachment, Compression
from ..storage.area import Storage, StorageArea
from ..storage.content import open_content
from .spool import Buffer, Collected, Received

_HASHED_BESIDE = 128 << 10
"""From this size on, MD5 takes longer than to wake up another thread."""
_PIECE = 1 << 20

Read = Callable[[int, int], bytes]
"""Returns a number of bytes from an offset, fewer at the end."""


class FileWriter:
    """Writes files; `stores_md5` False leaves their MD5s empty."""

    def __init__(self, storage: Storage, *, stores_md5: bool) -> None:
        self._storage = storage
        self._stores_md5 = stores_md5

    def write(self, area: StorageArea, key: str, data: Collected, type: int, *, deflates: bool) -> Attachment:
        """Write the file `key`, unsettled, and describe it. A `Received` that stays plain has its own key.

        `deflates` stores it deflated, unless it does not shrink.
        Raises FullStorage, FileStorageCannotWrite.
        """
        if not isinstance(data, Received):
            if deflates and len(stored := deflate(data)) < len(data):
                return self._write_deflated(area, key, data, type, stored)
            return self._write_plain(area, key, data, type)
        if deflates:
            return self._deflate_received(area, key, data, type)
        data.receiver.commit()
        return _plain(key, type, data.size, data.md5 if self._stores_md5 else "")

    def describe(self, key: str, data: Collected, type: int) -> Attachment:
        """Describe a file as if it were written, and write nothing."""
        if isinstance(data, Received):
            return _plain(key, type, data.size, data.md5 if self._stores_md5 else "")
        return _plain(key, type, len(data), self._begin_md5(data)())

    def _write_plain(self, area: StorageArea, key: str, data: Buffer, type: int) -> Attachment:
        md5 = self._begin_md5(data)
        area.create(key, data)
        return _plain(key, type, len(data), md5())

    def _write_deflated(
        self, area: StorageArea, key: str, data: Buffer, type: int, stored: bytes
    ) -> Attachment:
        md5, stored_md5 = self._begin_md5(data), self._begin_md5(stored)
        area.create(key, stored)
        return Attachment(
            type=type,
            uuid=key,
            size=len(stored),
            uncompressed_size=len(data),
            compression=Compression.DEFLATE,
            md5=stored_md5(),
            uncompressed_md5=md5(),
            crc32=crc32(data),
        )

    def _deflate_received(self, area: StorageArea, key: str, data: Received, type: int) -> Attachment:
        read, content_md5 = data.receiver.read, data.md5 if self._stores_md5 else ""
        deflater = Deflater()
        deflated = self._write_pieces(area, key, _deflated(deflater, read, data.size), below=data.size)
        if deflated is None:
            self._write_pieces(area, key, _plain_pieces(read, data.size))
            return _plain(key, type, data.size, content_md5)
        size, md5 = deflated
        return Attachment(
            type=type,
            uuid=key,
            size=size,
            uncompressed_size=data.size,
            compression=Compression.DEFLATE,
            md5=md5,
            uncompressed_md5=content_md5,
            crc32=deflater.crc,
        )

    def rewrite(self, area: StorageArea, key: str, old: Attachment, compression: Compression) -> Attachment:
        """Write the content of `old` once more as the file `key`, unsettled, in the form `compression`.

        Raises InexistentFile, CorruptedFile, FullStorage, FileStorageCannotWrite.
        """
        content, deflater = open_content(area, old), Deflater()
        is_deflated = compression is Compression.DEFLATE
        make = partial(_deflated, deflater) if is_deflated else _plain_pieces
        written = self._write_pieces(area, key, make(content.read, content.size))
        assert written is not None
        size, md5 = written
        crc = deflater.crc if is_deflated else 0
        return replace(old, uuid=key, size=size, compression=compression, md5=md5, crc32=crc)

    def _write_pieces(
        self, area: StorageArea, key: str, pieces: Iterable[bytes], *, below: float = inf
    ) -> tuple[int, str] | None:
        """Write the file `key` and return its size and MD5; None, and no file, unless its size is `below`."""
        digest, size = hashlib.md5(usedforsecurity=False), 0
        receiver = area.receive(key)
        try:
            for piece in pieces:
                digest.update(piece)
                receiver.write(piece)
                size += len(piece)
            if size >= below:
                return None
            return receiver.commit(), digest.hexdigest() if self._stores_md5 else ""
        finally:
            receiver.discard()  # does nothing after the commit

    def _begin_md5(self, data: Buffer) -> Callable[[], str]:
        """Return what waits for the MD5."""
        if not self._stores_md5:
            return str
        if len(data) < _HASHED_BESIDE:
            return partial(_md5, data)
        return self._storage.begin(partial(_md5, data)).result


def _plain_pieces(read: Read, size: int) -> Iterator[bytes]:
    for offset in range(0, size, _PIECE):
        yield read(offset, _PIECE)


def _deflated(deflater: Deflater, read: Read, size: int) -> Iterator[bytes]:
    for piece in _plain_pieces(read, size):
        yield deflater.add(piece)
    yield deflater.end()


def _plain(key: str, type: int, size: int, md5: str) -> Attachment:
    return Attachment(type=type, uuid=key, size=size, uncompressed_size=size, md5=md5, uncompressed_md5=md5)


def _md5(data: Buffer) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()
