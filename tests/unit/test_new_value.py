"""New values, as they come in requests, in the encoding of a file."""

from typing import Any

import pytest

from orthanc_trio.dicom.charset import Charset
from orthanc_trio.dicom.dictionary import Dictionary
from orthanc_trio.dicom.new_value import Encoding, encode_element, encode_new
from orthanc_trio.model.errors import OrthancError
from orthanc_trio.model.tags import OwnTag

LATIN = Charset("latin_1", is_extensible=True)
EXPLICIT = Encoding(implicit=False, charset=LATIN)
IMPLICIT = Encoding(implicit=True, charset=LATIN)
BINARY = "data:application/octet-stream;base64,"
ROWS, SEQUENCE, NAME, PIXELS = 0x00280010, 0x00081140, 0x00100010, 0x7FE00010

VALUES: list[tuple[int, Any, bytes, bytes]] = [
    (NAME, "Doe^Jane", b"PN", b"Doe^Jane"),
    (NAME, "Doe", b"PN", b"Doe "),
    (NAME, "é日", b"PN", b"\xe9 "),
    (NAME, "", b"PN", b""),
    (NAME, None, b"PN", b""),
    (NAME, BINARY + "SGVsbG8=", b"PN", b"Hello "),
    (NAME, "data:text/plain;base64,SGk=", b"PN", b"data:text/plain;base64,SGk= "),
    (0x00080018, "1.2.3", b"UI", b"1.2.3\0"),
    (0x00200012, "abc", b"IS", b"abc "),
    (0x00204000, "a\nb", b"LT", b"a\nb "),
    (ROWS, "12", b"US", b"\x0c\0"),
    (ROWS, "+5", b"US", b"\5\0"),
    (ROWS, "12\\13", b"US", b"\x0c\0\x0d\0"),
    (ROWS, None, b"US", b""),
    (ROWS, BINARY + "AAE=", b"US", b"\0\1"),
    (0x00280106, "3", b"US", b"\3\0"),
    (0x00186022, "-4", b"SL", b"\xfc\xff\xff\xff"),
    (0x00189073, "1.5e3", b"FD", b"\0\0\0\0\0\x70\x97\x40"),
    (0x00700022, "1.5\\2.5", b"FL", b"\0\0\xc0\x3f\0\0\x20\x40"),
    (0x00281201, "1\\2", b"OW", b"\1\0\2\0"),
    (0x00660040, "1\\2", b"OL", b"\1\0\0\0\2\0\0\0"),
    (0x00280009, "0018,1063", b"AT", b"\x18\0\x63\x10"),
    (0x00280009, "00181063\\SliceThickness", b"AT", b"\x18\0\x63\x10\x18\0\x50\0"),
    (0x00420011, "abc", b"OB", b"abc\0"),
    (0x00420011, BINARY, b"OB", b""),
    (PIXELS, "5", b"OW", b"\5\0"),
    (0x00111111, "abc", b"UN", b"abc\0"),
    (0x00110010, "OURS", b"LO", b"OURS"),
    (0x88998898, "abc", b"UN", b"abc\0"),
    (SEQUENCE, "", b"SQ", b""),
    (SEQUENCE, [], b"SQ", b""),
    (SEQUENCE, None, b"SQ", b""),
    (SEQUENCE, [{}], b"SQ", b"\xfe\xff\0\xe0\0\0\0\0"),
]


@pytest.mark.parametrize(("tag", "value", "vr", "raw"), VALUES)
def test_a_value_is_encoded_by_the_vr_of_its_tag(tag: int, value: Any, vr: bytes, raw: bytes) -> None:
    header = tag.to_bytes(4, "big")
    header = header[1::-1] + header[:1:-1]
    is_long = vr in (b"OB", b"OW", b"OL", b"UN", b"SQ")
    length = len(raw).to_bytes(2, "little")

    assert (
        encode_new(tag, value, EXPLICIT)
        == header + vr + (b"\0\0" + length + b"\0\0" if is_long else length) + raw
    )
    assert encode_new(tag, value, IMPLICIT) == header + length + b"\0\0" + raw


