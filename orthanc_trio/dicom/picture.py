"""PNG, JPEG and PAM files -> the pixels of an image as PS3.5 §8.1.1 wants them. Runs in worker processes.

Source: the Orthanc Book, "Create DICOM"; `/tools/create-dicom`, member Content.
"""

import re
import sys
import warnings
from array import array
from collections.abc import Callable, Mapping
from io import BytesIO
from typing import Final, NamedTuple

from ..model.errors import BadFileFormat, NotImplementedYet, OrthancError

MAX_PICTURE_BYTES: Final = 256 << 20
"""An image with more bytes, once it is decoded, is refused; so is one that is too large for Pillow."""
_PNG_MAGIC: Final = b"\x89PNG\r\n\x1a\n"
_PNG_DEPTH, _PNG_COLOUR = 24, 25
_PNG_GRAY: Final = 0
_PAM_HEAD: Final = re.compile(rb"P7\n((?:[A-Z#][^\n]{0,200}\n){1,32}?)ENDHDR\n")
_PAM_DEPTHS: Final = {b"255": 8, b"65535": 16}
# What each mode of Pillow is turned into before its bytes are taken.
_MODES: Final = {
    "1": "L",
    "L": "L",
    "LA": "L",
    "P": "RGB",
    "RGB": "RGB",
    "RGBA": "RGB",
    "I;16": "I;16",
}


class Picture(NamedTuple):
    """An image: `pixels` are rows of unsigned numbers, those of 16 bits in little endian, colour by pixel."""

    rows: int
    columns: int
    samples: int
    """1 is gray, 3 is red, green and blue."""
    bits: int
    """8 or 16."""
    pixels: bytes


def read_picture(media_type: str, data: bytes) -> Picture:
    """Decode an image; transparency is left out.

    Raises BadFileFormat for what is no such image, is cut off or too large; NotImplementedYet for a model of
    colours without a counterpart.
    """
    reader = _READERS[media_type]
    try:
        return reader(data)
    except OrthancError:
        raise
    except Exception as error:
        # A decoder raises anything for a damaged file.
        raise BadFileFormat from error


def _read_png(data: bytes) -> Picture:
    if data.startswith(_PNG_MAGIC) and len(data) > _PNG_COLOUR:
        size = int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")
        if data[_PNG_DEPTH] == 16 and data[_PNG_COLOUR] != _PNG_GRAY:
            return _read_deep_png(data, *size)
    return _read_by_pillow(data, "PNG")


def _read_deep_png(data: bytes, columns: int, rows: int) -> Picture:
    """Read colours, or transparent gray, of 16 bits, of which Pillow drops half."""
    from .codec import decode_png

    _check_size(rows, columns, 4, 16)
    values = decode_png(data)
    values = values[:, :, : 3 if values.shape[2] > 2 else 1]
    return Picture(rows, columns, values.shape[2], 16, values.astype("<u2").tobytes())


def _read_jpeg(data: bytes) -> Picture:
    return _read_by_pillow(data, "JPEG")


def _read_by_pillow(data: bytes, format: str) -> Picture:
    from PIL import Image  # in worker processes only

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with Image.open(BytesIO(data), formats=(format,)) as image:
            columns, rows = image.size
            mode = _MODES.get(image.mode)
            if mode is None:
                raise NotImplementedYet(f"Unsupported model of colours: {image.mode}")
            bits, samples = 16 if mode == "I;16" else 8, 3 if mode == "RGB" else 1
            _check_size(rows, columns, samples, bits)
            image.load()
            return Picture(rows, columns, samples, bits, image.convert(mode).tobytes())


def _read_pam(data: bytes) -> Picture:
    """Read a portable arbitrary map; numbers of 16 bits are in big endian there."""
    head = _PAM_HEAD.match(data)
    if head is None:
        raise BadFileFormat
    fields = dict(line.split(None, 1) for line in head[1].splitlines() if not line.startswith(b"#"))
    rows, columns, samples = (int(fields[name]) for name in (b"HEIGHT", b"WIDTH", b"DEPTH"))
    bits = _PAM_DEPTHS.get(fields[b"MAXVAL"].strip())
    if bits is None or samples not in (1, 3):
        raise NotImplementedYet("Unsupported kind of portable arbitrary map")
    pixels = data[head.end() :]
    if len(pixels) != _check_size(rows, columns, samples, bits):
        raise BadFileFormat
    if bits == 16:
        numbers = array("H", pixels)
        if sys.byteorder == "little":
            numbers.byteswap()
        pixels = numbers.tobytes()
    return Picture(rows, columns, samples, bits, pixels)


def _check_size(rows: int, columns: int, samples: int, bits: int) -> int:
    """Return how many bytes the pixels have. Raises BadFileFormat if DICOM, or we, cannot have so many."""
    size = rows * columns * samples * bits // 8
    if not (0 < rows <= 0xFFFF and 0 < columns <= 0xFFFF and size <= MAX_PICTURE_BYTES):
        raise BadFileFormat("The size of the image exceeds the limits")
    return size


_READERS: Final[Mapping[str, Callable[[bytes], Picture]]] = {
    "image/png": _read_png,
    "image/jpeg": _read_jpeg,
    "image/x-portable-arbitrarymap": _read_pam,
}
PICTURE_TYPES: Final = frozenset(_READERS)
"""The media types that can be read."""
