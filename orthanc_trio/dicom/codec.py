"""Single frames <-> bytes of each compression that DICOM knows, with the codecs of `imagecodecs`.

Lossless codecs without a notion of sign (JPEG, JPEG-LS, RLE) get the bits as they are stored, also the unused
ones, and so give back exactly what they got. JPEG 2000 gets values instead, as PS3.5 §8.2.4 wants the sign
and the depth that the tags tell also in the codestream.
"""

import itertools
import math
from typing import Any, Final

import imagecodecs
import numpy as np
import numpy.typing as npt

from ..model.errors import BadFileFormat
from .codestream import Codestream, codestream_start, read_codestream
from .pixel_format import Frame, PixelFormat
from .transfer_syntax import Coding, TransferSyntax

_EXTENDED: Final = "1.2.840.10008.1.2.4.51"
_WRITABLE: Final = frozenset(
    f"1.2.840.10008.1.2.{suffix}"
    for suffix in ("4.50", _EXTENDED[-4:], "4.57", "4.70", "4.80", "4.81", "4.90", "4.91", "5")
)
_COLOUR_MODELS = ("RGB", "YBR_FULL")
_RLE_OFFSETS = 16

Values = npt.NDArray[Any]
Encoded = bytes | bytearray


def decode_png(data: bytes) -> Values:
    """Return the pixels of a PNG file: (rows, columns, samples). Raises ValueError if it is none."""
    try:
        return imagecodecs.png_decode(data)
    except imagecodecs.PngError as error:
        raise ValueError("Cannot decode a PNG image") from error


def can_encode(format: PixelFormat, target: TransferSyntax) -> bool:
    """Whether decoded frames of `format` can be written in the compressed syntax `target`."""
    if target.uid not in _WRITABLE or (format.samples > 1 and format.photometric not in _COLOUR_MODELS):
        return False
    if target.coding is Coding.RLE:
        return True
    needs_values = target.is_lossy or target.coding is Coding.JPEG_2000
    if format.bits_allocated > 16 or (needs_values and not format.has_plain_bits):
        return False
    if target.is_lossy and format.photometric == "PALETTE COLOR":
        return False
    return target.coding is not Coding.JPEG or _fits_jpeg(format, target)


def _fits_jpeg(format: PixelFormat, target: TransferSyntax) -> bool:
    if format.is_signed:
        return False
    if format.bits_allocated == 8:
        return format.bits_stored == 8
    return target.uid == _EXTENDED and format.is_monochrome and format.bits_stored <= 12


def decoded_photometric(format: PixelFormat, source: TransferSyntax) -> str:
    """Return the photometric interpretation of the frames that come out of a file of `format`."""
    name = format.photometric
    if source.is_native:
        return "YBR_FULL" if name == "YBR_FULL_422" else name
    if name in ("YBR_RCT", "YBR_ICT") or (name.startswith("YBR") and source.coding is Coding.JPEG):
        return "RGB"
    return name


def encoded_photometric(format: PixelFormat, target: TransferSyntax) -> str:
    """Return the photometric interpretation that decoded frames have once they are encoded."""
    name = format.photometric
    if target.coding is Coding.JPEG and name in _COLOUR_MODELS:
        return "YBR_FULL_422"
    if target.coding is Coding.JPEG_2000 and name == "RGB":
        return "YBR_ICT" if target.is_lossy else "YBR_RCT"
    return name


def decode(data: bytes, format: PixelFormat, source: TransferSyntax) -> Frame:
    """Decode one frame, of which `format` says what the tags of its image say.

    Raises BadFileFormat if it is something else, and what the codec raises for damaged data.
    """
    if source.coding is Coding.RLE:
        return _decode_rle(data, format)
    data = data[codestream_start(data) :]
    header = read_codestream(data)
    if (header.rows, header.columns, header.samples) != (format.rows, format.columns, format.samples):
        raise BadFileFormat("A compressed frame has another shape than its image says")
    if header.precision > format.bits_allocated or (header.is_signed and not format.is_signed):
        raise BadFileFormat("A compressed frame has other values than its image says")
    return _as_stored(_decode_values(data, format, header, source.coding), format, header)


def _decode_values(data: bytes, format: PixelFormat, header: Codestream, coding: Coding) -> Values:
    match coding:
        case Coding.JPEG:
            return _decode_jpeg(data, format, header)
        case Coding.JPEG_LOSSLESS:
            colours = None if format.samples == 1 else "UNKNOWN"
            return imagecodecs.jpeg8_decode(data, colorspace=colours, outcolorspace=colours)
        case Coding.JPEG_LS:
            return imagecodecs.jpegls_decode(data)
        case Coding.JPEG_2000:
            return imagecodecs.jpeg2k_decode(data)
        case _:
            raise BadFileFormat("Nothing decodes this compression")


def _decode_jpeg(data: bytes, format: PixelFormat, header: Codestream) -> Values:
    if format.samples == 1:
        return imagecodecs.jpeg8_decode(data)
    is_ybr = header.is_ybr if header.is_ybr is not None else format.photometric != "RGB"
    return imagecodecs.jpeg8_decode(data, colorspace="YCBCR" if is_ybr else "RGB", outcolorspace="RGB")


def _as_stored(decoded: Values, format: PixelFormat, header: Codestream) -> Frame:
    """Return decoded values as the bits that a native file has for them."""
    values = decoded.reshape(format.shape)
    if not format.is_signed:
        return values.astype(format.dtype, copy=False)
    # Without a sign in the codestream, its highest bit is the sign.
    return _extended(values.astype(format.signed_dtype), header.precision).view(format.dtype)


def _extended(values: Values, bits: int) -> Values:
    """Repeat the sign, or the zero, of values of `bits` bits in all the bits above."""
    unused = values.dtype.itemsize * 8 - bits
    return (values << unused) >> unused if unused else values


