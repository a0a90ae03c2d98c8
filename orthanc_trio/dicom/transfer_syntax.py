"""The transfer syntaxes that can be asked for, and what each does to pixels.

A syntax is in the table if the standard names it, also if no pixels can be written in it.
Source: PS3.5 §10, PS3.6 Table A-1.
"""

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType
from typing import Final

from msgspec import Struct

_PREFIX: Final = "1.2.840.10008.1.2"


class Coding(Enum):
    """How the pixels of a transfer syntax are coded."""

    NATIVE = "native"
    RLE = "RLE"
    JPEG = "JPEG"
    """DCT based, ISO/IEC 10918-1."""
    JPEG_LOSSLESS = "JPEG lossless"
    JPEG_LS = "JPEG-LS"
    JPEG_2000 = "JPEG 2000"
    """Also high-throughput JPEG 2000, which has the same frame of markers."""
    JPEG_XL = "JPEG XL"
    VIDEO = "video"
    OTHER = "other"
    """Coded frames of another kind, or pixels that lie elsewhere."""


class TransferSyntax(Struct, frozen=True):
    """One transfer syntax; `is_lossy` if what is written in it may differ from what was given."""

    uid: str
    coding: Coding
    is_lossy: bool = False
    is_implicit: bool = False
    is_little_endian: bool = True

    @property
    def is_native(self) -> bool:
        """Whether pixels are as they are in memory, and a dataset without pixels can have this syntax."""
        return self.coding is Coding.NATIVE

    @property
    def is_planar(self) -> bool:
        """Whether the colours of a compressed frame lie one after the other."""
        return self.coding is Coding.RLE


def find_syntax(uid: str) -> TransferSyntax | None:
    """Return the transfer syntax with this UID, None if there is no such."""
    return TRANSFER_SYNTAXES.get(uid)


def _row(suffix: str, coding: Coding, *, is_lossy: bool = False) -> TransferSyntax:
    return TransferSyntax(_PREFIX + suffix, coding, is_lossy)


_JPEG_PROCESSES = range(50, 67)
_LOSSLESS_PROCESSES = frozenset((57, 58, 65, 66))
_VIDEOS = (*range(100, 109), *(f"{number}.1" for number in range(100, 107)))


def _rows() -> tuple[TransferSyntax, ...]:
    jpeg = (
        _row(f".4.{process}", Coding.JPEG_LOSSLESS)
        if process in _LOSSLESS_PROCESSES
        else _row(f".4.{process}", Coding.JPEG, is_lossy=True)
        for process in _JPEG_PROCESSES
    )
    return (
        TransferSyntax(_PREFIX, Coding.NATIVE, is_implicit=True),
        _row(".1", Coding.NATIVE),
        _row(".1.99", Coding.NATIVE),
        TransferSyntax(_PREFIX + ".2", Coding.NATIVE, is_little_endian=False),
        *jpeg,
        _row(".4.70", Coding.JPEG_LOSSLESS),
        _row(".4.80", Coding.JPEG_LS),
        _row(".4.81", Coding.JPEG_LS, is_lossy=True),
        _row(".4.90", Coding.JPEG_2000),
        _row(".4.91", Coding.JPEG_2000, is_lossy=True),
        _row(".4.92", Coding.OTHER),
        _row(".4.93", Coding.OTHER, is_lossy=True),
        *(_row(suffix, Coding.OTHER) for suffix in (".4.94", ".4.95", ".4.204", ".4.205")),
        *(_row(f".4.{suffix}", Coding.VIDEO, is_lossy=True) for suffix in _VIDEOS),
        _row(".4.110", Coding.JPEG_XL),
        _row(".4.111", Coding.JPEG_XL, is_lossy=True),
        _row(".4.112", Coding.JPEG_XL, is_lossy=True),
        _row(".4.201", Coding.JPEG_2000),
        _row(".4.202", Coding.JPEG_2000),
        _row(".4.203", Coding.JPEG_2000, is_lossy=True),
        _row(".5", Coding.RLE),
        *(_row(suffix, Coding.OTHER) for suffix in (".6.1", ".6.2", ".7.1", ".7.2", ".7.3", ".8.1")),
    )


TRANSFER_SYNTAXES: Final[Mapping[str, TransferSyntax]] = MappingProxyType({row.uid: row for row in _rows()})
"""All known transfer syntaxes by UID."""
