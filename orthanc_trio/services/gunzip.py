"""Unpack a gzip body. Blocks: for storage threads."""

from collections.abc import Iterator

import trio
from isal import isal_zlib

from ..model.errors import BadFileFormat
from ..storage.area import StorageArea
from .spool import Collected, Spool, piece_of

_PIECE = 1 << 20
_GZIP = 31  # the window size of zlib that stands for the gzip format


def gunzip(area: StorageArea, data: Collected, *, limit: float, memory_bytes: int) -> Collected:
    """Return what `data` unpacks to; more than `memory_bytes` go through the storage area.

    A cancelled call leaves no file behind. Raises BadFileFormat if it is not gzip, is cut off, or unpacks to
    more than `limit` bytes.
    """
    spool = Spool(area, memory_bytes)
    is_complete = False
    try:
        for piece in _unpack(data):
            trio.from_thread.check_cancelled()
            if spool.size + len(piece) > limit:
                raise BadFileFormat("The uncompressed body is too large")
            spool.write(piece)
        is_complete = True
        return spool.finish()
    except isal_zlib.error as exc:  # type: ignore[misc]  # its stub calls the class an instance
        raise BadFileFormat("Cannot uncompress the gzip body") from exc
    finally:
        if not is_complete:
            spool.discard()


def _unpack(data: Collected) -> Iterator[bytes]:
    unpacker = isal_zlib.decompressobj(_GZIP)
    offset = 0
    while piece := bytes(piece_of(data, offset, _PIECE)):
        offset += len(piece)
        while piece:
            if unpacker.eof:  # a gzip file may have several members
                unpacker = isal_zlib.decompressobj(_GZIP)
            yield unpacker.decompress(piece, _PIECE)
            piece = unpacker.unused_data if unpacker.eof else unpacker.unconsumed_tail
    yield unpacker.flush()
    if not unpacker.eof:
        raise BadFileFormat("The gzip body is cut off")
