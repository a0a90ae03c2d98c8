"""Rewriting the header of a file against reading, editing and saving all of it by pydicom."""

import warnings
from collections.abc import Iterator
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import Any

import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.config import disable_value_validation
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
)

from orthanc_trio.dicom.identity import IdentityMap
from orthanc_trio.dicom.modification import Modification, named_patient
from orthanc_trio.dicom.modification_request import anonymization_of_body, modification_of_body
from orthanc_trio.dicom.part10 import open_dataset
from orthanc_trio.dicom.rewrite import Rewriter, Rewritten
from orthanc_trio.dicom.scan import BadEncoding, NeedMoreData
from orthanc_trio.model.errors import OrthancError
from orthanc_trio.model.resource import ResourceLevel
from tests.support.dicom import make_dataset, write

DATA = Path(pydicom.__file__).parent / "data"
BUNDLED = sorted(path for path in DATA.rglob("*") if path.suffix == ".dcm" or "DICOMDIR" in path.name)
# Its pixels are encapsulated and its VRs implicit, which pydicom reads and does not write.
NOT_WRITTEN_BY_PYDICOM = {"SC_rgb_jpeg.dcm"}
SEQUENCE = "ReferencedImageSequence"

ANONYMIZATIONS: list[dict[str, Any]] = [
    {},
    {"DicomVersion": "2008", "KeepPrivateTags": True},
    {"ShiftDates": True, "Pseudonym": {"Key": "k"}},
    {"Replace": {"StudyInstanceUID": "1.2.3", "PatientID": "X", "StudyDescription": "é"}, "Force": True},
    {"Keep": ["StudyDescription", "SOPInstanceUID", SEQUENCE], "Remove": ["Modality"], "Force": True},
    {"Keep": [f"{SEQUENCE}[*].PatientName"], "Remove": [f"{SEQUENCE}[0].StudyDate"], "ShiftDates": -3},
    {"Keep": [SEQUENCE], "Replace": {f"{SEQUENCE}[*].PatientName": "A"}},
    {
        "Keep": [f"{SEQUENCE}[0].{SEQUENCE}", f"{SEQUENCE}[*].ReferencedStudySequence"],
        "Remove": ["ReferencedStudySequence[*].PatientID", f"{SEQUENCE}[1].{SEQUENCE}[*].PatientID"],
        "Replace": {
            f"{SEQUENCE}[*].PatientAge": "020Y",
            f"{SEQUENCE}[1].PatientAge": "030Y",
            f"{SEQUENCE}[1].{SEQUENCE}[*].PatientName": "é",
            "ReferencedStudySequence[0].7fe1,0010": "Z",
        },
    },
]
MODIFICATIONS: list[dict[str, Any]] = [
    {"Replace": {"PatientName": "é", "0009,0010": "Q", "7fe1,0010": "Z"}, "RemovePrivateTags": True},
    {"Replace": {SEQUENCE: [{"PatientName": "A", SEQUENCE: [{"Rows": "3"}, {}]}], "Rows": "7"}},
    {"Remove": ["StudyDate", SEQUENCE, "PixelData"], "Replace": {"SpecificCharacterSet": "ISO_IR 192"}},
    {"Replace": {f"{SEQUENCE}[*].PatientName": "B", f"{SEQUENCE}[0].{SEQUENCE}[1].StudyDate": "20200101"}},
    {"Replace": {SEQUENCE: [{"PatientName": "A"}], f"{SEQUENCE}[0].PatientName": "B"}},
    {"Replace": {f"{SEQUENCE}[0].{SEQUENCE}": [{"Rows": "3"}]}, "Remove": [f"{SEQUENCE}[*].PatientName"]},
]
ALL: list[Modification] = [
    *(named_patient(anonymization_of_body(body), 1) for body in ANONYMIZATIONS),
    *(modification_of_body(body, level=level) for body in MODIFICATIONS for level in ResourceLevel),
]


@pytest.fixture(autouse=True, scope="module")
def _any_value_can_be_written() -> Iterator[None]:
    with disable_value_validation():
        yield


def rewriter(modification: Modification) -> Rewriter:
    return Rewriter(modification, IdentityMap(b"a key of sixteen"))


