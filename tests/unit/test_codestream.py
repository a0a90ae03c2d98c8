import imagecodecs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orthanc_trio.dicom.codestream import Codestream, codestream_start, read_codestream
from orthanc_trio.model.errors import BadFileFormat

GREY = np.arange(6 * 4, dtype="u2").reshape(4, 6)
COLOUR = np.arange(6 * 4 * 3, dtype="u1").reshape(4, 6, 3)


def jpeg(colours: str) -> bytes:
    return bytes(imagecodecs.jpeg8_encode(COLOUR, 90, colorspace="RGB", outcolorspace=colours))


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (imagecodecs.jpeg8_encode(GREY, 90, bitspersample=12), (4, 6, 1, 12)),
        (imagecodecs.jpeg8_encode(GREY, lossless=True, bitspersample=16), (4, 6, 1, 16)),
        (imagecodecs.jpegls_encode(COLOUR), (4, 6, 3, 8)),
        (imagecodecs.jpeg2k_encode(GREY, codecformat="J2K", bitspersample=14), (4, 6, 1, 14)),
        (imagecodecs.jpeg2k_encode(COLOUR, codecformat="J2K"), (4, 6, 3, 8)),
    ],
)
def test_the_header_tells_shape_and_precision(data: bytes, expected: tuple[int, ...]) -> None:
    header = read_codestream(bytes(data))

    assert (header.rows, header.columns, header.samples, header.precision) == expected


def test_jpeg_2000_tells_its_sign() -> None:
    signed = imagecodecs.jpeg2k_encode(GREY.astype("i2"), codecformat="J2K")

    assert read_codestream(bytes(signed)).is_signed
    assert not read_codestream(bytes(imagecodecs.jpeg2k_encode(GREY, codecformat="J2K"))).is_signed


def test_a_jpeg_tells_its_colours_or_not() -> None:
    plain = jpeg("YCBCR")
    start = plain.index(b"\xff\xe0")
    without_jfif = plain[:start] + plain[start + 18 :]

    assert read_codestream(plain).is_ybr is True
    assert read_codestream(jpeg("RGB")).is_ybr is False
    assert read_codestream(without_jfif).is_ybr is None


def test_a_jp2_file_has_its_codestream_somewhere_behind_its_head() -> None:
    data = bytes(imagecodecs.jpeg2k_encode(GREY, codecformat="JP2"))
    start = codestream_start(data)

    assert start > 0
    assert read_codestream(data[start:]) == Codestream(4, 6, 1, 16)


def test_components_that_differ_are_refused() -> None:
    data = bytearray(imagecodecs.jpeg2k_encode(COLOUR, codecformat="J2K"))
    data[45] = 11

    with pytest.raises(BadFileFormat):
        read_codestream(bytes(data))


@pytest.mark.parametrize(
    "data", [b"", b"\xff\xd8", b"\xff\xd8\xff\xda\0\2", b"\xff\x4f\xff\x51\0", b"nothing"]
)
def test_what_has_no_whole_header_is_refused(data: bytes) -> None:
    with pytest.raises(BadFileFormat):
        read_codestream(data)


@given(st.sampled_from([b"\xff\xd8", b"\xff\x4f\xff\x51", b""]), st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(start: bytes, rest: bytes) -> None:
    data = start + rest
    try:
        header = read_codestream(data[codestream_start(data) :])
    except BadFileFormat:
        return
    assert header.precision <= 255
