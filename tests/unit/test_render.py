"""DICOM-as-JSON: what each kind of value looks like, and what hostile bytes cannot do."""

import struct
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian

from orthanc_trio.dicom import render
from orthanc_trio.dicom.render import Format, Rendering, Tags, render_dataset, render_meta
from orthanc_trio.model.errors import BadFileFormat
from tests.support.dicom import make_dataset, make_instance, write

SYNTAXES = (
    "1.2.840.10008.1.2.1",
    ImplicitVRLittleEndian,
    ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
)


def shown(data: bytes, format: Format = Format.FULL, *, whole: bool = False, **how: Any) -> Tags:
    return render_dataset(data, len(data), Rendering(format, **how), whole=whole)


def element(tag: int, vr: bytes, value: bytes, length: int | None = None) -> bytes:
    """An element in explicit VR, little endian."""
    size = len(value) if length is None else length
    head = struct.pack("<HH2s", tag >> 16, tag & 0xFFFF, vr)
    is_long = vr in (
        b"OB",
        b"OW",
        b"OF",
        b"OD",
        b"OL",
        b"OV",
        b"SV",
        b"UV",
        b"SQ",
        b"UN",
        b"UT",
        b"UC",
        b"UR",
    )
    return head + (struct.pack("<HL", 0, size) if is_long else struct.pack("<H", size)) + value


def file_of(*elements: bytes) -> bytes:
    """A file with these elements, after its meta information."""
    syntax = element(0x00020010, b"UI", b"1.2.840.10008.1.2.1\0")
    return bytes(128) + b"DICM" + syntax + b"".join(elements)


def value_of(tag: int, vr: bytes, value: bytes, **how: Any) -> tuple[str, object]:
    """The type and the value that are shown of one element."""
    (found,) = shown(file_of(element(tag, vr, value)), **how).values()
    return found["Type"], found["Value"]


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_the_three_formats_say_the_same(syntax: str) -> None:
    item = Dataset()
    item.CodeValue = "T-1"
    data = make_instance(transfer_syntax=syntax, AnatomicRegionSequence=Sequence([item]), rows=4)
    full, short, human = (shown(data, format) for format in (Format.FULL, Format.SHORT, Format.HUMAN))
    assert full["0010,0010"] == {"Name": "PatientName", "Type": "String", "Value": "Doe^Jane"}
    assert short["0010,0010"] == human["PatientName"] == "Doe^Jane"
    assert full["0028,0010"] == {"Name": "Rows", "Type": "String", "Value": "4"}
    code = {"0008,0100": {"Name": "CodeValue", "Type": "String", "Value": "T-1"}}
    assert full["0008,2218"] == {"Name": "AnatomicRegionSequence", "Type": "Sequence", "Value": [code]}
    assert human["AnatomicRegionSequence"] == [{"CodeValue": "T-1"}]
    assert full["7fe0,0010"] == {"Name": "PixelData", "Type": "Null", "Value": None}
    assert list(full)[-1] == "7fe0,0010"


@pytest.mark.parametrize(
    ("tag", "vr", "raw", "expected"),
    [
        (0x00280010, b"US", struct.pack("<2H", 1, 65535), "1\\65535"),
        (0x00280010, b"SS", struct.pack("<2h", -1, 5), "-1\\5"),
        (0x00280010, b"UL", struct.pack("<L", 1 << 31), "2147483648"),
        (0x00280010, b"SL", struct.pack("<l", -7), "-7"),
        (0x00280010, b"UV", struct.pack("<Q", 1 << 63), "9223372036854775808"),
        (0x00280010, b"SV", struct.pack("<q", -9), "-9"),
        (0x00280010, b"FL", struct.pack("<f", 10.1), "10.100000381469727"),
        (0x00280010, b"FD", struct.pack("<2d", 0.1, 2), "0.10000000000000001\\2"),
        (0x00280010, b"OF", struct.pack("<2f", 10.1, 20.2), "10.1000004\\20.2000008"),
        (0x00280010, b"OD", struct.pack("<d", 0.5), "0.5"),
        (0x00280010, b"OL", struct.pack("<2L", 1, 2), "1\\2"),
        (0x00280009, b"AT", struct.pack("<4H", 0x54, 0x10, 0x54, 0x20), "0054,0010\\0054,0020"),
        (0x00100010, b"PN", b"A^B ", "A^B"),
        (0x00100020, b"LO", b" 1 \0", " 1"),
        (0x00080018, b"UI", b"1.2.3\0", "1.2.3"),
        (0x00100010, b"PN", b"", ""),
        (0x00280010, b"US", b"\1", "1"),
        (0x00280010, b"US", b"\1\0\2", "1\\2"),
        (0x00660016, b"OF", b"", ""),
        (0x00100010, b"UN", b"known as PN ", "known as PN "),
    ],
)
def test_a_value_becomes_a_string(tag: int, vr: bytes, raw: bytes, expected: str) -> None:
    assert value_of(tag, vr, raw) == ("String", expected)


