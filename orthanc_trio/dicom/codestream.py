"""The header of a compressed frame: what it holds, before a codec is trusted with it.

A codec allocates what the header says, whatever the dataset says; so the two are compared first.
Source: ISO/IEC 10918-1 Annex B (JPEG), 14495-1 Annex C (JPEG-LS), 15444-1 Annex A (JPEG 2000).
"""

from struct import error as StructError
from struct import unpack_from

from msgspec import Struct

from ..model.errors import BadFileFormat

_START_OF_JPEG, _START_OF_JPEG_2000 = b"\xff\xd8", b"\xff\x4f\xff\x51"
_JP2_FILE = b"\0\0\0\x0cjP  "
_START_OF_SCAN = 0xDA
_NOT_FRAMES = frozenset((0xC4, 0xC8, 0xCC))  # markers among those of frames that define tables
_JPEG_LS_FRAME = 0xF7
_JFIF, _ADOBE = 0xE0, 0xEE
_MAX_SEGMENTS = 1024


class Codestream(Struct, frozen=True):
    """The shape of a compressed frame; `precision` in bits of a sample."""

    rows: int
    columns: int
    samples: int
    precision: int
    is_signed: bool = False
    is_ybr: bool | None = None
    """Whether a JPEG says that its colours are luminance and chrominance; None if it does not say."""
    is_transformed: bool = False
    """Whether JPEG 2000 has transformed the colours itself, which its decoder undoes."""


def codestream_start(data: bytes) -> int:
    """Return where the codestream begins: not at once if a whole JP2 file was put into a frame."""
    return max(0, data.find(_START_OF_JPEG_2000)) if data.startswith(_JP2_FILE) else 0


def read_codestream(data: bytes) -> Codestream:
    """Read the header of a JPEG, JPEG-LS or JPEG 2000 frame. Raises BadFileFormat."""
    try:
        if data.startswith(_START_OF_JPEG):
            return _read_jpeg(data)
        if data.startswith(_START_OF_JPEG_2000):
            return _read_jpeg_2000(data)
    except (StructError, IndexError) as exc:
        raise BadFileFormat("A compressed frame is cut off") from exc
    raise BadFileFormat("A compressed frame has no known header")


def _read_jpeg(data: bytes) -> Codestream:
    position = 2
    is_ybr: bool | None = None
    for _ in range(_MAX_SEGMENTS):
        while data[position] == 0xFF:  # the marker's first byte, and fill bytes before it
            position += 1
        marker, start = data[position], position + 3
        (length,) = unpack_from(">H", data, position + 1)
        if marker == _JPEG_LS_FRAME or (0xC0 <= marker <= 0xCF and marker not in _NOT_FRAMES):
            return _jpeg_frame(data, start, is_ybr)
        if marker == _START_OF_SCAN:
            break
        if marker == _JFIF and data.startswith(b"JFIF\0", start) and is_ybr is None:
            is_ybr = True
        if marker == _ADOBE and data.startswith(b"Adobe", start) and length >= 14:
            is_ybr = data[start + 11] != 0
        position += 1 + length
    raise BadFileFormat("A JPEG has no frame header")


def _jpeg_frame(data: bytes, start: int, is_ybr: bool | None) -> Codestream:
    precision, rows, columns, samples = unpack_from(">BHHB", data, start)
    names = bytes(data[start + 6 : start + 6 + 3 * samples : 3])
    if names == b"RGB":
        is_ybr = False
    return Codestream(rows, columns, samples, precision, is_ybr=is_ybr)


def _read_jpeg_2000(data: bytes) -> Codestream:
    width, height, left, top = unpack_from(">LLLL", data, 8)
    (samples,) = unpack_from(">H", data, 40)
    depth = data[42]
    # Of the components each says its depth and subsampling; all have to be like the first.
    if bytes(data[42 : 42 + 3 * samples]) != bytes(data[42:45]) * samples or data[43:45] != b"\1\1":
        raise BadFileFormat("The components of a JPEG 2000 differ")
    style = data.find(b"\xff\x52", 42 + 3 * samples, 4096)
    return Codestream(
        rows=height - top,
        columns=width - left,
        samples=samples,
        precision=(depth & 0x7F) + 1,
        is_signed=bool(depth & 0x80),
        is_transformed=style >= 0 and data[style + 8] == 1,
    )
