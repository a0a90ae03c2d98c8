"""Transcoding through the REST API: files, archives and media."""

import csv
import io
import zipfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.dataset import FileDataset

from tests.support.dicom import make_instance, study_uid
from tests.support.server import Server, running_server

RLE = "1.2.840.10008.1.2.5"
LOSSLESS = "1.2.840.10008.1.2.4.70"
NEAR = "1.2.840.10008.1.2.4.81"
EXPLICIT = "1.2.840.10008.1.2.1"
SYNTAX = "TransferSyntaxUID"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(tmp_path_factory.mktemp("server"), MediaArchiveSize=100) as server:
        yield server


@pytest.fixture(scope="module")
def stored(server: Server) -> dict[str, Any]:
    """Store a study of two images and a report; return what was answered to the report."""
    for number in (1, 2):
        image = make_instance(instance=number)
        images = server.request("POST", "/instances", image).json()
    report = dcmread(str(get_testdata_file("test-SR.dcm")))
    report.StudyInstanceUID = study_uid()
    report.PatientID = "P1"
    report.add_new("PixelData", "OW", b"12")  # pixels of no size, which nobody can transcode
    file = BytesIO()
    report.save_as(file)
    answer = server.request("POST", "/instances", file.getvalue()).json()
    assert answer["ParentStudy"] == images["ParentStudy"]
    return {"study": answer["ParentStudy"], "report": answer["ID"], "image": images["ID"]}


def members(data: bytes) -> list[FileDataset]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return [dcmread(BytesIO(archive.read(name))) for name in archive.namelist() if name != "DICOMDIR"]


def syntaxes(data: bytes) -> list[tuple[str, str]]:
    return sorted((each.Modality, each.file_meta.TransferSyntaxUID) for each in members(data))


def job_content(server: Server, type: str) -> dict[str, Any]:
    """Return the content of the newest job of a type."""
    jobs = [job for job in server.get("/jobs?expand").json() if job["Type"] == type]
    content: dict[str, Any] = max(jobs, key=lambda job: job["CreationTime"])["Content"]
    return content


def test_an_archive_has_what_can_be_transcoded_and_names_what_cannot(
    server: Server, stored: dict[str, Any]
) -> None:
    path = f"/studies/{stored['study']}/archive"
    job = server.post(path, {"Asynchronous": True, "Transcode": RLE}).json()["ID"]

    content = server.wait_for_job(job)["Content"]
    archive = server.get(f"/jobs/{job}/archive").body

    assert syntaxes(archive) == [("CT", RLE), ("CT", RLE), ("SR", EXPLICIT)]
    assert content["Transcode"] == RLE
    assert content["LossyQuality"] == 90
    assert content["NotTranscoded"] == [stored["report"]]
    assert content["NotTranscodedCount"] == 1


@pytest.mark.parametrize(
    "path", ["/studies/{study}/archive?transcode=", "/tools/create-archive?resources={study}&transcode="]
)
def test_an_archive_that_is_streamed_is_transcoded_too(
    server: Server, stored: dict[str, Any], path: str
) -> None:
    reply = server.get(path.format(**stored) + LOSSLESS)

    assert syntaxes(reply.body) == [("CT", LOSSLESS), ("CT", LOSSLESS), ("SR", EXPLICIT)]


def test_a_file_without_pixels_is_sent_in_every_transfer_syntax(server: Server) -> None:
    report = server.post("/instances", make_instance(study=77, rows=0, modality="SR")).json()["ID"]
    for syntax in (RLE, LOSSLESS, NEAR):
        reply = server.get(f"/instances/{report}/file?transcode={syntax}")
        assert reply.status == 200
        assert dcmread(BytesIO(reply.body)).file_meta.TransferSyntaxUID == syntax


def test_a_target_without_compression_suits_all(server: Server, stored: dict[str, Any]) -> None:
    job = server.post(
        "/tools/create-archive",
        {"Asynchronous": True, "Resources": [stored["study"]], "Transcode": "1.2.840.10008.1.2"},
    ).json()["ID"]

    content = server.wait_for_job(job)["Content"]

    assert "NotTranscoded" not in content
    assert {syntax for _, syntax in syntaxes(server.get(f"/jobs/{job}/archive").body)} == {
        "1.2.840.10008.1.2"
    }


def test_the_dicomdir_and_the_manifest_tell_of_the_files_as_they_are_now(
    server: Server, stored: dict[str, Any]
) -> None:
    body = {"Asynchronous": True, "Transcode": NEAR, "LossyQuality": 80, "Manifest": True}
    job = server.post(f"/studies/{stored['study']}/media", body).json()["ID"]

    content = server.wait_for_job(job)["Content"]
    data = server.get(f"/jobs/{job}/archive").body

    assert (content["Transcode"], content["LossyQuality"]) == (NEAR, 80)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        files = {
            name.replace("/", "\\"): dcmread(BytesIO(archive.read(name)))
            for name in archive.namelist()
            if name.startswith("IMAGES/")
        }
        directory = dcmread(BytesIO(archive.read("DICOMDIR")))
        manifest = next(name for name in archive.namelist() if name.endswith(".csv"))
        rows = list(csv.reader(io.StringIO(archive.read(manifest).decode())))
    records = [each for each in directory.DirectoryRecordSequence if each.DirectoryRecordType == "IMAGE"]
    assert len(records) == 3
    for record in records:
        file = files["\\".join(record.ReferencedFileID)]
        assert record.ReferencedTransferSyntaxUIDInFile == file.file_meta.TransferSyntaxUID
        assert record.ReferencedSOPInstanceUIDInFile == file.SOPInstanceUID
        assert file.SOPInstanceUID in {cell for row in rows for cell in row}
    assert {each.file_meta.TransferSyntaxUID for each in files.values()} == {NEAR, EXPLICIT}


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/studies/{study}/archive?transcode=nope", 400, 3),
        ("/studies/{study}/archive?transcode=1.2.840.10008.1.2.9", 400, 3),
        ("/studies/{study}/archive?transcode=1.2.840.10008.1.2.5&lossy-quality=a", 400, 3),
        ("/tools/create-media?resources={study}&transcode=nope", 400, 3),
        ("/instances/{image}/file?transcode=nope", 400, 3),
        ("/instances/{image}/file?transcode=1.2.840.10008.1.2.5&lossy-quality=-1", 400, 3),
        ("/instances/{report}/file?transcode=1.2.840.10008.1.2.5", 500, 2),
        ("/instances/{image}/file?transcode=1.2.840.10008.1.2.4.50", 500, 2),
    ],
)
def test_what_cannot_be_is_an_error(
    server: Server, stored: dict[str, Any], path: str, status: int, code: int
) -> None:
    reply = server.get(path.format(**stored))

    assert (reply.status, reply.json()["OrthancStatus"]) == (status, code)