@pytest.mark.parametrize(
    ("tag", "vr", "raw"),
    [
        (0x00081140, b"OB", b"ab"),
        (0x00081140, b"OW", b"ab"),
        (0x00091001, b"UN", b"ab"),
        (0x00280010, b"US", b""),
        (0x00089073, b"FD", b"\1\0"),
        (0x00720082, b"SV", b""),
        (0x00281201, b"OW", bytes(70000)),
        (0x00091001, b"UN", bytes(70000)),
    ],
)
def test_a_value_without_a_text_is_null(tag: int, vr: bytes, raw: bytes) -> None:
    assert value_of(tag, vr, raw) == ("Null", None)


def test_a_long_text_is_not_shown_unless_its_tag_is_named() -> None:
    tag = 0x00204000
    assert value_of(tag, b"LT", b"x" * 256) == ("String", "x" * 256)
    for size in (258, 5000):
        assert value_of(tag, b"LT", b"x" * size) == ("TooLong", None)
        assert value_of(tag, b"LT", b"x" * size, unlimited={tag}) == ("String", "x" * size)
    # The limit is on the bytes in UTF-8, not on those of the file or on the characters.
    assert value_of(tag, b"LT", b"\xe9" * 130) == ("TooLong", None)
    assert shown(file_of(element(tag, b"LT", b"x" * 258)), Format.HUMAN) == {"ImageComments": None}


def test_a_private_element_is_named_by_its_creator() -> None:
    elements = (
        element(0x00090010, b"LO", b"GEMS_IDEN_01"),
        element(0x00090011, b"LO", b"NOBODY"),
        element(0x00091001, b"LO", b"x "),
        element(0x00091102, b"UN", b"\1\2"),
        element(0x00091203, b"LO", b"y "),
    )
    assert shown(file_of(*elements)) == {
        "0009,0010": {"Name": "PrivateCreator", "Type": "String", "Value": "GEMS_IDEN_01"},
        "0009,0011": {"Name": "PrivateCreator", "Type": "String", "Value": "NOBODY"},
        "0009,1001": {
            "Name": "FullFidelity",
            "PrivateCreator": "GEMS_IDEN_01",
            "Type": "String",
            "Value": "x",
        },
        "0009,1102": {
            "Name": "Unknown Tag & Data",
            "PrivateCreator": "NOBODY",
            "Type": "Null",
            "Value": None,
        },
        "0009,1203": {"Name": "Unknown Tag & Data", "Type": "String", "Value": "y"},
    }
    human = shown(file_of(*elements), Format.HUMAN)
    assert human["Unknown Tag & Data"] == "y"


def test_an_unknown_private_text_counts_only_if_it_is_ascii() -> None:
    creator = element(0x00090010, b"LO", b"GEMS_IDEN_01")
    for raw, expected in ((b"ab", "ab"), (b"\xe9\xe9", None)):
        tags = shown(file_of(creator, element(0x00091001, b"UN", raw)), Format.SHORT)
        assert tags["0009,1001"] == expected


def test_text_is_decoded_by_the_character_set_of_its_dataset_or_item() -> None:
    item = Dataset()
    item.SpecificCharacterSet = "ISO_IR 144"
    item.PatientName = "Жуков"
    plain = Dataset()
    plain.PatientName = "Müller"
    data = make_instance(
        SpecificCharacterSet="ISO_IR 192",
        patient_name="Müller",
        OtherPatientIDsSequence=Sequence([item, plain]),
    )
    human = shown(data, Format.HUMAN)
    assert human["PatientName"] == "Müller"
    inner = [each["PatientName"] for each in human["OtherPatientIDsSequence"]]
    assert inner == ["Жуков", "Müller"]


def test_a_backslash_of_japanese_text_is_a_yen_sign_unless_it_separates_values() -> None:
    tags = shown(
        file_of(
            element(0x00080005, b"CS", b"ISO_IR 13 "),
            element(0x00081030, b"LO", b"a\\b~"),
            element(0x00204000, b"LT", b"a\\b~"),
        ),
        Format.HUMAN,
    )
    assert (tags["StudyDescription"], tags["ImageComments"]) == ("a\\b‾", "a¥b‾")


def test_the_default_encoding_is_for_files_that_name_none() -> None:
    data = file_of(element(0x00100010, b"PN", "Ж".encode("cp1251") + b" "))
    assert shown(data, Format.HUMAN, default_encoding="Windows1251") == {"PatientName": "Ж"}
    assert shown(data, Format.HUMAN) == {"PatientName": "Æ"}


def test_what_follows_the_pixels_is_only_shown_if_the_whole_is_asked_for() -> None:
    pixels = element(0x7FE00010, b"OW", bytes(64))
    data = file_of(element(0x00100020, b"LO", b"x "), pixels, element(0xFFFCFFFC, b"OB", b"pad "))
    assert list(shown(data)) == ["0010,0020", "7fe0,0010"]
    whole = shown(data, Format.HUMAN, whole=True)
    assert whole == {"PatientID": "x", "PixelData": None, "DataSetTrailingPadding": None}


