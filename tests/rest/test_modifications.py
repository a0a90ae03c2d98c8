"""Modifying and anonymising over HTTP: what is beyond Orthanc, and jobs that are stopped by a user."""

from collections.abc import Iterator
from io import BytesIO
from typing import Any

import pydicom
import pytest

from tests.support.dicom import make_instance, make_series
from tests.support.server import Server, running_server

KEYS = {"trial": "the secret of the trial"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("modifications")
    options: dict[str, Any] = {"PseudonymKeys": KEYS, "SyncStorageArea": False, "JobsHistorySize": 100}
    with running_server(folder, **options) as started:
        yield started


@pytest.fixture
def library(server: Server) -> Iterator[Server]:
    yield server
    for patient in server.get("/patients").json():
        server.request("DELETE", f"/patients/{patient}")


def upload(server: Server, *files: bytes) -> dict[str, str]:
    connection = server.connect()
    for data in files:
        reply = server.request("POST", "/instances", data, connection=connection)
    connection.close()
    stored: dict[str, str] = reply.json()
    return stored


def count(server: Server) -> int:
    return int(server.get("/statistics").json()["CountInstances"])


def test_an_instance_is_answered_with_its_pixels_and_not_stored(library: Server) -> None:
    source = make_instance(rows=200, columns=200)
    id = upload(library, source)["ID"]
    reply = library.post(f"/instances/{id}/modify", {"Replace": {"PatientName": "New"}})
    assert reply.headers["Content-Type"] == "application/dicom"
    dataset = pydicom.dcmread(BytesIO(reply.body))
    assert dataset.PatientName == "New"
    assert dataset.PixelData == pydicom.dcmread(BytesIO(source)).PixelData
    assert count(library) == 1


def test_an_instance_that_is_stored_compressed_is_answered_as_well(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    with running_server(tmp_path_factory.mktemp("compressed"), StorageCompression=True) as server:
        source = make_instance(rows=200, columns=200)
        id = upload(server, source)["ID"]
        reply = server.post(f"/instances/{id}/anonymize", {})
        dataset = pydicom.dcmread(BytesIO(reply.body))
        assert dataset.PatientName == "Anonymized1"
        assert dataset.PixelData == pydicom.dcmread(BytesIO(source)).PixelData


def test_a_dry_run_shows_and_stores_nothing(library: Server) -> None:
    stored = upload(library, make_instance())
    for path in (f"/instances/{stored['ID']}", f"/studies/{stored['ParentStudy']}"):
        shown = library.post(f"{path}/modify", {"DryRun": True, "Replace": {"PatientName": "New"}}).json()
        [difference] = shown["Differences"]
        assert difference["ID"] == stored["ID"]
        assert [one["New"] for one in difference["Changes"] if one["Name"] == "PatientName"] == ["New"]
    assert count(library) == 1


def test_dry_runs_take_no_number_of_anonymised_patients(library: Server) -> None:
    study = upload(library, make_instance())["ParentStudy"]

    def name(**fields: Any) -> Any:
        id = library.post(f"/studies/{study}/anonymize", fields).json()["ID"]
        return library.get(f"/studies/{id}").json()["PatientMainDicomTags"]["PatientName"]

    first = int(name().removeprefix("Anonymized"))
    library.post(f"/studies/{study}/anonymize", {"DryRun": True})
    assert name() == f"Anonymized{first + 1}"


def test_a_pseudonym_finds_the_same_results_again(library: Server) -> None:
    study = upload(library, *make_series(3))["ParentStudy"]
    body = {"Pseudonym": {"Key": "trial"}}
    first, second = (library.post(f"/studies/{study}/anonymize", body).json() for _ in range(2))
    assert first == second
    assert count(library) == 6
    assert KEYS["trial"] not in library.log.read_text()
    assert KEYS["trial"] not in library.get("/jobs?expand").body.decode()


def test_a_cancelled_atomic_job_leaves_nothing_and_can_be_resubmitted(library: Server) -> None:
    study = upload(library, *make_series(600))["ParentStudy"]
    body = {"Asynchronous": True, "Atomic": True}
    job = library.post(f"/studies/{study}/anonymize", body).json()["ID"]
    while count(library) == 600:
        pass
    library.post(f"/jobs/{job}/cancel")
    assert library.wait_for_job(job)["ErrorCode"] == 37
    assert count(library) == 600
    library.post(f"/jobs/{job}/resubmit")
    assert library.wait_for_job(job)["State"] == "Success"
    assert count(library) == 1200


def test_a_paused_job_goes_on_where_it_was(library: Server) -> None:
    study = upload(library, *make_series(600))["ParentStudy"]
    job = library.post(f"/studies/{study}/modify", {"Asynchronous": True}).json()["ID"]
    library.post(f"/jobs/{job}/pause")
    library.wait_for_job(job, ("Paused", "Success"))
    library.post(f"/jobs/{job}/resume")
    ended = library.wait_for_job(job)
    assert ended["State"] == "Success"
    assert len(library.get(f"/studies/{ended['Content']['ID']}/instances").json()) == 600


@pytest.mark.parametrize(
    ("body", "details"),
    [
        ({"Pseudonym": "trial"}, "Object value expected in field: Pseudonym"),
        ({"Pseudonym": {"Key": "none"}}, "No pseudonym key with this name: none"),
        ({"DryRun": 1}, "Boolean value expected in field: DryRun"),
        ({"Atomic": "yes"}, "Boolean value expected in field: Atomic"),
        ({"RemoveSecondaryCaptures": 1}, "Boolean value expected in field: RemoveSecondaryCaptures"),
        ({"ShiftDates": "a"}, "Boolean or integer value expected in field: ShiftDates"),
    ],
)
def test_bad_fields_are_refused_before_there_is_a_job(
    library: Server, body: dict[str, Any], details: str
) -> None:
    study = upload(library, make_instance())["ParentStudy"]
    before = library.get("/jobs").json()
    reply = library.post(f"/studies/{study}/anonymize", body)
    assert reply.json()["Details"] == details
    assert library.get("/jobs").json() == before
