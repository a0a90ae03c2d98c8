"""The rewriting of files: what a modification does, and what is copied rather than written."""

from io import BytesIO
from typing import Any

import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
)

from orthanc_trio.dicom.difference import MAX_SHOWN_CHARACTERS, ChangeType, differences
from orthanc_trio.dicom.identity import IdentityMap
from orthanc_trio.dicom.modification_request import anonymization_of_body, modification_of_body
from orthanc_trio.dicom.new_value import BINARY_PREFIX
from orthanc_trio.dicom.parse import parse_instance
from orthanc_trio.dicom.part10 import IMPLEMENTATION
from orthanc_trio.dicom.rewrite import Rewriter, Rewritten
from orthanc_trio.model.errors import BadFileFormat
from orthanc_trio.model.resource import ResourceLevel
from tests.support.dicom import make_dataset, make_instance, write

KEY = b"a key of sixteen"
SYNTAXES = [
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
]
SEQUENCE = "ReferencedImageSequence"


def rewritten(data: bytes, level: ResourceLevel = ResourceLevel.INSTANCE, **body: Any) -> Rewritten:
    return Rewriter(modification_of_body(body, level=level), IdentityMap(KEY)).rewrite(data)


def modify(
    dataset: Dataset,
    syntax: str = ExplicitVRLittleEndian,
    level: ResourceLevel = ResourceLevel.INSTANCE,
    **body: Any,
) -> Dataset:
    data = write(dataset, syntax)
    return pydicom.dcmread(BytesIO(rewritten(data, level, **body).whole(data)))


def with_items(*names: str) -> Dataset:
    items = []
    for name in names:
        item = Dataset()
        item.PatientName = name
        items.append(item)
    return make_dataset(ReferencedImageSequence=Sequence(items))


@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize("level", ResourceLevel)
def test_resources_of_the_level_and_below_get_new_uids(level: ResourceLevel, syntax: str) -> None:
    before = make_dataset()

    after = modify(before, syntax, level)

    changed = [
        after[keyword] != before[keyword]
        for keyword in ("PatientID", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
    ]
    assert changed == [False, level <= 2, level <= 3, True]
    assert after.PixelData == before.PixelData


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_tags_are_replaced_made_and_removed(syntax: str) -> None:
    after = modify(
        make_dataset(),
        syntax,
        Replace={"PatientName": "New", "PatientAge": "030Y", "7fe1,0010": "LAST", "StudyTime": None},
        Remove=["StudyDescription", "PatientWeight"],
    )

    assert (after.PatientName, after.PatientAge, after[0x7FE10010].value) == ("New", "030Y", "LAST")
    assert after.StudyTime == ""
    assert "StudyDescription" not in after
    assert list(after.keys()) == sorted(after.keys())


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_what_a_modification_does_not_name_stays_in_sequences(syntax: str) -> None:
    before = with_items("inner")
    before.ReferencedImageSequence[0].add_new(0x00090010, "LO", "OURS")

    after = modify(before, syntax, RemovePrivateTags=True, Remove=["PatientName"])

    assert after.ReferencedImageSequence == before.ReferencedImageSequence


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_paths_change_what_exists_and_nothing_else(syntax: str) -> None:
    replaced = {f"{SEQUENCE}[1].PatientName": "new", f"{SEQUENCE}[9].PatientName": "none"}
    missing = {"ReferencedStudySequence[0].PatientName": "none", "PatientName[0].PatientName": "none"}
    made = {f"{SEQUENCE}[*].StudyDate": "20200101"}

    after = modify(
        with_items("a", "b", "c"),
        syntax,
        Replace=replaced | missing | made,
        Remove=[f"{SEQUENCE}[0].PatientName", f"{SEQUENCE}[*].PatientAge"],
    )

    assert [item.get("PatientName") for item in after.ReferencedImageSequence] == [None, "new", "c"]
    assert {item.StudyDate for item in after.ReferencedImageSequence} == {"20200101"}
    assert "ReferencedStudySequence" not in after


def test_a_sequence_is_replaced_as_a_whole() -> None:
    after = modify(with_items("a", "b"), Replace={SEQUENCE: [{"PatientName": "c"}]})

    assert [item.PatientName for item in after.ReferencedImageSequence] == ["c"]


@pytest.mark.parametrize(
    ("charset", "name"), [("ISO_IR 100", b"\xe9 "), ("ISO_IR 192", b"\xc3\xa9"), ("ISO_IR 144", b"")]
)
def test_text_is_written_in_the_character_set_of_the_file(charset: str, name: bytes) -> None:
    after = modify(make_dataset(SpecificCharacterSet=charset), Replace={"PatientName": "é"})

    assert after.get_item("PatientName").value == name


def test_text_is_written_in_the_character_set_that_the_file_gets() -> None:
    before = make_dataset(SpecificCharacterSet="ISO_IR 100")

    after = modify(before, Replace={"PatientName": "é", "SpecificCharacterSet": "ISO_IR 192"})

    assert after.get_item("PatientName").value == b"\xc3\xa9"


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_the_meta_information_is_written_anew(syntax: str) -> None:
    before = make_dataset()
    data = write(before, syntax)
    data = b"SECRET" + data[6:]

    result = rewritten(data, Replace={"SOPClassUID": "1.2.3", "SOPInstanceUID": "1.2.4"}, Force=True)

    after = pydicom.dcmread(BytesIO(result.whole(data)))
    meta = after.file_meta
    assert after.preamble == bytes(128)
    assert (meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID) == ("1.2.3", "1.2.4")
    assert (meta.TransferSyntaxUID, meta.ImplementationClassUID) == (syntax, IMPLEMENTATION)
    assert (after.SOPClassUID, after.SOPInstanceUID) == ("1.2.3", "1.2.4")
    assert result.sop_instance_uid == "1.2.4"


def test_pixels_are_not_part_of_the_result() -> None:
    data = make_instance(rows=64, columns=64)

    result = rewritten(data, Replace={"PatientName": "New"})

    assert len(result.head) < 1000
    assert data[result.tail_offset :].endswith(make_dataset(rows=64, columns=64).PixelData)


def test_what_follows_the_pixels_can_be_removed() -> None:
    dataset = make_dataset()
    dataset.DataSetTrailingPadding = bytes(10)
    data = write(dataset)

    result = rewritten(data, Remove=["DataSetTrailingPadding"])

    assert result.tail_offset == len(data)
    assert pydicom.dcmread(BytesIO(result.head)).PixelData == dataset.PixelData


def test_the_new_uid_is_told() -> None:
    data = make_instance()

    result = rewritten(data)

    parsed = parse_instance(result.whole(data))
    assert result.sop_instance_uid == parsed.identifiers.sop_instance_uid != make_dataset().SOPInstanceUID
    assert parsed.sop_class_uid == CTImageStorage


@pytest.mark.parametrize(("value", "expected"), [("YES", True), ("NO", False), ("", False), (None, False)])
@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ExplicitVRBigEndian])
def test_names_burned_into_the_pixels_are_told(syntax: str, value: str | None, expected: bool) -> None:
    dataset = make_dataset()
    if value is not None:
        dataset.BurnedInAnnotation = value
    data = write(dataset, syntax)

    for modification in (anonymization_of_body({}), modification_of_body({})):
        assert Rewriter(modification, IdentityMap(KEY)).rewrite(data).is_burned_in is expected


