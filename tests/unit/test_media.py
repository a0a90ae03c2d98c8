"""DICOMDIRs, read back by pydicom and DCMTK."""

import gc
import io
import shutil
import subprocess
import zipfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.fileset import FileSet
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian

from orthanc_trio.dicom.media import Directory, Leaf, NeedMoreData, make_leaf
from orthanc_trio.kinds.archive_media import frame, write_directory
from orthanc_trio.model.errors import BadFileFormat, CannotWriteFile, CorruptedFile
from tests.support.dicom import ABSENT, make_instance, series_uid, sop_uid, study_uid

NOW = datetime(2030, 4, 5, 6, 7, 8, tzinfo=UTC)
UID = "2.25.1"


def leaf(data: bytes, position: int = 0, *, is_extended: bool = False) -> Leaf:
    return make_leaf(data, len(data), f"IMAGES\\IM{position}", is_extended=is_extended, now=NOW)


def directory(*files: bytes, is_extended: bool = False) -> bytes:
    made = Directory(UID)
    for position, data in enumerate(files):
        made.add(leaf(data, position, is_extended=is_extended))
    return bytes(made.finish())


def records(data: bytes, type: str) -> list[Dataset]:
    sequence = pydicom.dcmread(io.BytesIO(data)).DirectoryRecordSequence
    return [record for record in sequence if record.DirectoryRecordType == type]


def tags(record: Dataset) -> dict[str, Any]:
    """Return what a record says besides its links."""
    return {element.keyword: str(element.value) for element in record if element.tag >= 0x00041500}


def test_each_level_has_its_tags() -> None:
    made = directory(make_instance(StudyID="S1"))
    [patient], [study], [series], [image] = (
        records(made, type) for type in ("PATIENT", "STUDY", "SERIES", "IMAGE")
    )
    assert tags(patient) == {"PatientName": "Doe^Jane", "PatientID": "P1"}
    assert tags(study) == {
        "StudyDate": "20240102",
        "StudyTime": "030405",
        "AccessionNumber": "A1",
        "StudyDescription": "Study 1",
        "StudyInstanceUID": study_uid(),
        "StudyID": "S1",
    }
    assert tags(series) == {"Modality": "CT", "SeriesInstanceUID": series_uid(), "SeriesNumber": "1"}
    assert image.ReferencedFileID == ["IMAGES", "IM0"]
    assert image.ReferencedSOPInstanceUIDInFile == sop_uid()
    assert image.ReferencedTransferSyntaxUIDInFile == "1.2.840.10008.1.2.1"
    assert image.InstanceNumber == 1
    assert image.RecordInUseFlag == 0xFFFF


def test_the_directory_says_what_it_is() -> None:
    dataset = pydicom.dcmread(io.BytesIO(directory()))
    assert dataset.file_meta.MediaStorageSOPClassUID == "1.2.840.10008.1.3.10"
    assert dataset.file_meta.MediaStorageSOPInstanceUID == UID
    assert dataset.FileSetID == "ORTHANC_MEDIA"
    assert dataset.FileSetConsistencyFlag == 0
    assert dataset.DirectoryRecordSequence == []


def test_extended_adds_the_description_of_the_series() -> None:
    data = make_instance(SeriesDescription="Thorax")
    assert tags(*records(directory(data, is_extended=True), "SERIES"))["SeriesDescription"] == "Thorax"
    assert "SeriesDescription" not in tags(*records(directory(data), "SERIES"))
    without = make_instance(SeriesDescription=ABSENT)
    assert "SeriesDescription" not in tags(*records(directory(without, is_extended=True), "SERIES"))


def test_missing_values_are_empty_or_left_out() -> None:
    absent = ("PatientID", "PatientName", "AccessionNumber", "StudyDescription", "SeriesNumber", "Modality")
    without: dict[str, Any] = dict.fromkeys((*absent, "InstanceNumber"), ABSENT)
    made = directory(make_instance(**without))
    assert tags(*records(made, "PATIENT")) == {"PatientName": ""}
    study = tags(*records(made, "STUDY"))
    assert (study["AccessionNumber"], study["StudyDescription"], "StudyID" in study) == ("", "", False)
    series = tags(*records(made, "SERIES"))
    assert (series["Modality"], "SeriesNumber" in series) == ("", False)
    assert tags(*records(made, "IMAGE"))["InstanceNumber"] == "None"


@pytest.mark.parametrize(
    ("given", "date"),
    [
        ({}, "20300405"),
        ({"ContentDate": "20010101"}, "20010101"),
        ({"ContentDate": "20010101", "AcquisitionDate": "20020202"}, "20020202"),
        ({"AcquisitionDate": "20020202", "SeriesDate": "20030303"}, "20030303"),
    ],
)
def test_a_missing_study_date_is_replaced(given: dict[str, str], date: str) -> None:
    data = make_instance(StudyDate=ABSENT, StudyTime="", **given)
    study = tags(*records(directory(data), "STUDY"))
    assert (study["StudyDate"], study["StudyTime"]) == (date, "060708")


def test_texts_are_reduced_to_ascii() -> None:
    data = make_instance(SpecificCharacterSet="ISO_IR 100", StudyDescription="IRM cérébrale")
    study = records(directory(data), "STUDY")[0]
    assert study.StudyDescription == "IRM crbrale"
    assert study.SpecificCharacterSet == "ISO_IR 100"


def test_patients_are_told_apart_by_what_ascii_does_not_show() -> None:
    tokyo, kyoto = (
        make_instance(patient_id=id, study=number, SpecificCharacterSet="ISO_IR 192")
        for number, id in enumerate(("東京", "京都"), 1)
    )
    patients = records(directory(tokyo, kyoto, tokyo), "PATIENT")
    assert [str(record.PatientID or "") for record in patients] == ["", ""]


