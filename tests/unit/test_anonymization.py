"""What anonymisation does to every tag of every profile, at the top and in sequences, and to references."""

import shutil
import subprocess
from collections.abc import Iterator
from datetime import date, timedelta
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.config import disable_value_validation
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from orthanc_trio.dicom import profile as profile_module
from orthanc_trio.dicom.identity import IdentityMap
from orthanc_trio.dicom.modification import named_patient
from orthanc_trio.dicom.modification_request import anonymization_of_body
from orthanc_trio.dicom.profile import DEFAULT_VERSION, load_profile
from orthanc_trio.dicom.rewrite import Rewriter
from orthanc_trio.dicom.value import TEXT_VRS as BYTES_OF_TEXT_VRS
from orthanc_trio.model.resource import ResourceLevel
from tests.support.dicom import make_dataset, write

KEY = b"a key of sixteen"
VERSIONS = ["2008", "2017c", "2021b", "2023b"]
SYNTAXES = [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian]
REFERENCES = "ReferencedImageSequence"
TEXT_VRS = sorted(vr.decode() for vr in BYTES_OF_TEXT_VRS)
SAMPLES: dict[str, Any] = {
    **dict.fromkeys(TEXT_VRS, "1"),
    **dict.fromkeys(["US", "SS", "UL", "SL", "FL", "FD", "AT", "UV", "SV"], 1),
    **dict.fromkeys(["OB", "OW", "OF", "OD", "OL", "OV", "UN"], b"\1\2\3\4\5\6\7\10"),
}


@pytest.fixture(autouse=True, scope="module")
def _any_value_can_be_written() -> Iterator[None]:
    with disable_value_validation():
        yield


def anonymize(dataset: Dataset, syntax: str = ExplicitVRLittleEndian, **body: Any) -> Dataset:
    data = write(dataset, syntax)
    modification = named_patient(anonymization_of_body(body), 7)
    result = Rewriter(modification, IdentityMap(KEY)).rewrite(data)
    return pydicom.dcmread(BytesIO(result.whole(data)))


def item(**values: Any) -> Dataset:
    dataset = Dataset()
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    return dataset


def nested(dataset: Dataset, **values: Any) -> Dataset:
    """Return a dataset with a sequence that every profile keeps, and an item in it."""
    dataset.ReferencedSeriesSequence = Sequence([item(**values)])
    return dataset


# The tables -----------------------------------------------------------------------------------


def rows(version: str) -> list[tuple[int, str]]:
    path = Path(profile_module.__file__).parent / "profiles" / f"{version}.tsv"
    lines = [line.split("\t") for line in path.read_text().splitlines()[1:]]
    return [
        (int(tag.replace(",", ""), 16), action)
        for tag, action, *_ in lines
        if "-" not in tag and "x" not in tag and int(tag[:4], 16) >= 8
    ]


def element_of(tag: int) -> DataElement | None:
    if tag == 0x00080005 or tag >> 16 in (0xFFFA, 0xFFFC) or not pydicom.datadict.dictionary_has_tag(tag):
        return None
    vr = pydicom.datadict.dictionary_VR(tag)[:2]
    if vr == "SQ":
        return DataElement(tag, vr, Sequence([item(InstanceNumber="1", PatientComments="secret")]))
    return DataElement(tag, vr, SAMPLES[vr])


def everything(version: str) -> Dataset:
    elements = [element for tag, _ in rows(version) if (element := element_of(tag))]
    return Dataset({element.tag: element for element in elements})


def outcome(before: Dataset, after: Dataset, tag: int) -> str:
    if tag not in after:
        return "remove"
    if after[tag].VR == "SQ":
        return "clear" if not after[tag].value else "keep-sequence"
    if after[tag].is_empty:
        return "clear"
    new = str(after[tag].value)
    return "uid" if new.startswith("2.25.") else "keep" if new == str(before[tag].value) else new


@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize("version", VERSIONS)
def test_every_tag_of_a_profile_at_the_top(version: str, syntax: str) -> None:
    before = make_dataset()
    before.update(everything(version))

    after = anonymize(before, syntax, DicomVersion=version)

    special = {0x00100010: "Anonymized7", 0x00120062: "YES", 0x00100020: after.PatientID}
    for tag, action in rows(version):
        if tag not in before or tag == 0x00120063:
            continue
        expected = special.get(tag) or {"identifier": "uid"}.get(action, action)
        assert outcome(before, after, tag) == expected, f"{tag:08x}"


