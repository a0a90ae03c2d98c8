"""The routes that show tags, on a running server."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from pydicom.dataset import Dataset

from tests.support.dicom import make_dataset, make_instance, write
from tests.support.server import Reply, Server, running_server

PDF = "1.2.840.10008.5.1.4.1.1.104.1"
LONG = "x" * 300


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(tmp_path_factory.mktemp("tags"), SyncStorageArea=False) as running:
        yield running


def upload(server: Server, data: bytes) -> dict[str, str]:
    ids: dict[str, str] = server.post("/instances", data).json()
    return ids


def code(reply: Reply) -> tuple[int, int]:
    return reply.status, reply.json()["OrthancStatus"]


def test_tags_have_the_format_that_is_asked_for(server: Server) -> None:
    path = f"/instances/{upload(server, make_instance(patient_id='formats'))['ID']}"
    full = server.get(path + "/tags").json()
    assert full["0010,0020"] == {"Name": "PatientID", "Type": "String", "Value": "formats"}
    assert server.get(path + "/tags?full").json() == full
    short = server.get(path + "/tags?short").json()
    assert short == {tag: element["Value"] for tag, element in full.items()}
    human = server.get(path + "/simplified-tags").json()
    assert human == {element["Name"]: element["Value"] for element in full.values()}
    assert server.get(path + "/tags?simplify&short").json() == human
    assert server.get(path + "/simplified-tags?full").json() == human
    assert server.get(path + "/header?short").json()["0002,0010"] == "1.2.840.10008.1.2.1"
    assert server.get(path + "/header").json()["0002,0010"]["Type"] == "String"
    assert "PatientID" not in server.get(path + "/header?simplify").json()


def test_long_values_are_shown_if_their_tags_are_named(server: Server) -> None:
    data = make_instance(patient_id="long", ImageComments=LONG, PatientComments=LONG)
    ids = upload(server, data)
    path = f"/instances/{ids['ID']}"
    assert server.get(path + "/tags").json()["0020,4000"]["Type"] == "TooLong"
    for names in ("ImageComments", "PatientID,%20ImageComments", "0020-4000", "00204000"):
        human = server.get(f"{path}/simplified-tags?ignore-length={names}").json()
        assert (human["ImageComments"], human["PatientComments"]) == (LONG, None)
    module = f"/patients/{ids['ParentPatient']}/module"
    assert server.get(module + "?simplify").json()["PatientComments"] is None
    assert server.get(module + "?simplify&ignore-length=PatientComments").json()["PatientComments"] == LONG
    tags = server.get(f"/series/{ids['ParentSeries']}/instances-tags?short&ignore-length=0020-4000").json()
    assert code(server.get(path + "/tags?ignore-length=Nope")) == (500, 27)
    assert tags[ids["ID"]]["0020,4000"] == LONG


def test_whole_files_are_shown_if_it_is_asked_for(server: Server) -> None:
    data = make_instance(patient_id="whole", DataSetTrailingPadding=b"1234")
    path = f"/instances/{upload(server, data)['ID']}"
    for route in ("tags?short", "simplified-tags?"):
        plain = server.get(f"{path}/{route}").json()
        assert set(server.get(f"{path}/{route}&whole").json()) - set(plain)
        assert server.get(f"{path}/{route}&whole=false").json() == plain
        assert code(server.get(f"{path}/{route}&whole=foo")) == (400, 3)


def test_a_replaced_instance_shows_its_new_tags(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("replaced")
    with running_server(folder, SyncStorageArea=False, OverwriteInstances="Always") as server:
        for name in ("Old", "New"):
            path = f"/instances/{upload(server, make_instance(patient_name=name))['ID']}"
            for _ in range(2):
                assert server.get(path + "/simplified-tags").json()["PatientName"] == name


def test_tags_are_shared_if_they_are_the_same_text_everywhere(server: Server) -> None:
    item = Dataset()
    item.CodeValue = "1"
    same: dict[str, Any] = {"AnatomicRegionSequence": [item], "PatientComments": LONG}
    for number in (1, 2):
        ids = upload(server, make_instance(patient_id="shared", instance=number, **same))
    shared = server.get(f"/series/{ids['ParentSeries']}/shared-tags?simplify").json()
    assert shared["PatientID"] == "shared"
    assert not shared.keys() & {"InstanceNumber", "PixelData", "AnatomicRegionSequence", "PatientComments"}
    full = server.get(f"/patients/{ids['ParentPatient']}/shared-tags").json()
    assert full["0010,0020"]["Value"] == "shared"
    short = server.get(f"/studies/{ids['ParentStudy']}/shared-tags?short").json()
    assert short["0010,0020"] == "shared"


def test_the_tags_of_all_instances_are_those_of_each(server: Server) -> None:
    stored = [upload(server, make_instance(patient_id="all", instance=number)) for number in (1, 2)]
    for level, parent in (
        ("series", "ParentSeries"),
        ("studies", "ParentStudy"),
        ("patients", "ParentPatient"),
    ):
        found = server.get(f"/{level}/{stored[0][parent]}/instances-tags?short").json()
        assert found == {ids["ID"]: server.get(f"/instances/{ids['ID']}/tags?short").json() for ids in stored}


def test_the_module_of_each_level_has_its_own_tags(server: Server) -> None:
    item = Dataset()
    item.CodeValue = "1"
    ids = upload(server, make_instance(patient_id="module", ProcedureCodeSequence=[item]))
    study = f"/studies/{ids['ParentStudy']}"
    assert server.get(f"/patients/{ids['ParentPatient']}/module?simplify").json() == {
        "PatientID": "module",
        "PatientName": "Doe^Jane",
    }
    assert server.get(study + "/module-patient?short").json() == {
        "0010,0010": "Doe^Jane",
        "0010,0020": "module",
    }
    human = server.get(study + "/module?simplify").json()
    assert human["ProcedureCodeSequence"] == [{"CodeValue": "1"}]
    assert "PatientID" not in human
    assert "0008,0060" in server.get(f"/series/{ids['ParentSeries']}/module").json()
    assert "0008,0018" in server.get(f"/instances/{ids['ID']}/module").json()


def test_content_is_walked_by_path(server: Server) -> None:
    item = Dataset()
    item.CodeValue = "odd"
    ids = upload(server, make_instance(patient_id="content", AnatomicRegionSequence=[item]))
    path = f"/instances/{ids['ID']}/content"
    assert server.get(path + "/").json() == server.get(path).json()
    assert server.get(path + "/0008-2218").json() == ["0"]
    reply = server.get(path + "/0008-2218/0/CodeValue")
    assert (reply.body, reply.headers["Content-Type"]) == (b"odd ", "application/octet-stream")
    reply = server.get(path + "/0008-2218/1")
    assert (reply.status, reply.body) == (404, b"")
    assert code(server.get(path + "/Nope")) == (500, 27)


def test_an_encapsulated_document_is_answered_as_what_it_is(server: Server) -> None:
    dataset = make_dataset(patient_id="pdf", rows=0, SOPClassUID=PDF)
    dataset.EncapsulatedDocument = b"%PDF-1.4 made up"
    reply = server.get(f"/instances/{upload(server, write(dataset))['ID']}/pdf")
    assert (reply.body, reply.headers["Content-Type"]) == (b"%PDF-1.4 made up", "application/pdf")
    for others in (
        make_instance(patient_id="no pdf"),
        make_instance(SOPClassUID=PDF, rows=0, patient_id="x"),
    ):
        reply = server.get(f"/instances/{upload(server, others)['ID']}/pdf")
        assert (reply.status, reply.body) == (404, b"")


def test_what_does_not_exist_has_no_tags(server: Server) -> None:
    study = upload(server, make_instance(patient_id="nowhere"))["ParentStudy"]
    for id in (study, "none"):
        for route in ("tags", "simplified-tags", "header", "module", "content", "content/PatientID", "pdf"):
            assert code(server.get(f"/instances/{id}/{route}")) == (404, 17)
        for route in ("module", "shared-tags", "instances-tags"):
            assert code(server.get(f"/series/{id}/{route}")) == (404, 17)


def test_keys_come_in_order(server: Server) -> None:
    path = f"/instances/{upload(server, make_instance(patient_id='order'))['ID']}/simplified-tags"
    body = server.get(path).body
    assert list(json.loads(body)) == sorted(json.loads(body))
