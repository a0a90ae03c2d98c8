"""Write what was received into the storage area, in the form in which it is to lie there. Blocks.

MD5 takes longer than anything else that is done with a large file, so another thread computes it meanwhile.
"""

import hashlib
from collections.abc import Callable
from functools import partial

from ..deflate import Deflater, crc32, deflate
from ..model.resource import Attachment, Compression
from ..storage.area import Storage, StorageArea
from .spool import Buffer, Collected, Received

_HASHED_BESIDE = 128 << 10
"""From this size on, MD5 takes longer than to wake up another thread."""
_PIECE = 1 << 20


class FileWriter:
    """Writes files; `stores_md5` False leaves their MD5s empty."""

    def __init__(self, storage: Storage, *, stores_md5: bool) -> None:
        self._storage = storage
        self._stores_md5 = stores_md5

    def write(self, area: StorageArea, key: str, data: Collected, type: int, *, deflates: bool) -> Attachment:
        """Write the file `key`, unsettled, and describe it. A `Received` that stays plain has its own key.

        `deflates` stores it deflated, unless it is in memory and does not shrink.
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
        deflater, digest = Deflater(), hashlib.md5(usedforsecurity=False)
        receiver = area.receive(key)

        def write(stored: bytes) -> None:
            digest.update(stored)
            receiver.write(stored)

        try:
            for offset in range(0, data.size, _PIECE):
                write(deflater.add(data.receiver.read(offset, _PIECE)))
            write(deflater.end())
            size = receiver.commit()
        finally:
            receiver.discard()  # does nothing after the commit
        return Attachment(
            type=type,
            uuid=key,
            size=size,
            uncompressed_size=data.size,
            compression=Compression.DEFLATE,
            md5=digest.hexdigest() if self._stores_md5 else "",
            uncompressed_md5=data.md5 if self._stores_md5 else "",
            crc32=deflater.crc,
        )

    def _begin_md5(self, data: Buffer) -> Callable[[], str]:
        """Return what waits for the MD5."""
        if not self._stores_md5:
            return str
        if len(data) < _HASHED_BESIDE:
            return partial(_md5, data)
        return self._storage.begin(partial(_md5, data)).result


def _plain(key: str, type: int, size: int, md5: str) -> Attachment:
    return Attachment(type=type, uuid=key, size=size, uncompressed_size=size, md5=md5, uncompressed_md5=md5)


def _md5(data: Buffer) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()
