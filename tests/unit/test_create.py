"""Requests to create instances, and the files made of them, without a server."""

import base64
import shutil
import struct
import subprocess
import zlib
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pydicom import dcmread
from pydicom.dataset import FileDataset

from orthanc_trio.dicom.charset import ENCODINGS, charset_named, encode
from orthanc_trio.dicom.create import CreateOptions, create_files
from orthanc_trio.dicom.create_request import create_request_of_body
from orthanc_trio.dicom.data_uri import decode_base64, decode_data_uri
from orthanc_trio.dicom.dictionary import STANDARD
from orthanc_trio.dicom.embedding import embed
from orthanc_trio.dicom.picture import MAX_PICTURE_BYTES, read_picture
from orthanc_trio.dicom.render import Format, Rendering, render_dataset
from orthanc_trio.model.errors import (
    BadFileFormat,
    BadParameterType,
    BadPayload,
    NotImplementedYet,
    OrthancError,
    OverriddenTag,
    PixelsAmongTags,
)

NOW = datetime(2026, 11, 26, 12, 30, 45, 6, tzinfo=UTC)
OPTIONS = CreateOptions(dictionary=STANDARD, default_encoding="Latin1", now=NOW)


def uri(media_type: str, data: bytes) -> str:
    return f"data:{media_type};base64,{base64.b64encode(data).decode()}"


def created(body: Any) -> list[bytes]:
    request = create_request_of_body(body, private_creator="", dictionary=STANDARD)
    return create_files(request, None, OPTIONS)


def created_one(body: Any) -> FileDataset:
    [file] = created(body)
    return dcmread(BytesIO(file))


def png(mode: str, size: tuple[int, int]) -> bytes:
    file = BytesIO()
    Image.new(mode, size, 1).save(file, "PNG")
    return file.getvalue()


def png_of_size(columns: int, rows: int, depth: int = 8, colour: int = 2) -> bytes:
    """A small file that says that it is large."""

    def chunk(type: bytes, data: bytes) -> bytes:
        return struct.pack(">L", len(data)) + type + data + struct.pack(">L", zlib.crc32(type + data))

    head = struct.pack(">LLBBBBB", columns, rows, depth, colour, 0, 0, 0)
    pixels = zlib.compress(b"\0" * 100_000)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def test_dates_and_identifiers_are_made() -> None:
    dataset = created_one({"Tags": {"PatientName": "A"}})
    assert dataset.InstanceCreationDate == dataset.StudyDate == dataset.ContentDate == "20261126"
    assert dataset.StudyTime == dataset.SeriesTime == "123045.000006"
    assert len({dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.SOPInstanceUID}) == 3
    assert dataset.file_meta.MediaStorageSOPInstanceUID == dataset.SOPInstanceUID
    assert len(dataset.PatientID) == 36


def test_instances_of_a_series_differ_in_their_number_and_identifier() -> None:
    files = created({"Tags": {}, "Content": [uri("image/png", png("L", (2, 2)))] * 3})
    datasets = [dcmread(BytesIO(file)) for file in files]
    assert [(int(each.InstanceNumber), each.ImageIndex) for each in datasets] == [(1, 1), (2, 2), (3, 3)]
    assert len({each.SeriesInstanceUID for each in datasets}) == 1
    assert len({each.SOPInstanceUID for each in datasets}) == 3
    assert {int(each.ImagesInAcquisition) for each in datasets} == {3}


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({"Tags": {"PixelData": "x"}}, PixelsAmongTags),
        ({"Tags": {"SOPInstanceUID": "1.2"}}, OverriddenTag),
        ({"Tags": {"PatientName": 1}}, BadParameterType),
        ({"Tags": {"Rows": "1e9"}}, BadFileFormat),
        ({"Tags": {}, "Content": 5}, BadPayload),
        ({"Tags": {}, "Content": uri("application/pdf", b"%PD-")}, BadFileFormat),
        ({"Tags": {}, "Content": uri("application/pdf", b"%PDF1.4")}, BadFileFormat),
        ({"Tags": {}, "Content": uri("text/plain", b"x")}, NotImplementedYet),
        ({"Tags": {}, "Content": "data:image/png;base64," + "A" * 5}, BadFileFormat),
    ],
)
def test_bad_request_is_refused(body: Any, error: type[OrthancError]) -> None:
    with pytest.raises(error):
        created(body)


@pytest.mark.parametrize("size", [(65_535, 65_535), (65_536, 1), (20_000, 20_000)])
@pytest.mark.parametrize(("depth", "colour"), [(8, 2), (16, 2), (16, 0), (8, 0)])
def test_image_that_is_too_large_is_refused_before_it_is_decoded(
    size: tuple[int, int], depth: int, colour: int
) -> None:
    with pytest.raises(BadFileFormat):
        read_picture("image/png", png_of_size(*size, depth=depth, colour=colour))