@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize("version", VERSIONS)
def test_every_tag_of_a_profile_in_a_sequence(version: str, syntax: str) -> None:
    before = make_dataset()
    inner = everything(version)
    before.ReferencedSeriesSequence = Sequence([inner])

    after = anonymize(before, syntax, DicomVersion=version).ReferencedSeriesSequence[0]

    for tag, action in rows(version):
        if tag not in inner:
            continue
        is_text = inner[tag].VR in TEXT_VRS
        expected = {"identifier": "uid", "replace": "keep"}.get(action, action)
        if tag == 0x00120063:
            expected = "remove"
        elif tag == 0x00100010:
            expected = "clear"
        elif tag == 0x00100020:
            expected = str(after.PatientID)
        elif action == "clear" and not is_text:
            expected = "remove"
        assert outcome(inner, after, tag) == expected, f"{tag:08x}"


def test_the_tables_have_the_rows_of_the_standard() -> None:
    counts = {version: len(load_profile(version).actions) for version in VERSIONS}

    assert counts == {"2008": 47, "2017c": 263, "2021b": 445, "2023b": 593}


@pytest.mark.parametrize("is_nested", [False, True])
@pytest.mark.parametrize("tag", [0x50000005, 0x50FE3000, 0x60003000, 0x60004000, 0x60FE3000])
def test_curves_and_overlays_are_removed(tag: int, is_nested: bool) -> None:
    dataset = make_dataset()
    target = item() if is_nested else dataset
    for number, vr in ((tag, "OW"), (0x60000010, "US")):
        target.add_new(number, vr, SAMPLES[vr])
    if is_nested:
        dataset.ReferencedSeriesSequence = Sequence([target])

    after = anonymize(dataset)

    after = after.ReferencedSeriesSequence[0] if is_nested else after
    assert tag not in after
    assert 0x60000010 in after


# Identities -----------------------------------------------------------------------------------


def test_references_to_instances_stay_true() -> None:
    first, second = make_dataset(instance=1), make_dataset(instance=2)
    second.ReferencedSeriesSequence = Sequence(
        [item(SeriesInstanceUID=first.SeriesInstanceUID, StudyInstanceUID=first.StudyInstanceUID)]
    )
    second.ReferencedImageSequence = Sequence([item(ReferencedSOPInstanceUID=first.SOPInstanceUID)])

    first, second = anonymize(first), anonymize(second)

    reference = second.ReferencedSeriesSequence[0]
    assert second.ReferencedImageSequence[0].ReferencedSOPInstanceUID == first.SOPInstanceUID
    assert reference.SeriesInstanceUID == first.SeriesInstanceUID == second.SeriesInstanceUID
    assert reference.StudyInstanceUID == first.StudyInstanceUID == second.StudyInstanceUID
    assert first.SOPInstanceUID != second.SOPInstanceUID


def test_a_reference_to_a_study_in_a_structure_set_is_that_of_the_study() -> None:
    dataset = make_dataset()
    study = item(ReferencedSOPInstanceUID=dataset.StudyInstanceUID)
    outer = item(RTReferencedStudySequence=Sequence([study]))
    dataset.ReferencedFrameOfReferenceSequence = Sequence([outer])

    after = anonymize(dataset)

    inner = after.ReferencedFrameOfReferenceSequence[0].RTReferencedStudySequence[0]
    assert inner.ReferencedSOPInstanceUID == after.StudyInstanceUID


def test_references_follow_the_identifiers_that_the_user_chose() -> None:
    dataset = make_dataset()
    dataset.ReferencedSeriesSequence = Sequence(
        [
            item(StudyInstanceUID=dataset.StudyInstanceUID, PatientID="P1"),
            item(StudyInstanceUID="1.2.3", PatientID="other"),
        ]
    )

    after = anonymize(dataset, Replace={"StudyInstanceUID": "9.8.7", "PatientID": "MINE"}, Force=True)

    same, other = after.ReferencedSeriesSequence
    assert (after.StudyInstanceUID, after.PatientID) == ("9.8.7", "MINE")
    assert (same.StudyInstanceUID, same.PatientID) == ("9.8.7", "MINE")
    assert other.StudyInstanceUID.startswith("2.25.")
    assert other.PatientID not in ("other", "MINE")


def test_identifiers_given_for_the_job_are_followed() -> None:
    data = write(nested(make_dataset(), StudyInstanceUID="1.2.3"))
    identities = IdentityMap(KEY, {(ResourceLevel.STUDY, b"1.2.3"): b"9.8.7"})

    result = Rewriter(anonymization_of_body({}), identities).rewrite(data)

    after = pydicom.dcmread(BytesIO(result.whole(data)))
    assert after.ReferencedSeriesSequence[0].StudyInstanceUID == "9.8.7"