def test_the_items_of_a_sequence_have_ascending_tags_and_sequences_of_their_own() -> None:
    items = [{"StudyDescription": "q", "0008-0050": None, "0008,1140": [{"Rows": "7"}], "0008,0000": "5"}]

    encoded = encode_new(SEQUENCE, items, EXPLICIT)

    rows = b"\x28\0\x10\0US\2\0\7\0"
    inner = b"\x08\0\x40\x11SQ\0\0\x12\0\0\0\xfe\xff\0\xe0\x0a\0\0\0" + rows
    item = b"\x08\0\x50\0SH\0\0" + b"\x08\0\x30\x10LO\2\0q " + inner
    size = bytes([len(item)])
    assert encoded == (
        b"\x08\0\x40\x11SQ\0\0" + bytes([len(item) + 8]) + b"\0\0\0\xfe\xff\0\xe0" + size + b"\0\0\0" + item
    )


def test_a_negative_number_is_that_of_the_same_bits_where_there_is_no_sign() -> None:
    assert encode_new(ROWS, "-1", EXPLICIT) == encode_new(ROWS, "65535", EXPLICIT)


def test_bytes_of_text_are_numbers_and_other_bytes_are_the_value() -> None:
    assert encode_new(ROWS, BINARY + "MTI=", EXPLICIT)[-2:] == b"\x0c\0"  # the text 12
    assert encode_new(ROWS, BINARY + "//8=", EXPLICIT)[-2:] == b"\xff\xff"


OUT_OF_RANGE = "While creating a DICOM instance, tag (0028,0010) has out-of-range value: "
BAD: list[tuple[int, Any, int, str]] = [
    *(
        (ROWS, text, 15, f'{OUT_OF_RANGE}"{text}"')
        for text in ["abc", " 12 ", "12.5", "0x10", "-40000", "70000", "1\\"]
    ),
    (ROWS, "9" * 5000, 15, f'{OUT_OF_RANGE}"{"9" * 256}"'),
    (SEQUENCE, "str", 15, 'While creating a DICOM instance, tag (0008,1140) has out-of-range value: "str"'),
    (
        0x00700022,
        "1e99",
        15,
        'While creating a DICOM instance, tag (0070,0022) has out-of-range value: "1e99"',
    ),
    (
        0x00189073,
        "1e999",
        15,
        'While creating a DICOM instance, tag (0018,9073) has out-of-range value: "1e999"',
    ),
    (PIXELS, "abc", 15, 'While creating a DICOM instance, tag (7fe0,0010) has out-of-range value: "abc"'),
    (0x00280009, "nope", 27, "nope"),
    (0x00200012, 5, 5, "Bad Parameter type for tag 0020,0012"),
    (NAME, True, 5, "Bad Parameter type for tag 0010,0010"),
    (NAME, ["a"], 5, "Bad Parameter type for tag 0010,0010"),
    (NAME, {"a": "b"}, 5, "Bad Parameter type for tag 0010,0010"),
    (SEQUENCE, {}, 5, "Bad Parameter type for tag 0008,1140"),
    (SEQUENCE, ["a"], 5, ""),
    (SEQUENCE, [5], 5, ""),
    (SEQUENCE, [{"nope": "x"}], 27, "nope"),
    (SEQUENCE, [{"Rows": "x"}], 15, f'{OUT_OF_RANGE}"x"'),
    (NAME, BINARY + "???", 15, ""),
    (NAME, BINARY + "é", 15, ""),
]


@pytest.mark.parametrize(("tag", "value", "code", "details"), BAD)
def test_what_is_no_value_of_the_vr_is_refused(tag: int, value: Any, code: int, details: str) -> None:
    with pytest.raises(OrthancError) as refused:
        encode_new(tag, value, EXPLICIT)

    assert (refused.value.code.value, refused.value.details) == (code, details)


def test_sequences_too_deep_are_refused() -> None:
    value: Any = []
    for _ in range(70):
        value = [{"ReferencedImageSequence": value}]

    with pytest.raises(OrthancError, match="Sequences too deep"):
        encode_new(SEQUENCE, value, EXPLICIT)


@pytest.mark.parametrize(("creator", "vr"), [("OURS", b"UI"), ("", b"UN"), ("OTHER", b"UN")])
def test_the_creator_of_the_request_tells_the_vr_of_a_private_tag(creator: str, vr: bytes) -> None:
    own = OwnTag(number=0x04051001, vr="UI", name="Mine", creator="OURS")
    encoding = Encoding(implicit=False, charset=LATIN, private_creator=creator, dictionary=Dictionary((own,)))

    assert encode_new(0x04051001, "1.2", encoding)[4:6] == vr


def test_a_value_too_long_for_its_vr_becomes_unknown() -> None:
    value = bytes(70_000)

    encoded = encode_element(NAME, b"PN", value, implicit=False)

    assert encoded == b"\x10\0\x10\0UN\0\0" + len(value).to_bytes(4, "little") + value
