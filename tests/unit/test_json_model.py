"""Files as DICOM JSON Model and as Native DICOM Model: what each kind of value becomes."""

import struct
from contextlib import suppress
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian

from orthanc_trio.dicom import json_model as module
from orthanc_trio.dicom.content import read_content
from orthanc_trio.dicom.dictionary import STANDARD
from orthanc_trio.dicom.json_model import Model, json_model, xml_of
from orthanc_trio.model.errors import BadFileFormat
from tests.support.dicom import make_dataset, make_instance, write
from tests.unit.test_render import element, file_of

NAMESPACE = "{http://dicom.nema.org/PS3.19/models/NativeDICOM}"


def model(data: bytes) -> Model:
    return json_model(data, "Latin1", STANDARD)


def xml(data: bytes) -> ET.Element:
    return ET.fromstring(xml_of(model(data), STANDARD))


@pytest.mark.parametrize(
    ("tag", "vr", "raw", "expected"),
    [
        (0x00080020, b"DA", b"20240102", ["20240102"]),
        (0x00080008, b"CS", b"A\\\\B ", ["A", None, "B"]),
        (0x00100010, b"PN", b"A^B=C=D", [{"Alphabetic": "A^B", "Ideographic": "C", "Phonetic": "D"}]),
        (0x00100010, b"PN", b"=C\\E ", [{"Ideographic": "C"}, {"Alphabetic": "E"}]),
        (0x00200013, b"IS", b"7 ", [7]),
        (0x00200013, b"IS", b"+7\\x\\-3\\1.5", [7, -3]),
        (0x00281050, b"DS", b"1.50\\1e5\\abc\\nan", ["1.50", "1e5"]),
        (0x00204000, b"LT", b"a\\b ", ["a\\b"]),
        (0x00080120, b"UR", b"http://a\\b", ["http://a\\b"]),
        (0x00280010, b"US", struct.pack("<2H", 1, 65535), [1, 65535]),
        (0x00189219, b"SS", struct.pack("<h", -3), [-3]),
        (0x00720083, b"UV", struct.pack("<Q", 2**64 - 1), [2**64 - 1]),
        (0x00720082, b"SV", struct.pack("<q", -5), [-5]),
        (0x00189073, b"FD", struct.pack("<3d", 1.5, float("nan"), float("inf")), [1.5, None, None]),
        (0x00280009, b"AT", struct.pack("<4H", 0x54, 0x10, 0x7FE0, 0x10), ["00540010", "7FE00010"]),
        (0x00660016, b"OF", struct.pack("<f", 0.5), [0.5]),
        (0x00281201, b"OW", struct.pack("<2H", 1, 2), [1, 2]),
        (0x00081040, b"UN", b"Dept", ["Dept"]),
    ],
)
def test_a_value_becomes_an_array(tag: int, vr: bytes, raw: bytes, expected: list[Any]) -> None:
    [(name, shown)] = model(file_of(element(tag, vr, raw))).items()
    assert name == f"{tag:08X}"
    assert shown["Value"] == expected


@pytest.mark.parametrize(
    ("tag", "vr", "raw"),
    [(0x00282000, b"OB", b"abcd"), (0x00091001, b"UN", b"ab"), (0x7FE00010, b"OW", b"ab")],
)
def test_other_bytes_are_inline(tag: int, vr: bytes, raw: bytes) -> None:
    [shown] = model(file_of(element(tag, vr, raw))).values()
    assert shown["vr"] == vr.decode()
    assert shown["InlineBinary"] in ("YWJjZA==", "YWI=")
    assert "Value" not in shown


@pytest.mark.parametrize("vr", [b"LO", b"PN", b"US", b"OB", b"SQ", b"AT", b"DS"])
def test_an_element_without_a_value_has_only_a_vr(vr: bytes) -> None:
    assert model(file_of(element(0x00080099, vr, b""))) == {"00080099": {"vr": vr.decode()}}


def test_every_encoding_gives_the_same_model() -> None:
    item = Dataset()
    item.CodeValue = "C"
    item.Rows = 258
    dataset = make_dataset(
        rows=0,
        SpecificCharacterSet="ISO_IR 192",
        patient_name="Müller^Ä",
        AnatomicRegionSequence=[item, Dataset()],
        FrameIncrementPointer=0x00540010,
    )
    expected = model(write(dataset))
    assert expected["00082218"] == {
        "vr": "SQ",
        "Value": [
            {"00080100": {"vr": "SH", "Value": ["C"]}, "00280010": {"vr": "US", "Value": [258]}},
            {},
        ],
    }
    for syntax in (ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian):
        assert model(write(dataset, syntax)) == expected