def _values_of(frame: Frame, format: PixelFormat) -> Values:
    """Return the values that stored bits stand for."""
    return _extended(frame.view(format.signed_dtype) if format.is_signed else frame, format.bits_stored)


def encode(frame: Frame, format: PixelFormat, target: TransferSyntax, quality: int) -> Encoded:
    """Encode one frame of a format that `can_encode` accepts; `quality` (1..100) matters to lossy targets."""
    quality = min(max(quality, 1), 100)
    match target.coding:
        case Coding.RLE:
            return _encode_rle(frame, format)
        case Coding.JPEG:
            return _encode_jpeg(frame, format, quality)
        case Coding.JPEG_LOSSLESS:
            return _encode_jpeg_lossless(frame, format)
        case Coding.JPEG_LS:
            return _encode_jpeg_ls(frame, format, target, quality)
        case _:
            return _encode_jpeg_2000(frame, format, target, quality)


def _encode_jpeg(frame: Frame, format: PixelFormat, quality: int) -> Encoded:
    if format.samples == 1:
        bits = 8 if format.bits_allocated == 8 else 12
        return imagecodecs.jpeg8_encode(_values_of(frame, format), quality, bitspersample=bits)
    colours = "RGB" if format.photometric == "RGB" else "YCBCR"
    return imagecodecs.jpeg8_encode(
        frame, quality, colorspace=colours, outcolorspace="YCBCR", subsampling="422"
    )


def _encode_jpeg_lossless(frame: Frame, format: PixelFormat) -> Encoded:
    colours = None
    if format.samples > 1:
        # A JPEG that names other colours than RGB has them converted by those who read it.
        colours = "RGB" if format.photometric == "RGB" else "UNKNOWN"
    bits = format.bits_allocated
    return imagecodecs.jpeg8_encode(
        frame, lossless=True, predictor=1, bitspersample=bits, colorspace=colours, outcolorspace=colours
    )


def _encode_jpeg_ls(frame: Frame, format: PixelFormat, target: TransferSyntax, quality: int) -> Encoded:
    if not target.is_lossy:
        return imagecodecs.jpegls_encode(frame)
    near = max(1, (100 - quality) // 5)
    values = _values_of(frame, format)
    # What is coded may come out higher or lower by `near`, and must not leave the bits that are stored.
    lowest, highest = (-1 << (format.bits_stored - 1), 1 << (format.bits_stored - 1))
    if not format.is_signed:
        lowest, highest = (-near, 1 << format.bits_stored)
    safe = np.clip(values, lowest + near, highest - 1 - near).view(format.dtype)
    return imagecodecs.jpegls_encode(safe, near)


def _encode_jpeg_2000(frame: Frame, format: PixelFormat, target: TransferSyntax, quality: int) -> Encoded:
    values = _values_of(frame, format)
    return imagecodecs.jpeg2k_encode(
        values,
        _peak_signal_to_noise(values, format, quality) if target.is_lossy else None,
        codecformat="J2K",
        bitspersample=format.bits_stored,
        reversible=not target.is_lossy,
        mct=format.photometric == "RGB",
    )


def _peak_signal_to_noise(values: Values, format: PixelFormat, quality: int) -> int:
    """Return the ratio in dB: 57 for quality 90, of the range that the image uses rather than could use."""
    contrast = max(1, int(values.max()) - int(values.min()))
    return round(30 + 0.3 * quality + 20 * math.log10((1 << format.bits_stored) / contrast))


def _decode_rle(data: bytes, format: PixelFormat) -> Frame:
    """Decode the planes of a frame: see `_encode_rle`. Raises BadFileFormat."""
    width, plane_size = format.dtype.itemsize, format.rows * format.columns
    octets = np.empty((plane_size, format.samples, width), "u1")
    segments = _rle_segments(data, format.samples * width)
    for plane, segment in enumerate(segments):
        decoded = np.frombuffer(imagecodecs.packbits_decode(segment), "u1")
        if len(decoded) < plane_size:
            raise BadFileFormat("A frame has fewer pixels than its image says")
        octets[:, plane // width, width - 1 - plane % width] = decoded[:plane_size]
    return octets.view(format.dtype).reshape(format.shape)


def _rle_segments(data: bytes, count: int) -> list[bytes]:
    if len(data) < 4 * _RLE_OFFSETS:
        raise BadFileFormat("A frame has no header")
    stated, *offsets = np.frombuffer(data, "<u4", count + 1).tolist()
    if stated != count or offsets != sorted(offsets) or offsets[0] < 4 * _RLE_OFFSETS:
        raise BadFileFormat("The header of a frame is damaged")
    return [data[start:end] for start, end in itertools.pairwise((*offsets, len(data)))]


def _encode_rle(frame: Frame, format: PixelFormat) -> Encoded:
    """Encode each byte of a sample as a plane, the highest first. Source: PS3.5 Annex G."""
    width = format.dtype.itemsize
    octets = (
        np.ascontiguousarray(frame).view("u1").reshape(format.rows, format.columns, format.samples, width)
    )
    planes = [
        octets[:, :, sample, byte] for sample in range(format.samples) for byte in reversed(range(width))
    ]
    segments = [bytes(imagecodecs.packbits_encode(np.ascontiguousarray(plane))) for plane in planes]
    segments = [segment + b"\0" * (len(segment) % 2) for segment in segments]
    offsets = np.zeros(_RLE_OFFSETS, "<u4")
    offsets[0] = len(segments)
    offsets[1 : len(segments) + 1] = 4 * _RLE_OFFSETS + np.cumsum([0, *map(len, segments[:-1])])
    return offsets.tobytes() + b"".join(segments)
