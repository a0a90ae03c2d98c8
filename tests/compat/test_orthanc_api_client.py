"""orthanc-api-client from PyPI, unmodified, drives a real server."""

import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.support.dicom import make_instance, series_uid, sop_uid, study_uid
from tests.support.server import Server, running_server

api: Any = pytest.importorskip("orthanc_api_client")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("api-client")
    with running_server(folder, SyncStorageArea=False, CheckRevisions=True) as server:
        yield server


@pytest.fixture
def client(server: Server) -> Iterator[Any]:
    """A client of a server that is empty again."""
    client = api.OrthancApiClient(f"http://127.0.0.1:{server.port}")
    assert client.wait_started(timeout=10)
    yield client
    client.delete_all_content()


@pytest.fixture
def study(client: Any) -> str:
    """The identifier of a study of two series with two instances each."""
    ids = [
        client.upload(make_instance(series=series, instance=instance))[0]
        for series in (1, 2)
        for instance in (1, 2)
    ]
    id: str = client.instances.get_parent_study_id(ids[0])
    return id


def test_what_the_server_says_of_itself(client: Any, study: str) -> None:
    assert client.is_alive()
    assert client.is_orthanc_version_at_least(1, 13, 0)
    assert client.has_loaded_plugin("dicom-web") is False
    assert client.capabilities.has_extended_changes is True
    assert client.capabilities.has_label_support is True
    statistics = client.get_statistics()
    assert (statistics.instances_count, statistics.series_count, statistics.studies_count) == (4, 2, 1)
    assert client.get_metrics().get("orthanc_available_dicom_threads") == "4"
    client.set_log_level(api.LogLevel.VERBOSE)
    assert client.get_log_level() == api.LogLevel.VERBOSE


def test_uploads_of_files_folders_and_nonsense(client: Any, tmp_path: Path) -> None:
    (folder := tmp_path / "in").mkdir()
    (folder / "a.dcm").write_bytes(make_instance())
    (folder / "nothing.txt").write_bytes(b"no DICOM")
    with zipfile.ZipFile(folder / "b.zip", "w") as archive:
        archive.writestr("b.dcm", make_instance(instance=2))
    assert len(client.upload_folder(folder, ignore_errors=True)) == 2
    with pytest.raises(api.exceptions.BadFileFormat):
        client.upload(b"no DICOM")
    assert client.upload(b"no DICOM", ignore_errors=True) == []


def test_resources_are_browsed(client: Any, study: str) -> None:
    assert client.studies.get_all_ids() == [study]
    assert client.studies.exists(study)
    assert client.studies.lookup(study_uid(1)) == study
    found = client.studies.get(study)
    assert (found.dicom_id, found.main_dicom_tags["AccessionNumber"]) == (study_uid(1), "A1")
    assert found.patient_main_dicom_tags["PatientID"] == "P1"
    assert found.statistics.instances_count == 4
    assert client.studies.get_modalities(study) == {"CT"}
    assert len(client.studies.get_instances_ids(study)) == 4
    assert client.studies.get_tags(study)["PatientName"] == "Doe^Jane"
    series = client.series.lookup(series_uid(1, 2))
    instances = client.series.get_instances_ids(series)
    assert client.series.get_ordered_instances_ids(series) == [
        client.instances.lookup(sop_uid(1, 2, number)) for number in (1, 2)
    ]
    assert client.instances.get_parent_series_id(instances[0]) == series
    assert client.instances.get_tags(instances[0])["SeriesNumber"] == "2"
    assert client.instances.get_file(instances[0])[128:132] == b"DICM"
    assert "ReceptionDate" in client.instances.get_metadata(instances[0])
    with pytest.raises(api.exceptions.ResourceNotFound):
        client.instances.get_file("nothing")


def test_searches_and_labels(client: Any, study: str) -> None:
    other = client.instances.get_parent_study_id(client.upload(make_instance(study=2, patient_id="Q"))[0])
    client.studies.add_labels(other, ["b", "a"])
    assert sorted(client.studies.get_labels(other)) == client.get_all_labels() == ["a", "b"]

    def found(query: dict[str, str], **options: Any) -> list[str]:
        return sorted(one.orthanc_id for one in client.studies.find(query, **options))

    assert found({"PatientID": "P*"}) == [study]
    assert found({"StudyDate": "20240101-20240103"}) == sorted([study, other])
    assert found({}, labels=["a"]) == [other]
    constraint = api.LabelsConstraint
    assert found({}, labels=["a", "c"], labels_constraint=constraint.ALL) == []
    assert found({}, labels=["a", "c"], labels_constraint=constraint.ANY) == [other]
    assert found({}, labels=["a", "c"], labels_constraint=constraint.NONE) == [study]
    client.studies.delete_label(other, "a")
    assert client.get_all_labels() == ["b"]
    assert [one.dicom_id for one in client.patients.find({"PatientName": "Doe*"})] != []