def test_native_pixels_are_words_in_implicit_vr() -> None:
    pixels = model(make_instance())["7FE00010"]
    assert pixels["vr"] == "OW"
    assert model(make_instance(transfer_syntax=ImplicitVRLittleEndian))["7FE00010"] == pixels


def test_encapsulated_pixels_and_group_lengths_are_left_out() -> None:
    assert "7FE00010" not in model(make_instance(transfer_syntax="1.2.840.10008.1.2.4.50"))
    assert model(file_of(element(0x00080000, b"UL", bytes(4)))) == {}


def test_private_elements_are_known_by_their_creator() -> None:
    dataset = make_dataset(rows=0)
    dataset.add_new(0x00090010, "LO", "GEMS_IDEN_01")
    dataset.add_new(0x00091004, "SH", "LIGHTSPEED")
    shown = model(write(dataset, ImplicitVRLittleEndian))
    assert shown["00091004"] == {"vr": "SH", "Value": ["LIGHTSPEED"]}


def test_the_xml_says_the_same() -> None:
    inner = element(0x00100010, b"PN", b"A^B^C^D^E=F ")
    item = b"\xfe\xff\x00\xe0" + struct.pack("<L", len(inner)) + inner
    data = file_of(
        element(0x00080008, b"CS", b"A<\\\\B"),
        element(0x00081140, b"SQ", item),
        element(0x00081030, b"LO", b"a\x1cb\x00"),
        element(0x00189073, b"FD", struct.pack("<d", 2)),
        element(0x00282000, b"OB", b"ab"),
        element(0x00991099, b"LO", b""),
    )
    root = xml(data)
    assert root.tag == f"{NAMESPACE}NativeDicomModel"
    found = {child.get("keyword"): child for child in root}
    values = [(value.get("number"), value.text) for value in found["ImageType"]]
    assert values == [("1", "A<"), ("2", None), ("3", "B")]
    [name] = found["ReferencedImageSequence"].iter(f"{NAMESPACE}PersonName")
    parts = {part.tag.removeprefix(NAMESPACE): part.text for group in name for part in group}
    assert [group.tag.removeprefix(NAMESPACE) for group in name] == ["Alphabetic", "Ideographic"]
    assert parts == {
        "FamilyName": "F",
        "GivenName": "B",
        "MiddleName": "C",
        "NamePrefix": "D",
        "NameSuffix": "E",
    }
    assert found["StudyDescription"][0].text == "ab"
    assert found["AcquisitionDuration"][0].text == "2"
    assert found["ICCProfile"][0].tag == f"{NAMESPACE}InlineBinary"
    assert found[None].attrib == {"tag": "00991099", "vr": "LO"}


@pytest.mark.parametrize("undefined", ["sequences", "items", "both", "none"])
def test_what_lies_deep_is_walked_through_once(undefined: str) -> None:
    # Once for each level would take a minute.
    inner = b"".join(element(0x00111000 + number, b"LO", b"") for number in range(20_000))
    for _ in range(60):
        item = _wrapped(b"\xfe\xff\x00\xe0", inner, b"\xfe\xff\x0d\xe0", undefined in ("items", "both"))
        head = b"\x08\0\x40\x11SQ\0\0"
        inner = _wrapped(head, item, b"\xfe\xff\xdd\xe0", undefined in ("sequences", "both"))
    data = file_of(inner)
    shown = model(data)
    for _ in range(60):
        [shown] = shown["00081140"]["Value"]
    assert len(shown) == 20_000
    path = ["0008-1140", "0"] * 60
    assert read_content(data, path) == [f"0011-{0x1000 + number:04x}" for number in range(20_000)]


def _wrapped(head: bytes, inner: bytes, delimiter: bytes, is_undefined: bool) -> bytes:
    if is_undefined:
        return head + b"\xff\xff\xff\xff" + inner + delimiter + bytes(4)
    return head + struct.pack("<L", len(inner)) + inner


def test_too_many_elements_or_items_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_ELEMENTS", 3)
    items = element(0x00081140, b"SQ", b"\xfe\xff\x00\xe0\0\0\0\0" * 4)
    for data in (file_of(items), file_of(*(element(0x00100010 + n, b"LO", b"") for n in range(4)))):
        with pytest.raises(BadFileFormat):
            model(data)


@settings(deadline=None)
@given(st.data())
def test_no_bytes_raise_anything_else(data: st.DataObject) -> None:
    whole = bytearray(make_instance(rows=2, AnatomicRegionSequence=[Dataset(), Dataset()]))
    for _ in range(data.draw(st.integers(0, 8))):
        whole[data.draw(st.integers(132, len(whole) - 1))] = data.draw(st.integers(0, 255))
    with suppress(BadFileFormat):
        xml(bytes(whole[: data.draw(st.integers(0, len(whole)))]))
