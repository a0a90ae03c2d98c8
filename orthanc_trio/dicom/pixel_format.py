"""What the tags of an image say of its pixels, and pixels as they are in memory. Source: PS3.3 §C.7.6.3."""

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from msgspec import Struct
from pydicom.dataset import Dataset

from ..model.errors import BadFileFormat
from .reencode import swap_bytes

Frame = npt.NDArray[np.unsignedinteger[Any]]
"""(rows, columns[, 3]) of the bits of a sample as they are stored, also those of signed ones: uint8|16|32."""

MAX_PIXEL_BYTES: Final = 2 << 30
"""Of all frames of an image: they are in memory at once, and no value of an element may have 4 GiB."""
_MONOCHROME = ("MONOCHROME1", "MONOCHROME2")
_OVERLAY_GROUPS = range(0x6000, 0x6020, 2)


class PixelFormat(Struct, frozen=True, kw_only=True):
    """The pixels of an image: `bits_*` and `high_bit` are of one sample."""

    rows: int
    columns: int
    frames: int
    samples: int
    photometric: str
    bits_allocated: int
    bits_stored: int
    high_bit: int
    is_signed: bool
    is_planar: bool
    has_embedded_overlay: bool

    @property
    def is_monochrome(self) -> bool:
        """Whether a sample is a shade of grey."""
        return self.samples == 1 and self.photometric in _MONOCHROME

    @property
    def is_subsampled(self) -> bool:
        """Whether native pixels have half as many chrominances as luminances."""
        return self.photometric == "YBR_FULL_422"

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of a frame in memory."""
        return (self.rows, self.columns) if self.samples == 1 else (self.rows, self.columns, self.samples)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of a sample in memory."""
        return np.dtype(f"<u{self.bits_allocated // 8}")

    @property
    def signed_dtype(self) -> np.dtype[Any]:
        """The type that reads the bits of a sample as a signed value."""
        return np.dtype(f"<i{self.bits_allocated // 8}")

    @property
    def has_plain_bits(self) -> bool:
        """Whether a sample is a number, its lowest bits, and nothing else."""
        return self.high_bit == self.bits_stored - 1 and not self.has_embedded_overlay

    @property
    def frame_size(self) -> int:
        """The bytes of a frame in memory."""
        return self.rows * self.columns * self.samples * self.bits_allocated // 8

    @property
    def size(self) -> int:
        """The bytes of all frames in memory."""
        return self.frame_size * self.frames


def read_format(dataset: Dataset) -> PixelFormat:
    """Read the format. Raises BadFileFormat if a tag is missing or wrong, or the image is too large."""
    try:
        bits_stored = int(dataset.BitsStored)
        found = PixelFormat(
            rows=int(dataset.Rows),
            columns=int(dataset.Columns),
            frames=int(dataset.get("NumberOfFrames") or 1),
            samples=int(dataset.get("SamplesPerPixel") or 1),
            photometric=str(dataset.PhotometricInterpretation),
            bits_allocated=int(dataset.BitsAllocated),
            bits_stored=bits_stored,
            high_bit=int(dataset.get("HighBit", bits_stored - 1)),
            is_signed=int(dataset.get("PixelRepresentation") or 0) == 1,
            is_planar=int(dataset.get("PlanarConfiguration") or 0) == 1,
            has_embedded_overlay=_has_embedded_overlay(dataset),
        )
    except (AttributeError, TypeError, ValueError) as exc:
        raise BadFileFormat("An image does not say what its pixels are") from exc
    _check(found)
    return found


def _check(found: PixelFormat) -> None:
    if (
        found.bits_allocated not in (8, 16, 32)
        or not 1 <= found.bits_stored <= found.bits_allocated
        or found.samples not in (1, 3)
        or min(found.rows, found.columns, found.frames) < 1
        or found.size > MAX_PIXEL_BYTES
    ):
        raise BadFileFormat("The pixels of an image are of an unusual kind, or too many")


def _has_embedded_overlay(dataset: Dataset) -> bool:
    """Whether unused bits of the samples hold an overlay, which was allowed once (PS3.3-2004)."""
    return any(
        (group, 0x0010) in dataset and (group, 0x3000) not in dataset and (group, 0x0102) in dataset
        for group in _OVERLAY_GROUPS
    )


def canonical(data: bytes, bits_allocated: int, vr: str) -> bytes:
    """Turn native pixel data of a big endian file into that of a little endian one, and back.

    Pixels of one byte lie in pairs if they were written as words.
    """
    if bits_allocated <= 8:
        return swap_bytes(data, 2) if vr == "OW" else data
    return swap_bytes(data, bits_allocated // 8)


def native_frames(data: bytes, format: PixelFormat) -> Iterator[Frame]:
    """Cut native little endian pixel data into frames; subsampled chrominances are doubled.

    Raises BadFileFormat if there are fewer bytes than pixels.
    """
    values_per_frame = format.rows * format.columns * format.samples
    if format.is_subsampled:
        values_per_frame = values_per_frame // 3 * 2
    size = values_per_frame * format.dtype.itemsize
    if len(data) < size * format.frames or (format.is_subsampled and format.columns % 2):
        raise BadFileFormat("An image has fewer pixels than it says")
    for start in range(0, size * format.frames, size):
        values = np.frombuffer(data, format.dtype, values_per_frame, start)
        if format.is_subsampled:
            yield _doubled(values).reshape(format.shape)
        elif format.is_planar and format.samples > 1:
            planes = values.reshape(format.samples, format.rows, format.columns)
            yield np.ascontiguousarray(planes.transpose(1, 2, 0))
        else:
            yield values.reshape(format.shape)


def _doubled(values: Frame) -> Frame:
    """Two pixels lie as Y Y Cb Cr. Source: PS3.3 §C.7.6.3.1.2."""
    pairs = values.reshape(-1, 4)
    return np.ascontiguousarray(pairs[:, (0, 2, 3, 1, 2, 3)])