def test_forged_map_is_refused() -> None:
    assert MAX_PICTURE_BYTES < 60_000 * 60_000
    forged = b"P7\nWIDTH 60000\nHEIGHT 60000\nDEPTH 1\nMAXVAL 255\nTUPLTYPE GRAYSCALE\nENDHDR\n"
    with pytest.raises(BadFileFormat):
        read_picture("image/x-portable-arbitrarymap", forged)


@pytest.mark.parametrize(
    ("mode", "samples", "bits"), [("L", 1, 8), ("RGB", 3, 8), ("RGBA", 3, 8), ("P", 3, 8), ("I;16", 1, 16)]
)
def test_images_of_all_modes_are_decoded(mode: str, samples: int, bits: int) -> None:
    picture = read_picture("image/png", png(mode, (3, 2)))
    assert picture[:4] == (2, 3, samples, bits)
    assert len(picture.pixels) == 6 * samples * bits // 8


@given(st.binary(max_size=2000))
@settings(max_examples=50, deadline=None)
def test_damaged_image_never_does_more_than_being_refused(data: bytes) -> None:
    for media_type in ("image/png", "image/jpeg", "image/x-portable-arbitrarymap"):
        with pytest.raises((BadFileFormat, NotImplementedYet)):
            read_picture(media_type, data)


@given(st.binary(max_size=300))
def test_base64_gives_the_bytes_back_with_and_without_padding(data: bytes) -> None:
    text = base64.b64encode(data).decode()
    assert decode_base64(text) == decode_base64(text.rstrip("=")) == data


def test_long_base64_is_decoded_in_pieces() -> None:
    data = bytes(range(256)) * 20_000
    assert decode_data_uri(uri("application/x", data)) == ("application/x", data)
    with pytest.raises(BadFileFormat):
        decode_base64("AA==" + "A" * 4_000_000)


def test_document_keeps_its_length() -> None:
    dataset = created_one({"Tags": {}, "Content": uri("application/pdf", b"%PDF-1.4\0")})
    assert dataset.EncapsulatedDocument == b"%PDF-1.4\0\0"
    assert dataset.EncapsulatedDocumentLength == 9
    assert embed(uri("model/obj", b"v")).elements.keys() == {0x00420011, 0x00420012, 0x00420015}


def jpeg() -> bytes:
    file = BytesIO()
    Image.new("RGB", (16, 8), (1, 2, 3)).save(file, "JPEG")
    return file.getvalue()