def test_spaces_in_front_stay() -> None:
    data = make_instance(patient_id=" a ", StudyDescription="  b")
    made = directory(data)
    assert tags(*records(made, "PATIENT"))["PatientID"] == " a"
    assert tags(*records(made, "STUDY"))["StudyDescription"] == "  b"


def test_second_bytes_of_wide_characters_are_not_taken_for_ascii() -> None:
    data = make_instance(SpecificCharacterSet="GB18030", StudyDescription="A丂B")
    assert records(directory(data), "STUDY")[0].StudyDescription == "AB"


@pytest.mark.parametrize("uid", ["SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"])
def test_a_file_without_a_uid_is_refused(uid: str) -> None:
    without: dict[str, Any] = {uid: ABSENT}
    with pytest.raises(BadFileFormat):
        leaf(make_instance(**without))


@pytest.mark.parametrize("data", [b"", b"no DICOM" * 40, bytes(128) + b"DICM\x02\x00"], ids=len)
def test_what_is_no_dicom_file_is_refused(data: bytes) -> None:
    with pytest.raises(BadFileFormat):
        leaf(data)


def test_a_short_head_is_asked_to_grow_until_it_is_enough() -> None:
    data = make_instance(rows=64, columns=64)
    sizes = [8]
    while True:
        try:
            made = make_leaf(data[: sizes[-1]], len(data), "IM0", is_extended=False, now=NOW)
        except NeedMoreData as error:
            sizes.append(error.needed)
        else:
            break
    assert sizes == sorted(set(sizes))
    assert sizes[-1] < len(data) // 2
    assert made.image[0] == sop_uid()


@pytest.mark.parametrize(
    "syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian]
)
def test_every_encoding_is_read(syntax: str) -> None:
    made = directory(make_instance(transfer_syntax=syntax))
    assert tags(*records(made, "STUDY"))["StudyDescription"] == "Study 1"
    assert records(made, "IMAGE")[0].ReferencedTransferSyntaxUIDInFile == syntax


@pytest.mark.filterwarnings("ignore:Implicitly cleaning up:ResourceWarning")
def test_records_are_linked_as_a_tree(tmp_path: Path) -> None:
    files = [
        make_instance(patient_id=patient, study=study, series=series, instance=instance)
        for patient, study in (("P1", 1), ("P1", 2), ("P2", 3))
        for series in (1, 2)
        for instance in (1, 2, 3)
    ]
    (tmp_path / "IMAGES").mkdir()
    for position, data in enumerate(files):
        (tmp_path / "IMAGES" / f"IM{position}").write_bytes(data)
    (tmp_path / "DICOMDIR").write_bytes(directory(*files))
    read = FileSet(tmp_path / "DICOMDIR")
    assert len(read) == len(files)
    assert read.find_values("PatientID") == ["P1", "P2"]
    assert len(read.find_values("SeriesInstanceUID")) == 6
    assert len(read.find(StudyInstanceUID=study_uid(2))) == 6
    assert all(instance.load().SOPInstanceUID == instance.SOPInstanceUID for instance in read)
    del read
    gc.collect()  # a FileSet warns when it cleans up: here, not in another test


def test_equal_keys_share_one_record_wherever_they_come() -> None:
    first, other = make_instance(patient_id="P1"), make_instance(patient_id="P2", study=2)
    made = directory(first, other, make_instance(patient_id="P1", study=3), first)
    counts = [len(records(made, type)) for type in ("PATIENT", "STUDY", "SERIES", "IMAGE")]
    assert counts == [2, 3, 3, 3]


@pytest.mark.filterwarnings("ignore:The PN component length")
@pytest.mark.filterwarnings("ignore:Invalid value for VR")
def test_values_without_measure_are_cut() -> None:
    made = directory(make_instance(PatientName="x" * 60_000, StudyDescription="\x1b\x07a"))
    assert len(str(records(made, "PATIENT")[0].PatientName)) == 1024
    assert str(records(made, "STUDY")[0].StudyDescription).isprintable()


def test_dcmtk_reads_the_directory(tmp_path: Path) -> None:
    if shutil.which("dcmdump") is None:
        pytest.skip("DCMTK is not installed")
    names = ("CT_small.dcm", "MR_small.dcm", "JPEG2000.dcm", "rtplan.dcm", "MR_small_bigendian.dcm")
    paths = [get_testdata_file(name, download=False) for name in names]
    path = tmp_path / "DICOMDIR"
    path.write_bytes(directory(*(Path(str(found)).read_bytes() for found in paths if found)))
    dump = subprocess.run(["dcmdump", "-q", path], capture_output=True, text=True)
    assert dump.returncode == 0
    assert dump.stdout.count("CS [IMAGE]") >= 4


def test_a_directory_can_be_a_member_of_a_zip() -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("DICOMDIR", directory(make_instance()))
    assert zipfile.ZipFile(file).read("DICOMDIR")[128:132] == b"DICM"


def test_lost_leaves_are_an_error_and_not_a_short_directory(tmp_path: Path) -> None:
    leaves = tmp_path / "leaves"
    leaves.write_bytes(frame(leaf(make_instance()))[:-1])
    with pytest.raises(CorruptedFile):
        write_directory(leaves, leaves.stat().st_size + 1, tmp_path / "DICOMDIR", UID)
    with pytest.raises(CannotWriteFile):
        write_directory(leaves, 0, tmp_path / "nowhere" / "DICOMDIR", UID)
