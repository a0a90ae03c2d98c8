"""Pixels in the form in which a compression with a loss can hold them.

An index into a palette is worth nothing once it is only nearly right, so its colour takes its place; a JPEG
has no room for unused bits.
Source: PS3.3 §C.7.6.3.1.5 and §C.7.6.3.1.6; the Orthanc Book, "Transcoding".
"""

from collections.abc import Callable
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from msgspec.structs import replace
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset

from ..model.errors import BadFileFormat
from .pixel_format import Frame, PixelFormat
from .reencode import item_of, swap_bytes
from .transfer_syntax import Coding, TransferSyntax

_PALETTE: Final = "PALETTE COLOR"
_TABLES: Final = (0x00281201, 0x00281202, 0x00281203)
_FROM_DESCRIPTOR: Final = 0x100
_OF_THE_PALETTE = tuple(
    f"{prefix}{colour}PaletteColorLookupTable{part}"
    for colour in ("Red", "Green", "Blue", "Alpha")
    for prefix, part in (("", "Descriptor"), ("", "Data"), ("Segmented", "Data"))
)
# They are meant for indices, of which there are none any more.
_OF_INDICES = (
    "SmallestImagePixelValue",
    "LargestImagePixelValue",
    "PixelPaddingValue",
    "PixelPaddingRangeLimit",
    "PaletteColorLookupTableUID",
)

_MAX_ENTRIES: Final = 1 << 16  # told as 0, for want of a bit

Conversion = Callable[[Frame], Frame]
Indices = npt.NDArray[np.signedinteger[Any]]
Octets = npt.NDArray[np.uint8]


def lossy_form(
    dataset: Dataset, format: PixelFormat, target: TransferSyntax
) -> tuple[PixelFormat, Conversion | None]:
    """Return the format that pixels take before they are written in `target`, and what brings a frame there.

    The tags of the dataset tell of that format, but for its photometric interpretation. None if nothing
    changes. Raises BadFileFormat, and what pydicom raises, for a palette that cannot be read.
    """
    if not target.is_lossy or not format.has_plain_bits:
        return format, None
    if format.photometric == _PALETTE:
        colours = _colours(dataset, format)
        return _described(dataset, replace(_in_bytes(format), samples=3, photometric="RGB")), colours
    if target.coding is Coding.JPEG and format.bits_stored == 8 < format.bits_allocated:
        return _described(dataset, _in_bytes(format)), _low_bytes
    return format, None


def _in_bytes(format: PixelFormat) -> PixelFormat:
    return replace(format, bits_allocated=8, bits_stored=8, high_bit=7)


def _low_bytes(frame: Frame) -> Frame:
    return frame.astype("u1")


def _colours(dataset: Dataset, format: PixelFormat) -> Conversion:
    """Return what makes colours of 8 bits of indices; all that are possible are looked up at once."""
    if format.samples != 1 or format.is_signed or format.bits_allocated > 16:
        raise BadFileFormat("An index into a palette is of an unusual kind")
    indices = np.arange(1 << format.bits_stored)
    table = np.stack([_looked_up(dataset, table, indices) for table in _TABLES], axis=-1)
    for keyword in (*_OF_THE_PALETTE, *_OF_INDICES):
        if keyword in dataset:
            del dataset[keyword]
    last = format.dtype.type(len(table) - 1)  # bits that are not used may hold anything
    return lambda frame: table[frame & last]


def _looked_up(dataset: Dataset, table: int, indices: Indices) -> Octets:
    """Return the highest 8 bits of what the table of a colour has for each index; its ends go on for ever."""
    count, first, bits = dataset[table - _FROM_DESCRIPTOR].value
    count = count or _MAX_ENTRIES
    element = item_of(dataset, table)
    assert isinstance(element, RawDataElement)
    data = element.value or b""
    if not element.is_little_endian:
        data = swap_bytes(data, 2)
    # Entries of 8 bits lie in bytes or in words.
    entries = np.frombuffer(data, "<u2" if len(data) >= 2 * count else "u1", count)
    found: Octets = (entries >> max(0, bits - 8)).astype("u1")[np.clip(indices - first, 0, count - 1)]
    return found


def _described(dataset: Dataset, format: PixelFormat) -> PixelFormat:
    dataset.SamplesPerPixel = format.samples
    dataset.BitsAllocated = format.bits_allocated
    dataset.BitsStored = format.bits_stored
    dataset.HighBit = format.high_bit
    return format
