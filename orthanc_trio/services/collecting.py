"""Collect a body that arrives in pieces: a small one in memory, a large one in the storage area."""

from collections.abc import AsyncIterable, AsyncIterator
from functools import partial

from ..model.errors import PayloadTooLarge
from ..storage.area import Storage, StorageArea
from .spool import Buffer, Collected, Spool, discard

Chunk = bytes | bytearray

_PIECE = 1 << 20


class Collector:
    """Collects bodies of at most `limit_bytes`, those of up to `memory_bytes` in memory."""

    def __init__(self, storage: Storage, *, limit_bytes: float, memory_bytes: int) -> None:
        self._storage = storage
        self._limit_bytes = limit_bytes
        self._memory_bytes = memory_bytes

    async def collect(self, chunks: AsyncIterable[Chunk], content_length: int | None) -> Collected:
        """Return the whole body; a `Received` is now the caller's to store or to discard.

        A cancelled call leaves nothing behind. Raises PayloadTooLarge, FullStorage, FileStorageCannotWrite.
        """
        self._check_size(content_length or 0)
        limit = self._memory_bytes
        if content_length is not None and content_length > limit:
            limit = min(limit, _PIECE)
        buffer = bytearray()
        pieces = aiter(chunks)
        async for chunk in pieces:
            if len(chunk) == content_length and len(chunk) <= limit:
                return chunk  # a body in one piece needs no copy
            buffer += chunk
            self._check_size(len(buffer))
            if len(buffer) > limit:
                return await self._spill(buffer, pieces)
        return buffer

    def _check_size(self, size: int) -> None:
        if size > self._limit_bytes:
            raise PayloadTooLarge

    async def _spill(self, buffer: bytearray, chunks: AsyncIterator[Chunk]) -> Collected:
        spool = await self._storage.run(partial(_begin, data=buffer))
        is_complete = False
        try:
            buffer = bytearray()
            async for chunk in chunks:
                buffer += chunk
                self._check_size(spool.size + len(buffer))
                if len(buffer) >= _PIECE:
                    await self._storage.run(partial(_append, spool=spool, data=buffer))
                    buffer = bytearray()
            await self._storage.run(partial(_append, spool=spool, data=buffer))
            is_complete = True
            return spool.finish()
        finally:
            if not is_complete:
                await discard(self._storage, spool)


def _begin(area: StorageArea, data: Buffer) -> Spool:
    spool = Spool(area, 0)
    spool.write(data)
    return spool


def _append(_area: StorageArea, spool: Spool, data: Buffer) -> None:
    spool.write(data)
