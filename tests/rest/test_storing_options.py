"""Options that decide what is stored: limits, read-only, without patients, without files, transcoded."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.dicom import ABSENT, make_instance
from tests.support.server import Reply, Server, running_server, stored_files

RLE = "1.2.840.10008.1.2.5"
JPEG_LOSSLESS = "1.2.840.10008.1.2.4.70"
IMPLICIT = "1.2.840.10008.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"


def code(reply: Reply) -> tuple[int, int]:
    return reply.status, reply.json()["OrthancStatus"]


def store(server: Server, patient: int, instance: int = 1, **arguments: Any) -> Reply:
    data = make_instance(patient_id=f"P{patient}", study=patient, instance=instance, **arguments)
    return server.post("/instances", data)


def patients(server: Server) -> list[str]:
    shown = server.get("/patients?expand").json()
    return sorted(patient["MainDicomTags"]["PatientID"] for patient in shown)


def test_the_oldest_patient_makes_room(tmp_path: Path) -> None:
    with running_server(tmp_path, MaximumPatientCount=2) as server:
        first = store(server, 1).json()
        store(server, 2)
        assert store(server, 1, 2).status == 200
        assert store(server, 3).status == 200
        assert patients(server) == ["P1", "P3"]
        server.request("PUT", f"/patients/{first['ParentPatient']}/protected", b"1")
        assert store(server, 4).status == 200
        assert patients(server) == ["P1", "P4"]
        changes = [change["ID"] for change in server.get("/changes").json()["Changes"]]
        shown = {id for level in ("patients", "instances") for id in server.get(f"/{level}").json()}
        assert shown <= set(changes)
        server.terminate()
    with running_server(tmp_path, MaximumPatientCount=1) as server:
        assert patients(server) == ["P1"]
        assert code(store(server, 5)) == (507, 19)
        assert store(server, 1, 3).status == 200
        assert int(server.get("/statistics").json()["CountInstances"]) == 3


def test_a_full_server_refuses_and_keeps_what_it_has(tmp_path: Path) -> None:
    options: dict[str, Any] = {
        "MaximumPatientCount": 1,
        "MaximumStorageSize": 1,
        "MaximumStorageMode": "Reject",
    }
    with running_server(tmp_path, **options) as server:
        assert store(server, 1, rows=400, columns=400).status == 200
        assert code(store(server, 2)) == (507, 19)
        assert store(server, 1, 2, rows=400, columns=400).status == 200
        assert store(server, 1, 3, rows=400, columns=400).status == 200
        assert code(store(server, 1, 4, rows=400, columns=400)) == (507, 19)
        assert store(server, 1, 1, rows=400, columns=400).json()["Status"] == "AlreadyStored"
        id = server.get("/studies").json()[0]
        reply = server.request("PUT", f"/studies/{id}/attachments/1024", b"x" * (1 << 20))
        assert code(reply) == (507, 19)
        assert server.get(f"/studies/{id}/attachments").json() == []
        assert server.get("/statistics").json()["CountInstances"] == 3
        assert len(server.get("/changes").json()["Changes"]) == 6


@pytest.mark.parametrize(
    ("mode", "same", "other"),
    [
        ("Never", "AlreadyStored", "AlreadyStored"),
        ("Always", "Success", "Success"),
        ("IfChanged", "AlreadyStored", "Success"),
    ],
)
def test_an_instance_that_is_there_stays_or_is_replaced(
    tmp_path: Path, mode: str, same: str, other: str
) -> None:
    with running_server(tmp_path, OverwriteInstances=mode, MaximumPatientCount=1) as server:
        id = store(server, 1).json()["ID"]
        assert store(server, 1).json()["Status"] == same
        assert store(server, 1, StudyDescription="other").json()["Status"] == other
        tags = server.get(f"/instances/{id}/simplified-tags").json()
        assert (tags["StudyDescription"] == "other") is (other == "Success")
        assert server.get("/statistics").json()["CountInstances"] == 1


def test_a_server_that_is_read_only_offers_no_way_to_change_what_is_stored(tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        ids = store(server, 1).json()
        server.terminate()
    with running_server(tmp_path, ReadOnly=True) as server:
        reply = store(server, 2)
        assert (reply.status, reply.headers["Allow"]) == (405, "GET")
        study = f"/studies/{ids['ParentStudy']}"
        for method, path in (
            ("DELETE", study),
            ("PUT", f"{study}/labels/a"),
            ("PUT", f"{study}/metadata/1024"),
            ("PUT", f"{study}/attachments/1024"),
            ("DELETE", "/changes"),
        ):
            assert server.request(method, path, b"").status == 405
        for path in ("/tools/bulk-delete", f"{study}/reconstruct", "/tools/reconstruct"):
            assert server.post(path, json.dumps({"Resources": [ids["ParentStudy"]]})).status == 404
        assert server.get(study).status == 200
        assert server.post(f"{study}/archive", "{}").status == 200
        assert server.get("/system").json()["ReadOnly"] is True


def test_a_server_without_patients_has_none_of_their_routes(tmp_path: Path) -> None:
    with running_server(tmp_path, PatientLevelEnabled=False) as server:
        ids = store(server, 1).json()
        patient = f"/patients/{ids['ParentPatient']}"
        for path in ("/patients", patient, f"{patient}/studies", f"{patient}/archive"):
            assert code(server.get(path)) == (404, 17)
        assert server.request("PUT", f"{patient}/protected", b"1").status == 404
        assert server.get(f"/studies/{ids['ParentStudy']}/patient").json()["ID"] == ids["ParentPatient"]
        assert server.get(f"/studies/{ids['ParentStudy']}").json()["ParentPatient"] == ids["ParentPatient"]
        assert server.get("/statistics").json()["CountPatients"] == 1


def test_a_server_that_keeps_no_files_knows_what_they_said(tmp_path: Path) -> None:
    with running_server(tmp_path, StoreDicom=False) as server:
        data = make_instance()
        id = server.post("/instances", data).json()["ID"]
        assert server.get(f"/instances/{id}").json()["FileSize"] == len(data)
        assert server.get(f"/instances/{id}/study").json()["MainDicomTags"]["StudyDescription"] == "Study 1"
        assert server.get(f"/instances/{id}/file").status >= 400
        assert stored_files(server) == set()
        assert server.request("DELETE", f"/instances/{id}").status == 200


def syntax(server: Server, reply: Reply) -> str:
    return server.get(f"/instances/{reply.json()['ID']}/metadata/TransferSyntax").body.decode()


def test_new_instances_are_transcoded(tmp_path: Path) -> None:
    options: dict[str, Any] = {"IngestTranscoding": RLE, "OverwriteInstances": "IfChanged"}
    with running_server(tmp_path, **options) as server:
        reply = store(server, 1, rows=32, columns=32)
        assert syntax(server, reply) == RLE
        assert store(server, 1, rows=32, columns=32).json()["Status"] == "AlreadyStored"
        assert syntax(server, store(server, 2, rows=0)) == EXPLICIT
        # The pixels are no JPEG, so it is stored as it is.
        assert syntax(server, store(server, 3, transfer_syntax=JPEG_LOSSLESS)) == JPEG_LOSSLESS
        large = make_instance(patient_id="large", rows=3000, columns=3000)
        assert syntax(server, server.post("/instances", large)) == RLE
        assert code(server.post("/instances", b"no DICOM at all")) == (400, 15)
        id = reply.json()["ID"]
        assert server.get(f"/instances/{id}/file").body[:132].endswith(b"DICM")


def test_transcoding_can_leave_out_some(tmp_path: Path) -> None:
    options: dict[str, Any] = {"IngestTranscoding": IMPLICIT, "IngestTranscodingOfUncompressed": False}
    with running_server(tmp_path, **options) as server:
        assert syntax(server, store(server, 1)) == EXPLICIT
        server.terminate()
    with running_server(tmp_path, IngestTranscoding=IMPLICIT) as server:
        assert syntax(server, store(server, 2)) == IMPLICIT
        assert syntax(server, store(server, 3, rows=0)) == IMPLICIT
        study = server.get(f"/instances/{store(server, 1).json()['ID']}/study").json()["ID"]
        server.post(f"/studies/{study}/reconstruct", '{"ReconstructFiles": true}')
        assert syntax(server, store(server, 1)) == IMPLICIT


def test_reconstructed_files_have_the_present_compression(tmp_path: Path) -> None:
    data = make_instance(rows=64)
    with running_server(tmp_path) as server:
        id = server.post("/instances", data).json()["ID"]
        server.terminate()
    with running_server(tmp_path, StorageCompression=True) as server:
        path = f"/instances/{id}/attachments/dicom/is-compressed"
        assert server.post(f"/instances/{id}/reconstruct").status == 200
        assert server.get(path).body == b"0"
        assert server.post("/tools/reconstruct", '{"ReconstructFiles": true}').status == 200
        assert server.get(path).body == b"1"
        assert server.get(f"/instances/{id}/file").body == data


def test_reconstruction_lets_the_index_say_what_the_files_say(tmp_path: Path) -> None:
    def described(server: Server, study: str) -> dict[str, Any]:
        shown: dict[str, Any] = server.get(f"/studies/{study}").json()
        return {**shown["MainDicomTags"], **shown["PatientMainDicomTags"]}

    with running_server(tmp_path) as server:
        ids = store(server, 1, patient_name="Old", StudyDescription="old").json()
        last = store(server, 1, 2, patient_name="New", AccessionNumber=ABSENT, InstanceNumber=None).json()
        study = ids["ParentStudy"]
        before = described(server, study)
        assert (before["StudyDescription"], before["PatientName"]) == ("old", "Old")
        server.request("PUT", f"/studies/{study}/metadata/1024", b"mine")
        server.request("DELETE", f"/instances/{ids['ID']}")
        seq = server.get("/changes?last").json()["Last"]
        body = '{"LimitToThisLevelMainDicomTags": true}'
        assert server.post(f"/patients/{ids['ParentPatient']}/reconstruct", body).status == 200
        patient = server.get(f"/patients/{ids['ParentPatient']}").json()
        assert patient["MainDicomTags"]["PatientName"] == "New"
        assert described(server, study) == before
        reply = server.post(f"/instances/{last['ID']}/reconstruct")
        assert (reply.status, reply.body, reply.headers["Content-Type"]) == (200, b"", "text/plain")
        after = described(server, study)
        assert (after["StudyDescription"], after["PatientName"]) == ("Study 1", "New")
        assert "AccessionNumber" not in after
        assert server.get(f"/studies/{study}/metadata/1024").body == b"mine"
        assert server.get(f"/instances/{last['ID']}/metadata/IndexInSeries").body == b""
        assert server.get("/changes?last").json()["Last"] == seq
        assert code(server.post("/studies/none/reconstruct")) == (404, 17)
        assert code(server.post(f"/studies/{study}/reconstruct", '{"ReconstructFiles": 3}')) == (400, 15)
        assert server.post("/tools/invalidate-tags").status == 200