def test_encapsulated_pixels_are_passed_over() -> None:
    fragments = struct.pack("<HHL", 0xFFFE, 0xE000, 0) + struct.pack("<HHL", 0xFFFE, 0xE000, 4) + b"abcd"
    fragments += struct.pack("<HHL", 0xFFFE, 0xE0DD, 0)
    pixels = element(0x7FE00010, b"OB", fragments, 0xFFFFFFFF)
    tags = shown(file_of(pixels, element(0xFFFCFFFC, b"OB", b"pad ")), Format.SHORT, whole=True)
    assert tags == {"7fe0,0010": None, "fffc,fffc": None}


def test_the_head_up_to_the_pixels_is_enough() -> None:
    data = make_instance(rows=64, columns=64)
    head = data[: data.rindex(b"\xe0\x7f\x10\0") + 12]
    assert len(head) < len(data) - 8000
    assert render_dataset(head, len(data), Rendering()) == shown(data)


def test_empty_and_nested_sequences_are_lists() -> None:
    inner = Dataset()
    inner.CodeValue = "1"
    outer = Dataset()
    outer.AnatomicRegionSequence = Sequence([inner, Dataset()])
    for is_undefined in (False, True):
        dataset = make_dataset()
        dataset.RequestAttributesSequence = Sequence([outer])
        dataset.ReferencedStudySequence = Sequence()
        for each in (dataset["RequestAttributesSequence"], outer["AnatomicRegionSequence"]):
            each.is_undefined_length = is_undefined
        human = shown(write(dataset), Format.HUMAN)
        assert human["RequestAttributesSequence"] == [{"AnatomicRegionSequence": [{"CodeValue": "1"}, {}]}]
        assert human["ReferencedStudySequence"] == []


def test_group_lengths_and_retired_names_are_those_of_the_toolkit() -> None:
    data = file_of(
        element(0x00080000, b"UL", struct.pack("<L", 4)),
        element(0x00090000, b"UL", struct.pack("<L", 4)),
        element(0x00101000, b"LO", b"id"),
        element(0x00102160, b"SH", b"x "),
        element(0x60023000, b"OW", b"ab"),
    )
    assert list(shown(data, Format.HUMAN)) == [
        "GenericGroupLength",
        "PrivateGroupLength",
        "OtherPatientIDs",
        "RETIRED_EthnicGroup",
        "OverlayData",
    ]


def test_the_meta_information_is_shown_without_its_version() -> None:
    data = make_instance()
    human = render_meta(data, Rendering(Format.HUMAN))
    assert human["TransferSyntaxUID"] == "1.2.840.10008.1.2.1"
    assert int(human["FileMetaInformationGroupLength"]) > 0
    assert "FileMetaInformationVersion" not in human
    assert render_meta(data, Rendering(Format.FULL))["0002,0010"]["Type"] == "String"
    assert "0002,0001" not in render_meta(data, Rendering())


def nested(depth: int, length: int) -> bytes:
    value = b""
    for _ in range(depth):
        item = struct.pack("<HHL", 0xFFFE, 0xE000, length if length else len(value)) + value
        value = element(0x00081140, b"SQ", item, length or None)
    return value


@pytest.mark.parametrize("length", [0, 0xFFFFFFFF])
@pytest.mark.parametrize("depth", [65, 3000])
def test_a_file_that_nests_too_deep_is_shown_as_far_as_that(depth: int, length: int) -> None:
    data = file_of(element(0x00080018, b"UI", b"1."), nested(depth, length))
    assert shown(data, Format.HUMAN)["SOPInstanceUID"] == "1."


MANY = [
    [element(0x00081140, b"CS", b"")] * 101,
    [element(0x00081140, b"SQ", b"\xfe\xff\x00\xe0\0\0\0\0" * 101)],  # empty items
]


@pytest.mark.parametrize("elements", MANY)
def test_too_many_elements_or_items_are_refused(
    monkeypatch: pytest.MonkeyPatch, elements: list[bytes]
) -> None:
    monkeypatch.setattr(render, "MAX_ELEMENTS", 100)
    with pytest.raises(BadFileFormat, match="Too many"):
        shown(file_of(*elements))


@pytest.mark.parametrize("data", [b"", b"no DICOM", bytes(132), bytes(128) + b"DICM"])
def test_what_is_no_dicom_file_is_refused_or_empty(data: bytes) -> None:
    with suppress(BadFileFormat):
        assert shown(data) == {}
    assert render_meta(data, Rendering()) == {}


SMALL = make_instance(rows=2, columns=2)


@settings(max_examples=50)
@given(st.data())
def test_no_bytes_raise_anything_else(data: st.DataObject) -> None:
    base = bytearray(SMALL)
    for place in data.draw(st.lists(st.integers(132, len(base) - 1), max_size=6)):
        base[place] = data.draw(st.integers(0, 255))
    cut = bytes(base[: data.draw(st.integers(0, len(base)))])
    for format in Format:
        with suppress(BadFileFormat):
            shown(cut, format, whole=True)
        render_meta(cut, Rendering(format))
