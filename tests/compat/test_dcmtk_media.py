"""A DICOMDIR of ours says what DCMTK's dcmmkdir says of the same files."""

import subprocess
import zipfile
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.dataset import Dataset

from tests.support.dicom import make_instance
from tests.support.server import running_server

TYPES = ("PATIENT", "STUDY", "SERIES", "IMAGE")
KEYS = {
    "PATIENT": ("PatientID", "PatientName"),
    "STUDY": ("StudyInstanceUID", "StudyID", "StudyDate", "StudyTime", "StudyDescription", "AccessionNumber"),
    "SERIES": ("SeriesInstanceUID", "Modality", "SeriesNumber"),
    "IMAGE": (
        "ReferencedFileID",
        "ReferencedSOPClassUIDInFile",
        "ReferencedSOPInstanceUIDInFile",
        "ReferencedTransferSyntaxUIDInFile",
        "InstanceNumber",
    ),
}


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The unpacked medium of two patients with several studies and series."""
    folder = tmp_path_factory.mktemp("media")
    with running_server(tmp_path_factory.mktemp("server"), SyncStorageArea=False) as server:
        for patient in (1, 2):
            for series in (1, 2):
                for number in (1, 2):
                    data = make_instance(
                        patient_id=f"P{patient}",
                        study=patient,
                        series=series,
                        instance=number,
                        StudyID=f"S{patient}",
                    )
                    assert server.post("/instances", data).status == 200
        reply = server.post("/tools/create-media", server.get("/patients").json())
        assert reply.status == 200
    (folder / "media.zip").write_bytes(reply.body)
    with zipfile.ZipFile(folder / "media.zip") as archive:
        archive.extractall(folder / "ours")
    return folder / "ours"


def tree(directory: Path) -> dict[tuple[str, ...], dict[str, Any]]:
    """Return the records of a DICOMDIR by their path in it, found by its offsets alone."""
    dataset = pydicom.dcmread(directory)
    records = {record.seq_item_tell: record for record in dataset.DirectoryRecordSequence}
    found: dict[tuple[str, ...], dict[str, Any]] = {}

    def walk(offset: int, above: tuple[str, ...]) -> None:
        while offset:
            record = records.pop(offset)
            assert record.DirectoryRecordType == TYPES[len(above)]
            path = (*above, str(record[identity(record)].value))
            found[path] = {key: str(record.get(key, "") or "") for key in KEYS[record.DirectoryRecordType]}
            assert record.RecordInUseFlag == 0xFFFF
            walk(record.OffsetOfReferencedLowerLevelDirectoryEntity, path)
            offset = record.OffsetOfTheNextDirectoryRecord

    walk(dataset.OffsetOfTheFirstDirectoryRecordOfTheRootDirectoryEntity, ())
    assert not records
    return found


def identity(record: Dataset) -> str:
    keys = ("ReferencedSOPInstanceUIDInFile", "SeriesInstanceUID", "StudyInstanceUID", "PatientID")
    return next(key for key in keys if key in record)


def test_dcmmkdir_makes_the_same_records_of_the_same_files(media: Path, tmp_path: Path) -> None:
    target = tmp_path / "DICOMDIR"
    command: list[str | Path] = ["dcmmkdir", "-q", "+D", target, "+id", media, "+r", "IMAGES"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=10)
    assert done.returncode == 0, done.stderr
    theirs, ours = tree(target), tree(media / "DICOMDIR")
    assert len(ours) == 2 + 2 + 4 + 8
    assert ours == theirs


def test_dcmmkdir_goes_on_with_our_directory(media: Path, tmp_path: Path) -> None:
    extra = make_instance(patient_id="P3", study=3, StudyID="S3")
    (media / "MORE").write_bytes(extra)
    target = tmp_path / "DICOMDIR"
    target.write_bytes((media / "DICOMDIR").read_bytes())
    command: list[str | Path] = ["dcmmkdir", "-q", "+A", "+D", target, "+id", media, "MORE"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=10)
    (media / "MORE").unlink()
    assert done.returncode == 0, done.stderr
    before, after = tree(media / "DICOMDIR"), tree(target)
    assert before.items() <= after.items()
    assert len(after) == len(before) + 4


def test_dcmdump_reads_the_directory(media: Path) -> None:
    dumped = subprocess.run(["dcmdump", media / "DICOMDIR"], capture_output=True, text=True, timeout=10)
    assert dumped.returncode == 0, dumped.stderr
    assert dumped.stderr == ""
    assert dumped.stdout.count("ReferencedFileID") == 8
