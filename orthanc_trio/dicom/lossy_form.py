"""Pixels in the form in which a compression with a loss can hold them.

An index into a palette is worth nothing once it is only nearly right, so its colour takes its place. A JPEG
has no room for unused bits, and no sign: values are moved above zero, and the rescale takes that back.
Source: PS3.3 §C.7.6.3.1.5, §C.7.6.3.1.6 and §C.11.1; the Orthanc Book, "Transcoding".
"""

from collections.abc import Callable, Iterable
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
# Values that pixels do not have any more.
_OF_OLD_VALUES = (
    *("SmallestImagePixelValue", "LargestImagePixelValue", "PixelPaddingValue", "PixelPaddingRangeLimit"),
    "PaletteColorLookupTableUID",
)
# They say in another way than by a rescale what values mean.
_OTHER_MEANINGS = (
    *("ModalityLUTSequence", "VOILUTSequence", "RealWorldValueMappingSequence"),
    *("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"),
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
    if target.coding is Coding.JPEG and (format.is_signed or format.bits_stored == 8 < format.bits_allocated):
        return _for_jpeg(dataset, format)
    return format, None


def _in_bytes(format: PixelFormat) -> PixelFormat:
    return replace(format, bits_allocated=8, bits_stored=8, high_bit=7)


def _for_jpeg(dataset: Dataset, format: PixelFormat) -> tuple[PixelFormat, Conversion]:
    found, sign = format, 0
    if format.is_signed:
        if not format.is_monochrome:
            raise BadFileFormat("A colour has a sign")
        found, sign = replace(format, is_signed=False), 1 << format.bits_stored - 1
        _take_back(dataset, sign)
    if format.bits_stored == 8:
        found = _in_bytes(found)
    # The sign, turned over, puts the negative values below the others.
    sign, used = format.dtype.type(sign), format.dtype.type((1 << format.bits_stored) - 1)
    return _described(dataset, found), lambda frame: ((frame ^ sign) & used).astype(found.dtype)


def _take_back(dataset: Dataset, added: int) -> None:
    """Let the rescale take back what is added to each value. Raises BadFileFormat if that is not enough."""
    if any(keyword in dataset for keyword in _OTHER_MEANINGS):
        raise BadFileFormat("Values of an image have a meaning that they would lose")
    slope, intercept = float(dataset.get("RescaleSlope") or 1), float(dataset.get("RescaleIntercept") or 0)
    dataset.RescaleSlope = f"{slope:.10g}"
    dataset.RescaleIntercept = f"{intercept - added * slope:.10g}"
    if not dataset.get("RescaleType"):
        dataset.RescaleType = "US"  # unspecified
    _remove(dataset, _OF_OLD_VALUES)


def _remove(dataset: Dataset, keywords: Iterable[str]) -> None:
    for keyword in keywords:
        if keyword in dataset:
            del dataset[keyword]


def _colours(dataset: Dataset, format: PixelFormat) -> Conversion:
    """Return what makes colours of 8 bits of indices; all that are possible are looked up at once."""
    if format.samples != 1 or format.is_signed or format.bits_allocated > 16:
        raise BadFileFormat("An index into a palette is of an unusual kind")
    indices = np.arange(1 << format.bits_stored)
    table = np.stack([_looked_up(dataset, table, indices) for table in _TABLES], axis=-1)
    _remove(dataset, (*_OF_THE_PALETTE, *_OF_OLD_VALUES))
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
    dataset.PixelRepresentation = int(format.is_signed)
    return format