def test_each_of_several_uids_is_mapped() -> None:
    dataset = make_dataset(FailedSOPInstanceUIDList=["1.2.3", "1.2.4"])
    dataset.ReferencedImageSequence = Sequence([item(ReferencedSOPInstanceUID="1.2.4")])

    after = anonymize(dataset)

    one, two = after.FailedSOPInstanceUIDList
    assert one != two == after.ReferencedImageSequence[0].ReferencedSOPInstanceUID


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_what_is_missing_is_made(syntax: str) -> None:
    dataset = make_dataset()
    del dataset.PatientName

    after = anonymize(dataset, syntax)

    assert after.PatientName == "Anonymized7"
    assert after.PatientIdentityRemoved == "YES"
    assert after.file_meta.MediaStorageSOPInstanceUID == after.SOPInstanceUID


def test_a_patient_without_an_identifier_gets_none() -> None:
    dataset = make_dataset()
    del dataset.PatientID

    assert "PatientID" not in anonymize(dataset)
    assert len(anonymize(make_dataset(patient_id="")).PatientID) == 36


def test_an_empty_reference_stays_empty() -> None:
    after = anonymize(nested(make_dataset(), StudyInstanceUID="", PatientID="", FrameOfReferenceUID=""))

    reference = after.ReferencedSeriesSequence[0]
    assert [reference[tag].is_empty for tag in ("StudyInstanceUID", "PatientID", "FrameOfReferenceUID")] == [
        True
    ] * 3


def test_kept_identifiers_are_mapped_in_references_all_the_same() -> None:
    dataset = nested(make_dataset(), StudyInstanceUID=make_dataset().StudyInstanceUID)

    after = anonymize(dataset, Keep=["StudyInstanceUID", "PatientID"], Force=True)

    assert (after.StudyInstanceUID, after.PatientID) == (dataset.StudyInstanceUID, "P1")
    assert after.ReferencedSeriesSequence[0].StudyInstanceUID != dataset.StudyInstanceUID


# Wishes of the user ---------------------------------------------------------------------------


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_a_kept_tag_stays_everywhere(syntax: str) -> None:
    dataset = nested(make_dataset(), StudyDescription="inner", PatientName="A")

    after = anonymize(dataset, syntax, Keep=["StudyDescription", "PatientName"])

    assert (after.StudyDescription, after.PatientName) == ("Study 1", "Doe^Jane")
    inner = after.ReferencedSeriesSequence[0]
    assert (inner.StudyDescription, inner.PatientName) == ("inner", "A")


def test_a_kept_sequence_stays_as_a_whole() -> None:
    dataset = make_dataset()
    dataset.ReferencedImageSequence = Sequence([item(ReferencedSOPInstanceUID="1.2.3", PatientComments="x")])

    after = anonymize(dataset, Keep=[REFERENCES])

    assert after.ReferencedImageSequence == dataset.ReferencedImageSequence


def test_a_kept_path_stays_where_it_leads() -> None:
    dataset = make_dataset()
    dataset.ReferencedImageSequence = Sequence([item(PatientComments="0"), item(PatientComments="1")])

    for path, kept in [(f"{REFERENCES}[*]", [True, True]), (f"{REFERENCES}[1]", [False, True])]:
        after = anonymize(dataset, Keep=[f"{path}.PatientComments"])
        assert ["PatientComments" in inner for inner in after.ReferencedImageSequence] == kept


def test_a_tag_that_is_replaced_at_the_top_is_removed_in_sequences() -> None:
    after = anonymize(nested(make_dataset(), StudyDescription="x"), Replace={"StudyDescription": "new"})

    assert after.StudyDescription == "new"
    assert "StudyDescription" not in after.ReferencedSeriesSequence[0]


def test_a_tag_that_is_removed_is_removed_everywhere() -> None:
    after = anonymize(nested(make_dataset(), Modality="CT"), Remove=["Modality"])

    assert "Modality" not in after
    assert "Modality" not in after.ReferencedSeriesSequence[0]


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_private_tags_go_unless_they_are_kept(syntax: str) -> None:
    dataset = make_dataset()
    inner = item()
    for target in (dataset, inner):
        target.add_new(0x70530010, "LO", "Philips PET Private Group")
        target.add_new(0x70531003, "ST", "file.img")
        target.add_new(0x70531009, "DS", "1")
    dataset.ReferencedSeriesSequence = Sequence([inner])

    def private(**body: Any) -> list[list[int]]:
        after = anonymize(dataset, syntax, **body)
        return [
            [int(tag) for tag in target.keys() if tag.is_private]  # noqa: SIM118  # not the elements
            for target in (after, after.ReferencedSeriesSequence[0])
        ]

    everything = [0x70530010, 0x70531003, 0x70531009]
    assert private() == [[], []]
    assert private(KeepPrivateTags=True) == [everything, everything]
    assert private(Keep=["7053,1003"]) == [[0x70531003], []]
    assert private(Keep=["ReferencedSeriesSequence[*].7053,1003"]) == [[], [0x70531003]]