@pytest.mark.parametrize(
    ("fields", "code", "details"),
    [
        ({"Transcode": "nope"}, 3, "Unknown transfer syntax: nope"),
        ({"Transcode": 5}, 15, "String value expected in field: Transcode"),
        ({"Transcode": NEAR, "LossyQuality": "a"}, 15, "Integer value expected in field: LossyQuality"),
        (
            {"Transcode": NEAR, "LossyQuality": -1},
            5,
            "Negative value found while expecting an unsigned int in field 'LossyQuality'",
        ),
    ],
)
def test_a_wrong_field_is_an_error_before_there_is_a_job(
    server: Server, stored: dict[str, Any], fields: dict[str, Any], code: int, details: str
) -> None:
    reply = server.post(f"/studies/{stored['study']}/archive", {"Asynchronous": True, **fields})

    assert reply.status == 400
    assert reply.json()["OrthancStatus"] == code
    assert reply.json()["Details"] == details


@pytest.mark.parametrize("quality", ["", "%2050", "%2B50", "050", "4294967295", "0" * 5000 + "9"])
def test_a_quality_is_read_generously(server: Server, stored: dict[str, Any], quality: str) -> None:
    reply = server.get(f"/instances/{stored['image']}/file?transcode={NEAR}&lossy-quality={quality}")

    assert reply.status == 200


@pytest.mark.parametrize("quality", ["a", "%20", "-1", "5.5", "50%20", "4294967296", "9" * 5000])
def test_a_quality_that_is_no_unsigned_number_is_refused(
    server: Server, stored: dict[str, Any], quality: str
) -> None:
    reply = server.get(f"/instances/{stored['image']}/file?transcode={NEAR}&lossy-quality={quality}")

    assert (reply.status, reply.json()["OrthancStatus"]) == (400, 3)


def test_a_quality_without_a_syntax_is_not_looked_at(server: Server, stored: dict[str, Any]) -> None:
    path = f"/studies/{stored['study']}/archive"

    assert server.get(f"{path}?lossy-quality=a").status == 200
    assert server.post(path, {"LossyQuality": "a"}).status == 200


def test_a_file_comes_in_the_syntax_that_is_asked_for(server: Server, stored: dict[str, Any]) -> None:
    path = f"/instances/{stored['image']}/file"

    plain, same = server.get(path), server.get(f"{path}?transcode={EXPLICIT}")
    packed = server.get(f"{path}?transcode={RLE}&lossy-quality=101")

    assert same.body == plain.body
    assert packed.headers["Content-Type"] == "application/dicom"
    assert packed.headers["Content-Disposition"] == plain.headers["Content-Disposition"]
    dataset = dcmread(BytesIO(packed.body))
    assert dataset.file_meta.TransferSyntaxUID == RLE
    assert (dataset.pixel_array == dcmread(BytesIO(plain.body)).pixel_array).all()


def test_a_lossy_file_has_the_quality_that_is_asked_for(server: Server, stored: dict[str, Any]) -> None:
    path = f"/instances/{stored['image']}/file?transcode={NEAR}"

    best, default, worst = (
        dcmread(BytesIO(server.get(path + quality).body))
        for quality in ("&lossy-quality=100", "", "&lossy-quality=1")
    )

    assert len({best.SOPInstanceUID, default.SOPInstanceUID, worst.SOPInstanceUID}) == 3
    assert "quality 90" in default.DerivationDescription


def test_nothing_is_left_of_a_file_that_was_only_read(server: Server, stored: dict[str, Any]) -> None:
    folder = Path(server.storage)
    before = sorted(path for path in folder.rglob("*") if path.is_file())

    server.get(f"/instances/{stored['image']}/file?transcode={RLE}")

    assert sorted(path for path in folder.rglob("*") if path.is_file()) == before


def test_what_is_stored_deflated_is_transcoded_like_the_rest(tmp_path: Path) -> None:
    with running_server(tmp_path, StorageCompression=True) as server:
        image = server.request("POST", "/instances", make_instance()).json()

        file = server.get(f"/instances/{image['ID']}/file?transcode={RLE}").body
        archive = server.get(f"/studies/{image['ParentStudy']}/archive?transcode={RLE}").body
        refused = server.get(f"/studies/{image['ParentStudy']}/archive?transcode=1.2.840.10008.1.2.4.50").body

    assert dcmread(BytesIO(file)).file_meta.TransferSyntaxUID == RLE
    assert syntaxes(archive) == [("CT", RLE)]
    assert syntaxes(refused) == [("CT", EXPLICIT)]