def test_metadata_and_attachments_have_revisions(client: Any, study: str, tmp_path: Path) -> None:
    studies = client.studies
    studies.set_string_metadata(study, "1024", content="one")
    content, revision = studies.get_string_metadata_with_revision(study, "1024")
    assert content == "one"
    studies.set_string_metadata(study, "1024", content="two", match_revision=revision)
    with pytest.raises(api.exceptions.Conflict):
        studies.set_string_metadata(study, "1024", content="three", match_revision=revision)
    assert studies.get_string_metadata(study, "1024") == "two"
    assert studies.has_metadata(study, "1025") is False
    studies.set_attachment(study, "1024", content="text", content_type="text/plain")
    content, revision = studies.get_attachment_with_revision(study, "1024")
    assert content == b"text"
    studies.set_attachment(study, "1024", content="new", match_revision=revision)
    studies.download_attachment(study, "1024", str(tmp_path / "a"))
    assert (tmp_path / "a").read_bytes() == b"new"


def test_archives_and_downloads(client: Any, study: str, tmp_path: Path) -> None:
    client.studies.download_archive(study, str(tmp_path / "a.zip"))
    client.studies.download_media(study, str(tmp_path / "m.zip"))
    assert len(zipfile.ZipFile(tmp_path / "a.zip").namelist()) == 4
    assert "DICOMDIR" in zipfile.ZipFile(tmp_path / "m.zip").namelist()
    (folder := tmp_path / "out").mkdir()
    assert len(client.studies.download_instances(study, str(folder))) == 4


def test_jobs_are_followed_and_steered(client: Any, study: str) -> None:
    answer = client.post(f"studies/{study}/archive", json={"Asynchronous": True}).json()
    job = client.jobs.get(answer["ID"])
    assert job.wait_completed(timeout=10, polling_interval=0.05)
    assert (job.info.status, job.info.type) == ("Success", "Archive")
    assert job.info.content["Description"] == "REST API"
    with pytest.raises(api.exceptions.OrthancApiException):
        client.jobs.cancel("nothing")


def test_changes_are_read_to_their_end(client: Any, study: str) -> None:
    seen, last, done = [], 0, False
    while not done:
        changes, last, done = client.get_changes(since=last, limit=3)
        seen += [change.change_type for change in changes]
    assert (seen.count("NewInstance"), seen.count("NewSeries"), seen.count("NewStudy")) == (4, 2, 1)


def test_twenty_clients_at_a_time_are_served(client: Any, study: str) -> None:
    with ThreadPoolExecutor(20) as threads:
        found = list(threads.map(lambda _: client.studies.get_json(study)["ID"], range(200)))
    assert set(found) == {study}


def test_resources_are_deleted(client: Any, study: str) -> None:
    client.studies.delete(study)
    assert client.studies.exists(study) is False
    client.upload(make_instance())
    client.delete_all_content()
    assert client.patients.get_all_ids() == []


def test_studies_are_modified_and_anonymised(client: Any, study: str) -> None:
    changed = client.studies.modify(study, replace_tags={"StudyDescription": "B"}, delete_original=False)
    assert client.studies.get(changed).main_dicom_tags["StudyDescription"] == "B"
    anonymous = client.studies.anonymize(study, replace_tags={"PatientName": "No"}, delete_original=False)
    assert client.studies.get(anonymous).patient_main_dicom_tags["PatientName"] == "No"
    series = client.series.get_all_ids()[:2]
    _, new_series, _, _ = client.series.modify_bulk(
        series, replace_tags={"SeriesDescription": "C"}, delete_original=False
    )
    assert len(new_series) == 2
    job = client.studies.anonymize_bulk_async([study, changed])
    assert job.wait_completed(timeout=10, polling_interval=0.05)
    assert (job.info.status, job.info.type) == ("Success", "ResourceModification")


def test_series_are_merged_and_documents_attached(client: Any, study: str, tmp_path: Path) -> None:
    other = client.instances.get_parent_study_id(client.upload(make_instance(study=2))[0])
    [series] = client.studies.get_series_ids(other)
    client.studies.merge(study, series, keep_source=True)
    assert len(client.studies.get_series_ids(study)) == 3
    (tmp_path / "a.pdf").write_bytes(b"%PDF-1.4 made up")
    instance = client.studies.attach_pdf(study, str(tmp_path / "a.pdf"), "A report")
    assert client.instances.is_pdf(instance)
    client.instances.download_pdf(instance, str(tmp_path / "b.pdf"))
    assert (tmp_path / "b.pdf").read_bytes().startswith(b"%PDF-1.4 made up")
    assert client.studies.get_pdf_instances(study) == [instance]