@pytest.mark.skipif(shutil.which("dcmdump") is None, reason="DCMTK is not installed")
@pytest.mark.parametrize(
    "body",
    [
        {"Tags": {"PatientName": "é", "0405,0010": "Me", "0405,1001": "x", "8899,8899": "odd"}},
        {"Tags": {"RequestAttributesSequence": [{"0040,0007": "a", "0008,1140": [{}, {"Rows": "1"}]}, {}]}},
        {"Tags": {"Rows": "1\\2", "0018,9073": "1.5", "0028,0009": "0018,1063", "PatientBirthDate": None}},
        {"Tags": {}, "Content": uri("application/pdf", b"%PDF-1.4")},
        {"Tags": {}, "Content": uri("model/stl", b"solid x")},
        {"Tags": {}, "Content": uri("image/png", png("RGB", (3, 3)))},
        {"Tags": {}, "Content": uri("image/jpeg", jpeg()), "Encapsulate": True},
        {"PatientName": "x", "PixelData": uri("image/png", png("I;16", (3, 3)))},
    ],
)
def test_dcmtk_reads_what_is_created(tmp_path: Path, body: Any) -> None:
    [file] = created(body)
    path = tmp_path / "created.dcm"
    path.write_bytes(file)
    done = subprocess.run(["dcmdump", "-q", path], capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


TEXTS = {
    "ISO_IR 100": "áéß",
    "ISO_IR 101": "łŁą",
    "ISO_IR 109": "ĦħŜ",
    "ISO_IR 110": "Ąĸģ",
    "ISO_IR 144": "Люк",
    "ISO_IR 127": "قبان",
    "ISO_IR 126": "Διο",
    "ISO_IR 138": "שרון",
    "ISO_IR 148": "Çağ",
    "ISO_IR 166": "นามส",
    "ISO_IR 13": "ﾔﾏﾀﾞ",
    "ISO 2022 IR 87": "山田太郎",
    "ISO 2022 IR 149": "김희중",
    "ISO 2022 IR 58": "张",
    "GB18030": "王小东",
    "ISO_IR 192": "김王éЛ",
}


@pytest.mark.parametrize("term", [*(term for term in ENCODINGS.values() if term not in ("", "ISO_IR 6"))])
def test_text_comes_back_in_every_character_set(term: str) -> None:
    text = f"Doe^{TEXTS[term]}"
    [file] = created({"Tags": {"SpecificCharacterSet": term, "PatientName": text, "PatientComments": text}})
    shown = render_dataset(file, len(file), Rendering(Format.HUMAN))
    assert shown["PatientName"] == shown["PatientComments"] == text
    assert shown["SpecificCharacterSet"] == term


def test_what_a_character_set_lacks_is_left_out() -> None:
    assert encode("Aé山", charset_named("ISO_IR 100")) == "Aé".encode("latin_1")


VALUES = {
    "AE": st.text("ABC_", min_size=1, max_size=16),
    "AS": st.just("045Y"),
    "AT": st.sampled_from(["0010,0010", "7fe0,0010\\0008,0018"]),
    "CS": st.text("ABC_", min_size=1, max_size=16),
    "DA": st.dates().map(lambda date: date.strftime("%Y%m%d")),
    "DS": st.integers(-999, 999).map(lambda number: f"{number / 8}"),
    "DT": st.just("20260101120000.5"),
    "FL": st.integers(-999, 999).map(lambda number: f"{number / 8:.17g}"),
    "FD": st.floats(allow_nan=False, allow_infinity=False).map(lambda number: f"{number:.17g}"),
    "IS": st.integers(-999, 999).map(str),
    "SL": st.integers(-(2**31), 2**31 - 1).map(str),
    "SS": st.integers(-(2**15), 2**15 - 1).map(str),
    "SV": st.integers(-(2**63), 2**63 - 1).map(str),
    "UL": st.integers(0, 2**32 - 1).map(str),
    "US": st.integers(0, 2**16 - 1).map(str),
    "UV": st.integers(0, 2**64 - 1).map(str),
    "UI": st.lists(st.integers(0, 99), min_size=2, max_size=6).map(lambda parts: ".".join(map(str, parts))),
    "LO": st.text("abc é", min_size=1, max_size=60).map(lambda text: text.rstrip(" ") or "x"),
    "UC": st.text("abc é", min_size=1, max_size=60).map(lambda text: text.rstrip(" ") or "x"),
    "UT": st.text("abc é\n", min_size=1, max_size=60).map(lambda text: text.rstrip(" ") or "x"),
}
TAG_OF = {
    "AE": "0008,0054", "AS": "0010,1010", "AT": "0028,0009", "CS": "0008,0060", "DA": "0010,0030",
    "DS": "0010,1030", "DT": "0008,002a", "FL": "0018,605a", "FD": "0018,9073", "IS": "0020,0011",
    "SL": "0018,6020", "SS": "0018,9219", "SV": "0072,0082", "UL": "0018,6016", "US": "0028,0010",
    "UV": "0008,040c", "UI": "0020,0052", "LO": "0008,1030", "UC": "0008,0119", "UT": "0040,a160",
}  # fmt: skip


@given(
    st.fixed_dictionaries({}, optional={TAG_OF[vr]: values for vr, values in VALUES.items()}), st.booleans()
)
@settings(deadline=None)
def test_values_of_all_vrs_come_back(tags: dict[str, str], is_nested: bool) -> None:
    body = {"Tags": {"0040,0275": [tags, {}]} if is_nested else tags}
    [file] = created(body)
    shown = render_dataset(file, len(file), Rendering(Format.SHORT))
    dcmread(BytesIO(file))
    shown = shown["0040,0275"][0] if is_nested else shown
    assert {tag: shown[tag] for tag in tags} == tags


NAMES = [*TAG_OF.values(), "0040,0275", "PixelData", "x", "8899,8899"]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.sampled_from(
        ["data:application/octet-stream;base64,AAA=", "data:image/png;base64,AAAA", "1", "data:"]
    ),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(NAMES), inner, max_size=3),
    max_leaves=12,
)  # fmt: skip
FIELDS = [
    "Tags", "Content", "Parent", "Force", "PrivateCreator", "InterpretBinaryTags", "Encapsulate",
    "PatientName",
]  # fmt: skip


@given(st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=5) | JSON)
@settings(max_examples=300, deadline=None)
def test_any_body_gives_files_or_an_error_of_ours(body: Any) -> None:
    try:
        files = created(body)
    except OrthancError:
        return
    for file in files:
        dcmread(BytesIO(file))
