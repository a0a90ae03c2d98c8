"""A Part 10 file (PS3.10 §7) -> its transfer syntax and the encoded dataset in it."""

import sys
import zlib
from struct import Struct
from typing import NamedTuple

from .scan import BIG, LITTLE, BadEncoding, ByteOrder, NeedMoreData, Source, looks_explicit, scan

IMPLICIT_LITTLE = "1.2.840.10008.1.2"
EXPLICIT_LITTLE = "1.2.840.10008.1.2.1"
EXPLICIT_BIG = "1.2.840.10008.1.2.2"
IMPLEMENTATION = "2.25.193144807958406243112680213903683733631"
"""The Implementation Class UID of files that this software writes."""
DEFLATED = frozenset(("1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.4.95", "1.2.840.10008.1.2.4.205"))
"""Transfer syntaxes whose whole dataset is deflated (PS3.5 §A.5)."""
NATIVE = frozenset((IMPLICIT_LITTLE, EXPLICIT_LITTLE, EXPLICIT_BIG)) | DEFLATED
"""Transfer syntaxes whose pixels are not encapsulated."""
MAX_INFLATED = 64 * 1024 * 1024
"""Bytes of a deflated dataset that are looked at before its pixels are reached."""
_TRANSFER_SYNTAX = 0x00020010
_PREFIX_SIZE = 132
_META_GROUP = b"\x02\x00"
_META_ELEMENT = Struct("<HH2sH")
_META_VERSION = b"\x02\0\x01\0OB\0\0\x02\0\0\0\0\x01"
_EMPTY_PREFIX = bytes(128) + b"DICM"
_FIRST_GROUPS = (_META_GROUP, b"\x08\x00", b"\x00\x08")
"""The groups 0002 and 0008, the latter in both orders of bytes."""


class EncodedDataset(NamedTuple):
    """A dataset as it lies in a file: it begins at `start` of `source`.

    `is_deflated` says that `source` is not the file itself but what was inflated from it.
    """

    source: Source
    start: int
    transfer_syntax: str
    implicit: bool
    is_deflated: bool


def open_dataset(data: bytes, total: int) -> EncodedDataset:
    """Find the dataset of a file of `total` bytes, of which `data` are the first.

    A file without a transfer syntax, or with another encoding than it says, is read as what it looks like.
    Raises NeedMoreData, or BadEncoding if this is no Part 10 file.
    """
    start, syntax = _read_meta(Source(data, total))
    if syntax in DEFLATED:
        if len(data) < total:
            raise NeedMoreData(total)
        inflated = _inflate(data[start:])
        return EncodedDataset(inflated, 0, syntax, not looks_explicit(inflated, 0), is_deflated=True)
    order = _byte_order(data, start, syntax)
    source = Source(data, total, order)
    implicit = not looks_explicit(source, start)
    guess = IMPLICIT_LITTLE if implicit else EXPLICIT_LITTLE if order is LITTLE else EXPLICIT_BIG
    return EncodedDataset(source, start, syntax or guess, implicit, is_deflated=False)


def encode_meta(sop_class_uid: bytes, sop_instance_uid: bytes, transfer_syntax: str) -> bytes:
    """Return what a file begins with (PS3.10 §7.1): an empty preamble and the meta information, without
    anything of another writer's.
    """
    uids = (
        (0x02, sop_class_uid),
        (0x03, sop_instance_uid),
        (0x10, transfer_syntax.encode("ascii")),
        (0x12, IMPLEMENTATION.encode("ascii")),
    )
    meta = _META_VERSION + b"".join(
        _META_ELEMENT.pack(2, number, b"UI", len(uid) + len(uid) % 2) + uid + b"\0" * (len(uid) % 2)
        for number, uid in uids
    )
    return _EMPTY_PREFIX + _META_ELEMENT.pack(2, 0, b"UL", 4) + len(meta).to_bytes(4, "little") + meta


def _read_meta(source: Source) -> tuple[int, str]:
    """Return where the dataset begins and the transfer syntax that the meta information names, or none."""
    data = source.data
    if len(data) < min(_PREFIX_SIZE, source.total):
        raise NeedMoreData(_PREFIX_SIZE)
    begin = _PREFIX_SIZE if data.startswith(b"DICM", 128) else 0
    if begin == 0 and not data.startswith(_FIRST_GROUPS):
        raise BadEncoding("no DICM after the preamble")
    if begin == 0 and not data.startswith(_META_GROUP):
        # Old software writes neither preamble nor meta information, and Orthanc takes what it wrote.
        return 0, ""
    meta = scan(source, begin, (_TRANSFER_SYNTAX,), 0x00030000, implicit=False)
    start = source.total if meta.stop is None else meta.stop
    _, first, last = meta.elements.get(_TRANSFER_SYNTAX, (None, 0, 0))
    return start, data[first:last].decode("ascii", "ignore").strip(" \0")


def _byte_order(data: bytes, start: int, syntax: str) -> ByteOrder:
    if syntax:
        return BIG if syntax == EXPLICIT_BIG else LITTLE
    # The first group of a dataset is a low number: 0x0008 read in the wrong order is 0x0800.
    return BIG if data[start : start + 1] == b"\0" else LITTLE


def _inflate(deflated: bytes) -> Source:
    """Return what is inflated within the limit; beyond it the total is unknown, hence large."""
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        data = inflater.decompress(deflated, MAX_INFLATED)
    except zlib.error as error:
        raise BadEncoding("damaged deflate stream") from error
    return Source(data, len(data) if inflater.eof else sys.maxsize)
