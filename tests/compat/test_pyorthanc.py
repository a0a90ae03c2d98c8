"""pyorthanc from PyPI, unmodified, drives a real server."""

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pydicom
import pytest

from tests.support.dicom import make_instance, sop_uid, study_uid
from tests.support.server import Server, running_server

pyorthanc: Any = pytest.importorskip("pyorthanc")

# It hands texts to httpx in a way that httpx has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(tmp_path_factory.mktemp("pyorthanc"), SyncStorageArea=False) as server:
        yield server


@pytest.fixture
def client(server: Server) -> Iterator[Any]:
    """A client of a server that is empty again."""
    with pyorthanc.Orthanc(f"http://127.0.0.1:{server.port}") as client:
        yield client
        for id in client.get_patients():
            client.delete_patients_id(id)


def upload(client: Any, folder: Path, count: int = 2) -> Any:
    """Upload a study of several series with two instances each, and return it."""
    for series in range(1, count + 1):
        for instance in (1, 2):
            data = make_instance(series=series, instance=instance)
            (folder / f"{series}-{instance}.dcm").write_bytes(data)
    instances = pyorthanc.upload(client, folder)
    assert len(instances) == 2 * count
    return instances[0].parent_study


def test_folders_datasets_and_archives_are_uploaded(client: Any, tmp_path: Path) -> None:
    (folder := tmp_path / "in").mkdir()
    study = upload(client, folder)
    dataset = pydicom.dcmread(io.BytesIO(make_instance(study=2)))
    [instance] = pyorthanc.upload(client, dataset)
    assert instance.uid == sop_uid(2)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a.dcm", make_instance(study=3))
        archive.writestr("b.dcm", make_instance(study=3, instance=2))
    assert len(pyorthanc.upload(client, tmp_path / "a.zip")) == 2
    assert len(client.get_instances()) == 7
    [known] = pyorthanc.upload(client, dataset, check_before_upload=True)
    assert known == instance
    assert study.uid == study_uid(1)


def test_resources_are_browsed_at_all_levels(client: Any, tmp_path: Path) -> None:
    (folder := tmp_path / "in").mkdir()
    study = upload(client, folder)
    assert (study.date.year, study.accession_number, study.description) == (2024, "A1", "Study 1")
    assert study.patient_information["PatientName"] == "Doe^Jane"
    assert study.last_update is not None
    assert study.is_stable is False
    assert study.shared_tags["PatientID"] == "P1"
    patient = study.parent_patient
    assert (patient.patient_id, patient.name, patient.studies) == ("P1", "Doe^Jane", [study])
    assert patient.get_patient_module(simplify=True)["PatientID"] == "P1"
    assert not patient.protected
    patient.protected = True
    assert patient.protected is True
    series = sorted(study.series, key=lambda one: one.series_number)
    assert [one.series_number for one in series] == [1, 2]
    assert (series[0].modality, series[0].parent_patient) == ("CT", patient)
    instance = sorted(series[0].instances, key=lambda one: one.instance_number)[0]
    assert instance.uid == sop_uid(1, 1, 1)
    assert instance.simplified_tags["PatientName"] == "Doe^Jane"
    assert instance.get_content_by_tag("PatientID") == "P1"
    assert instance.tags["0010,0010"]["Value"] == "Doe^Jane"
    assert instance.get_pydicom().PatientName == "Doe^Jane"
    assert instance.file_size == len(instance.get_dicom_file_content())


def test_searches_by_tags_and_labels(client: Any, tmp_path: Path) -> None:
    (folder := tmp_path / "in").mkdir()
    study = upload(client, folder)
    [other] = pyorthanc.upload(client, pydicom.dcmread(io.BytesIO(make_instance(study=2, patient_id="Q"))))
    other.parent_study.add_label("seen")
    assert other.parent_study.labels == ["seen"]
    assert pyorthanc.find_studies(client, {"PatientID": "P*"}) == [study]
    assert pyorthanc.find_studies(client, labels=["seen"]) == [other.parent_study]
    assert pyorthanc.find_studies(client, labels=["seen"], labels_constraint="None") == [study]
    assert len(pyorthanc.find_series(client, {"StudyInstanceUID": study_uid(1)})) == 2
    assert pyorthanc.find_patients(client, {"PatientID": "nobody"}) == []
    assert len(pyorthanc.find_instances(client, {"PatientName": "doe^jane"})) == 5
    found = pyorthanc.query_orthanc(client, level="Study", limit=1)
    assert len(found) == 2
    other.parent_study.remove_label("seen")
    assert other.parent_study.labels == []


def test_archives_are_downloaded_at_once_and_as_jobs(client: Any, tmp_path: Path) -> None:
    (folder := tmp_path / "in").mkdir()
    study = upload(client, folder)
    assert len(zipfile.ZipFile(io.BytesIO(study.get_zip())).namelist()) == 4
    study.parent_patient.download(str(tmp_path / "p.zip"))
    assert zipfile.ZipFile(tmp_path / "p.zip").testzip() is None
    answer = client.post_studies_id_archive(study.id_, json={"Asynchronous": True})
    job = pyorthanc.Job(answer["ID"], client)
    job.wait_until_completion(0.1)
    assert (job.state, job.type) == (pyorthanc.jobs.State.success, "Archive")
    assert job.error.name == "SUCCESS"
    assert job.error_details == ""
    assert (job.progress, job.priority) == (100, 0)
    assert job.completion_time >= job.creation_time
    assert client.get_jobs_id_key(job.id_, "archive").startswith(b"PK")


def test_metadata_changes_and_the_system(client: Any, tmp_path: Path) -> None:
    (folder := tmp_path / "in").mkdir()
    study = upload(client, folder)
    client.put_studies_id_metadata_name(study.id_, "4321", "hello")
    assert client.get_studies_id_metadata_name(study.id_, "4321") == "hello"
    changes = client.get_changes({"limit": 3})
    assert (len(changes["Changes"]), changes["Done"]) == (3, False)
    assert client.get_system()["ApiVersion"] == 31
    assert client.get_statistics()["CountInstances"] == 4
    assert client.get_tools_now().isascii()
    with pytest.raises(httpx.HTTPError, match="404"):
        client.get_studies_id("nothing")
    client.delete_studies_id(study.id_)
    assert client.get_patients() == []


def test_resources_are_modified_and_anonymised(client: Any, tmp_path: Path) -> None:
    (folder := tmp_path / "in").mkdir()
    study = upload(client, folder)
    changed = study.modify(replace={"StudyDescription": "Changed"}, keep_source=True)
    assert (changed.description, len(changed.series)) == ("Changed", 2)
    assert study.description == "Study 1"
    anonymous = study.anonymize(replace={"PatientName": "Nobody"}, keep=["StudyDate"])
    assert anonymous.parent_patient.name == "Nobody"
    assert anonymous.date.date() == study.date.date()
    job = study.series[0].anonymize_as_job()
    job.wait_until_completion(0.1)
    assert (job.state, job.type) == (pyorthanc.jobs.State.success, "ResourceModification")
    assert pyorthanc.Series(job.content["ID"], client).modality == "CT"
    job = study.parent_patient.modify_as_job(replace={"PatientID": "NEW"}, force=True)
    job.wait_until_completion(0.1)
    assert pyorthanc.Patient(job.content["ID"], client).patient_id == "NEW"
    instance = study.series[0].instances[0]
    assert pydicom.dcmread(io.BytesIO(instance.modify(replace={"PatientName": "One"}))).PatientName == "One"
    assert pydicom.dcmread(io.BytesIO(instance.anonymize())).PatientIdentityRemoved == "YES"