@pytest.mark.parametrize("data", [b"", b"nope", bytes(200), make_instance()[:140]])
def test_what_is_no_file_is_refused(data: bytes) -> None:
    with pytest.raises(BadFileFormat):
        rewritten(data)


def test_the_same_file_gives_the_same_result() -> None:
    data = make_instance()
    rewriter = Rewriter(anonymization_of_body({}), IdentityMap(KEY))

    assert rewriter.rewrite(data) == rewriter.rewrite(data)


# Pixels ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("syntax", [*SYNTAXES, JPEG2000Lossless])
def test_new_pixels_make_a_compressed_file_a_native_one(syntax: str) -> None:
    before = make_dataset(StudyDescription="é", SpecificCharacterSet="ISO_IR 100")
    before.ExtendedOffsetTable = before.ExtendedOffsetTableLengths = bytes(8)

    after = modify(before, syntax, Replace={"PixelData": f"{BINARY_PREFIX}AQECAg=="})

    assert after.PixelData == bytes((1, 1, 2, 2))
    assert (after.Rows, after.StudyDescription) == (8, "é")
    is_compressed = syntax == JPEG2000Lossless
    assert after.file_meta.TransferSyntaxUID == (ExplicitVRLittleEndian if is_compressed else syntax)
    assert ("ExtendedOffsetTable" in after) is not is_compressed


# Differences ----------------------------------------------------------------------------------


def test_the_differences_are_told_by_path() -> None:
    before, after = with_items("a", "b"), with_items("a", "c")
    before.PatientComments, after.PatientComments = "x" * 300, "new"
    after.PatientAge = "030Y"
    del after.StudyTime

    changes = differences(write(before), write(after))

    assert [(change.path, change.name, change.type, change.old, change.new) for change in changes] == [
        ("0008,0030", "StudyTime", ChangeType.REMOVED, "030405", None),
        ("0008,1140[1].0010,0010", "PatientName", ChangeType.CHANGED, "b", "c"),
        ("0010,1010", "PatientAge", ChangeType.ADDED, None, "030Y"),
        ("0010,4000", "PatientComments", ChangeType.CHANGED, "x" * MAX_SHOWN_CHARACTERS + "...", "new"),
    ]


def test_a_file_does_not_differ_from_itself() -> None:
    assert differences(make_instance(), make_instance()) == []