# Dates and pseudonyms -------------------------------------------------------------------------


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_dates_are_shifted_instead_of_removed(syntax: str) -> None:
    dataset = make_dataset(
        StudyDate="20240301",
        SeriesDate="20240302",
        AcquisitionDateTime="20240303101112.5+0100",
        PatientBirthDate="19700101",
        StudyTime="101112",
        ContentDate="2024",
    )
    nested(dataset, StudyDate="20240301", AcquisitionDate="20230101")

    after = anonymize(dataset, syntax, ShiftDates=-1)

    assert (after.StudyDate, after.SeriesDate) == ("20240229", "20240301")
    assert after.AcquisitionDateTime == "20240302101112.5+0100"
    assert after.PatientBirthDate == after.StudyTime == after.ContentDate == ""
    inner = after.ReferencedSeriesSequence[0]
    assert (inner.StudyDate, inner.AcquisitionDate) == ("20240229", "20221231")


def test_dates_of_a_patient_are_shifted_by_the_same_days() -> None:
    days = {
        patient: IdentityMap(KEY).days(patient.encode())
        for patient in (f"P{number}" for number in range(200))
    }
    assert all(-3650 <= shift <= -1 for shift in days.values())
    assert len(set(days.values())) > 150

    after = anonymize(make_dataset(patient_id="P5", StudyDate="20240301"), ShiftDates=True)

    shifted = date(2024, 3, 1) + timedelta(days["P5"])
    assert after.StudyDate == shifted.strftime("%Y%m%d")


def test_a_pseudonym_names_the_patient_by_the_identifier() -> None:
    after = anonymize(make_dataset(), Pseudonym={"Key": "trial"})

    assert after.PatientName == f"Anonymized{after.PatientID[:8]}"


# Nothing survives -----------------------------------------------------------------------------

MARK = "MARKED"
MARKED_UID = "1.2.1010101010"
ACTIONS = {"clear", "remove", "uid", "identifier", "patient"}


@cache
def marked_elements(version: str) -> list[tuple[int, str, Any]]:
    """Return the mark in each text attribute of a profile, and an item with it in each sequence."""
    found: list[tuple[int, str, Any]] = []
    for tag in sorted(tag for tag, action in rows(version) if action in ACTIONS):
        vr = pydicom.datadict.dictionary_VR(tag)[:2] if pydicom.datadict.dictionary_has_tag(tag) else ""
        if vr == "SQ":
            found.append((tag, vr, Sequence([item(PatientName=MARK, PatientComments=MARK)])))
        elif vr == "UI":
            found.append((tag, vr, MARKED_UID))
        elif vr in ("LO", "LT", "PN", "SH", "ST", "UC", "UT", "AE", "CS"):
            found.append((tag, vr, MARK))
    return [*found, (0x00090010, "LO", MARK), (0x00091001, "SH", MARK), (0x00091002, "UN", MARK.encode())]


def plant(dataset: Dataset, depth: int, version: str) -> None:
    """Put the mark into all that identifies, and so in items, down to a depth."""
    for tag, vr, value in marked_elements(version):
        dataset.add_new(tag, vr, value)
    if depth:
        inner = item()
        plant(inner, depth - 1, version)
        dataset.ReferencedSeriesSequence = Sequence([inner])


@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize("version", VERSIONS)
def test_no_mark_in_what_identifies_is_found_afterwards(version: str, syntax: str) -> None:
    dataset = make_dataset(rows=0)
    plant(dataset, 2, version)
    data = write(dataset, syntax)
    data = MARK.encode() + data[len(MARK) :]  # in the preamble
    assert data.count(MARK.encode()) > 2 * len(marked_elements(version))

    modification = anonymization_of_body({"DicomVersion": version})
    result = Rewriter(modification, IdentityMap(KEY)).rewrite(data).whole(data)

    assert MARK.encode() not in result
    assert MARKED_UID.encode() not in result
    assert dataset.StudyInstanceUID.encode() not in result


@pytest.mark.skipif(shutil.which("dcmdump") is None, reason="DCMTK is not installed")
@pytest.mark.parametrize("syntax", SYNTAXES)
def test_dcmtk_reads_the_result(syntax: str, tmp_path: Path) -> None:
    dataset = make_dataset(rows=8)
    plant(dataset, 1, DEFAULT_VERSION)
    data = write(dataset, syntax)
    path = tmp_path / "result.dcm"
    path.write_bytes(Rewriter(anonymization_of_body({}), IdentityMap(KEY)).rewrite(data).whole(data))

    done = subprocess.run(["dcmdump", "-q", path], capture_output=True, check=False)

    assert (done.returncode, done.stderr) == (0, b"")
    assert b"Anonymized" not in done.stdout
    assert b"PixelData" in done.stdout