def read(rewritten: Rewritten, source: bytes) -> tuple[Any, Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset = pydicom.dcmread(BytesIO(rewritten.whole(source)))
        return _plain(dataset.file_meta), _plain(dataset)


def _plain(dataset: Dataset) -> Any:
    """Return a dataset as nested tuples; pixels have the VR that they are written with."""
    return [
        (
            int(element.tag),
            element.VR,
            [_plain(item) for item in element.value] if element.VR == "SQ" else repr(element.value),
        )
        for element in dataset
    ]


# Bundled files --------------------------------------------------------------------------------


def is_readable(path: Path) -> bool:
    data = path.read_bytes()
    try:
        open_dataset(data, len(data))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            pydicom.dcmread(path, force=True)
    except (BadEncoding, NeedMoreData, pydicom.errors.InvalidDicomError):
        return False
    return path.name not in NOT_WRITTEN_BY_PYDICOM


@pytest.mark.parametrize(
    "path", [path for path in BUNDLED if is_readable(path)], ids=lambda path: str(path.relative_to(DATA))
)
def test_a_bundled_file_becomes_what_pydicom_makes_of_it(path: Path) -> None:
    data = path.read_bytes()
    for modification in ALL[::5]:
        ours = rewriter(modification).rewrite(data)
        theirs = rewriter(modification).rewrite_by_pydicom(data)

        assert read(ours, data) == read(theirs, data)
        assert ours[2:] == theirs[2:]


# Generated files ------------------------------------------------------------------------------

WORDS = st.sampled_from(["", "A", "Doe^Jane", "é", "a b ", "1.2.3", "x\\y"])
UIDS = st.sampled_from(["", "1.2.3", "1.2.840.1", "1.2\\1.3", "1.2.3.4.5.6.7.8"])
DATES = st.sampled_from(["", "20240229", "2024.02.29", "2024", "nope", "20240101\\20231231"])
VALUES: dict[str, st.SearchStrategy[Any]] = {
    **dict.fromkeys(("AE", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UR", "UT"), WORDS),
    "AS": st.sampled_from(["", "030Y"]),
    "DA": DATES,
    "DT": st.sampled_from(["", "20240229101112.5+0100", "2024"]),
    "TM": st.sampled_from(["", "101112", "10"]),
    "UI": UIDS,
    "IS": st.sampled_from(["", "12", "-1"]),
    "DS": st.sampled_from(["", "1.5", "1e3\\2"]),
    "US": st.integers(0, 65535),
    "SS": st.integers(-32768, 32767),
    "UL": st.integers(0, 2**32 - 1),
    "SL": st.integers(-(2**31), 2**31 - 1),
    "UV": st.integers(0, 2**64 - 1),
    "SV": st.integers(-(2**63), 2**63 - 1),
    "FL": st.sampled_from([0.0, 1.5]),
    "FD": st.sampled_from([0.0, 1e100]),
    "AT": st.sampled_from([0x00100010]),
    **dict.fromkeys(("OB", "OD", "OF", "OL", "OV", "OW", "UN"), st.sampled_from([b"", b"\1\2\3\4\5\6\7\10"])),
}
# Tags of every VR that the dictionary has: of each act of the profiles, and some of none.
TAGS = [
    "StudyDate SeriesDate AcquisitionDateTime StudyTime AccessionNumber Modality",
    "InstitutionName InstitutionAddress ReferringPhysicianName StudyDescription FailedSOPInstanceUIDList",
    "ReferencedSOPInstanceUID FrameOfReferenceUID PatientName PatientID PatientBirthDate PatientAge",
    "PatientComments PatientIdentityRemoved StudyInstanceUID SeriesInstanceUID SOPInstanceUID InstanceNumber",
    "Rows PixelRepresentation SliceThickness ExposureTimeInms RelativeTime ReferencePixelX0",
    "FrameIncrementPointer RetrieveURL TextValue LongCodeValue URNCodeValue EncapsulatedDocument",
    "ICCProfile DoubleFloatPixelData VectorGridData TrackPointIndexList ExtendedOffsetTable",
    "SelectorSVValue SelectorUVValue RedPaletteColorLookupTableData RetrieveAETitle ContentDate",
    "BurnedInAnnotation DeidentificationMethod DigitalSignatureUID DataSetTrailingPadding",
]
KEYWORDS = [word for line in TAGS for word in line.split() if pydicom.datadict.tag_for_keyword(word)]
SEQUENCES = [
    SEQUENCE,
    "ReferencedStudySequence",
    "RequestAttributesSequence",
    "ReferencedFrameOfReferenceSequence",
    "RTReferencedStudySequence",
]


@st.composite
def elements(draw: st.DrawFn) -> DataElement:
    tag = pydicom.datadict.tag_for_keyword(draw(st.sampled_from(KEYWORDS)))
    assert tag is not None
    vr = pydicom.datadict.dictionary_VR(tag)[:2]
    return DataElement(tag, vr, draw(VALUES[vr]))


@st.composite
def private_blocks(draw: st.DrawFn) -> list[DataElement]:
    group, block = draw(st.sampled_from([0x0009, 0x0029, 0x7FE1])), draw(st.integers(0x10, 0x12))
    vr = draw(st.sampled_from(sorted(VALUES)))
    return [
        DataElement(group << 16 | block, "LO", "OURS"),
        DataElement(group << 16 | block << 8 | draw(st.integers(0, 255)), vr, draw(VALUES[vr])),
    ]


@st.composite
def sequences(draw: st.DrawFn, depth: int) -> DataElement:
    items = draw(st.lists(datasets(depth - 1), max_size=2))
    for item in items:
        item.is_undefined_length_sequence_item = draw(st.booleans())
    element = DataElement(draw(st.sampled_from(SEQUENCES)), "SQ", Sequence(items))
    element.is_undefined_length = draw(st.booleans())
    return element


def datasets(depth: int) -> st.SearchStrategy[Dataset]:
    parts = [st.lists(elements(), max_size=8), st.lists(private_blocks(), max_size=2).map(_joined)]
    if depth:
        parts.append(st.lists(sequences(depth), max_size=3))
    return st.tuples(*parts).map(_joined).map(_dataset)


def _joined(lists: Any) -> list[DataElement]:
    return [element for part in lists for element in part]


def _dataset(members: list[DataElement]) -> Dataset:
    return Dataset({element.tag: element for element in members})


@settings(deadline=None, max_examples=50, suppress_health_check=list(HealthCheck))
@given(
    extra=datasets(3),
    syntax=st.sampled_from(
        [
            *[ExplicitVRLittleEndian, ImplicitVRLittleEndian] * 3,
            JPEG2000Lossless,
            ExplicitVRBigEndian,
            DeflatedExplicitVRLittleEndian,
        ]
    ),
    charset=st.sampled_from([None, "ISO_IR 100", "ISO_IR 192"]),
    rows=st.sampled_from([0, 4]),
    modification=st.sampled_from(ALL),
)
def test_a_generated_file_becomes_what_pydicom_makes_of_it(
    extra: Dataset, syntax: str, charset: str | None, rows: int, modification: Modification
) -> None:
    dataset = make_dataset(rows=rows)
    dataset.update({tag: extra[tag] for tag in extra.keys()})  # noqa: SIM118  # not the elements
    dataset.SOPInstanceUID = "1.2.3.4"
    if charset:
        dataset.SpecificCharacterSet = charset
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data = write(dataset, syntax)

    ours = rewriter(modification).rewrite(data)
    theirs = rewriter(modification).rewrite_by_pydicom(data)

    assert read(ours, data) == read(theirs, data)
    assert ours[2:] == theirs[2:]


# Damaged files, and heads ---------------------------------------------------------------------


@settings(deadline=None, max_examples=150)
@given(data=st.data())
def test_a_damaged_file_is_rewritten_or_refused(data: st.DataObject) -> None:
    item = Dataset()
    item.PatientName = "A"
    whole = write(make_dataset(ReferencedImageSequence=Sequence([item])))
    damaged = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(128, len(whole) - 1))] = data.draw(st.integers(0, 255))
    modification = data.draw(st.sampled_from(ALL))
    with suppress(OrthancError):
        rewriter(modification).rewrite(bytes(damaged))


@pytest.mark.parametrize("modification", ALL[:4] + ALL[-20::7])
@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, JPEG2000Lossless])
def test_the_head_of_a_file_is_enough_once_it_reaches_far_enough(
    modification: Modification, syntax: str
) -> None:
    data = write(make_dataset(rows=64, columns=64), syntax)
    expected = rewriter(modification).rewrite(data)
    sizes, result = [0], None
    while result is None:
        try:
            result = rewriter(modification).rewrite(data[: sizes[-1]], len(data))
        except NeedMoreData as error:
            sizes.append(error.needed)

    assert result == expected
    assert sizes == sorted(set(sizes))
    assert sizes[-1] <= len(data)


@pytest.mark.parametrize("modification", ALL[:4])
def test_compressed_pixels_need_not_be_at_hand(modification: Modification) -> None:
    dataset = make_dataset(rows=64, columns=64)
    data = write(dataset, JPEG2000Lossless)
    reads = []

    def read_at(offset: int, size: int) -> bytes:
        reads.append(offset)
        return data[offset : offset + size]

    result = rewriter(modification).rewrite(data[:2000], len(data), read_at)

    assert result == rewriter(modification).rewrite(data)
    assert reads == [len(data) - 8]
    with pytest.raises(NeedMoreData) as more:
        rewriter(modification).rewrite(data[:2000], len(data))
    assert more.value.needed == len(data)
