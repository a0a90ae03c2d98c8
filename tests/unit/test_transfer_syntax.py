import pytest

from orthanc_trio.dicom.transfer_syntax import TRANSFER_SYNTAXES, Coding, find_syntax

ROOT = "1.2.840.10008.1.2"


@pytest.mark.parametrize("suffix", ["", ".1", ".2", ".1.99"])
def test_what_has_native_pixels_is_not_lossy(suffix: str) -> None:
    syntax = find_syntax(ROOT + suffix)

    assert syntax is not None
    assert syntax.is_native
    assert not syntax.is_lossy


def test_only_the_default_is_implicit_and_only_one_is_big_endian() -> None:
    rows = TRANSFER_SYNTAXES.values()

    assert [row.uid for row in rows if row.is_implicit] == [ROOT]
    assert [row.uid for row in rows if not row.is_little_endian] == [f"{ROOT}.2"]


@pytest.mark.parametrize(
    ("suffix", "coding", "is_lossy"),
    [
        (".4.50", Coding.JPEG, True),
        (".4.51", Coding.JPEG, True),
        (".4.57", Coding.JPEG_LOSSLESS, False),
        (".4.70", Coding.JPEG_LOSSLESS, False),
        (".4.80", Coding.JPEG_LS, False),
        (".4.81", Coding.JPEG_LS, True),
        (".4.90", Coding.JPEG_2000, False),
        (".4.91", Coding.JPEG_2000, True),
        (".4.100", Coding.VIDEO, True),
        (".4.106.1", Coding.VIDEO, True),
        (".4.110", Coding.JPEG_XL, False),
        (".4.201", Coding.JPEG_2000, False),
        (".5", Coding.RLE, False),
        (".6.1", Coding.OTHER, False),
    ],
)
def test_a_compressed_syntax_has_its_coding(suffix: str, coding: Coding, is_lossy: bool) -> None:
    syntax = find_syntax(ROOT + suffix)

    assert syntax is not None
    assert (syntax.coding, syntax.is_lossy) == (coding, is_lossy)
    assert not syntax.is_native


@pytest.mark.parametrize(
    "uid", ["", "nope", "1.2.840.10008.1.2.4", "1.2.840.10008.1.1", " 1.2.840.10008.1.2"]
)
def test_what_is_no_transfer_syntax_is_not_found(uid: str) -> None:
    assert find_syntax(uid) is None
