"""Creating instances on a running server: what is stored, and what is not."""

import base64
import json
from collections.abc import Iterator
from io import BytesIO
from typing import Any

import pytest
from PIL import Image
from pydicom import dcmread
from pydicom.dataset import FileDataset

from tests.support.server import Server, running_server, stored_files

DICTIONARY = {
    "0405,0010": ["LO", "PrivateCreatorForMyCompany", 1, 1, "My Company"],
    "0405,1001": ["ST", "MyPrivateXMLTag", 1, 1, "My Company"],
}
PDF = b"%PDF-1.4 made up\n%%EOF\n"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("create")
    with running_server(folder, SyncStorageArea=False, Dictionary=DICTIONARY) as running:
        yield running


def uri(media_type: str, data: bytes) -> str:
    return f"data:{media_type};base64,{base64.b64encode(data).decode()}"


def png(size: tuple[int, int]) -> bytes:
    file = BytesIO()
    Image.new("L", size, 7).save(file, "PNG")
    return file.getvalue()


def create(server: Server, **body: Any) -> dict[str, str]:
    reply = server.post("/tools/create-dicom", body)
    assert reply.status == 200, reply.body
    answer: dict[str, str] = reply.json()
    return answer


def file_of(server: Server, id: str) -> FileDataset:
    return dcmread(BytesIO(server.get(f"/instances/{id}/file").body))


def test_example_of_the_book_with_private_tags(server: Server) -> None:
    tags = {"PrivateCreatorForMyCompany": "My Company", "MyPrivateXMLTag": "<a/>", "PatientName": "A"}
    id = create(server, PrivateCreator="My Company", Tags=tags)["ID"]
    shown = server.get(f"/instances/{id}/tags").json()
    assert shown["0405,0010"]["Value"] == "My Company"
    assert shown["0405,1001"] == {
        "Name": "MyPrivateXMLTag",
        "PrivateCreator": "My Company",
        "Type": "String",
        "Value": "<a/>",
    }
    assert server.get(f"/instances/{id}/simplified-tags").json()["MyPrivateXMLTag"] == "<a/>"
    assert server.get(f"/instances/{id}/content/MyPrivateXMLTag").body == b"<a/>"
    assert server.get(f"/instances/{id}/tags?short&ignore-length=MyPrivateXMLTag").status == 200
    assert file_of(server, id)[0x0405, 0x1001].VR == "ST"
    query = {"Level": "Instance", "Query": {"MyPrivateXMLTag": "<a*"}, "Expand": True}
    [found] = server.post("/tools/find", query | {"RequestedTags": ["MyPrivateXMLTag"]}).json()
    assert (found["ID"], found["RequestedTags"]) == (id, {"MyPrivateXMLTag": "<a/>"})


@pytest.mark.parametrize("document", [PDF, PDF + b"x", PDF + b"\0", PDF[:-1], b"%PDF-1.4"])
def test_document_comes_back_byte_for_byte(server: Server, document: bytes) -> None:
    id = create(server, Tags={}, Content=uri("application/pdf", document))["ID"]
    reply = server.get(f"/instances/{id}/pdf")
    assert (reply.body, reply.headers["Content-Type"]) == (document, "application/pdf")


def test_encapsulated_jpeg_is_kept_as_it_is(server: Server) -> None:
    file = BytesIO()
    Image.new("RGB", (16, 8), (1, 2, 3)).save(file, "JPEG")
    id = create(server, Tags={}, Encapsulate=True, Content=uri("image/jpeg", file.getvalue()))["ID"]
    assert server.get(f"/instances/{id}/content/7fe0-0010").json() == ["0", "1"]
    kept = server.get(f"/instances/{id}/content/7fe0-0010/1").body
    assert kept.removesuffix(b"\0" * (len(file.getvalue()) % 2)) == file.getvalue()
    dataset = file_of(server, id)
    assert dataset.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.4.50"
    assert dataset.pixel_array.shape == (8, 16, 3)


def test_instance_joins_its_parents(server: Server) -> None:
    tags = {"PatientID": "joined", "PatientName": "Ü", "SpecificCharacterSet": "ISO_IR 192", "StudyDate": ""}
    first = create(server, Tags=tags)
    for parent in ("ParentPatient", "ParentStudy", "ParentSeries"):
        child = create(server, Parent=first[parent], Tags={"ImageComments": "山"})
        assert child[parent] == first[parent]
        assert child["ParentPatient"] == first["ParentPatient"]
        shown = server.get(f"/instances/{child['ID']}/simplified-tags").json()
        assert (shown["PatientName"], shown["ImageComments"]) == ("Ü", "山")
    refused = server.post("/tools/create-dicom", {"Parent": first["ID"], "Tags": {}})
    assert (refused.status, refused.json()["OrthancStatus"]) == (400, 2025)


def test_series_is_stored_as_a_whole(server: Server) -> None:
    image = uri("image/png", png((3, 2)))
    answer = create(server, Tags={"PatientID": "series"}, Content=[image, {"Content": image, "Tags": {}}])
    assert answer["Path"] == f"/series/{answer['ID']}"
    series = server.get(answer["Path"]).json()
    assert (len(series["Instances"]), series["ExpectedNumberOfInstances"], series["Status"]) == (
        2,
        2,
        "Complete",
    )


BOMB = uri("image/png", png((9, 9)).replace(b"\0\0\0\x09\0\0\0\x09", b"\0\0\xff\xff\0\0\xff\xff", 1))


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"Tags": {"Nope": "x"}}, 500, 27),
        ({"Tags": {"Rows": "x"}}, 400, 15),
        ({"Tags": {"PatientName": 5}}, 400, 5),
        ({"Tags": []}, 400, 8),
        ("{", 400, 8),
        ({"Tags": {}, "Content": "data:application/pdf;base64," + "!" * 1_000_000}, 400, 15),
        ({"Tags": {}, "Content": uri("application/pdf", b"no document")}, 400, 15),
        ({"Tags": {}, "Content": BOMB}, 400, 15),
        ({"Tags": {}, "Content": [uri("image/png", png((2, 2))), BOMB]}, 400, 15),
        ({"Tags": {}, "Content": [uri("application/pdf", PDF), {}]}, 400, 2022),
        ({"Tags": {"SOPInstanceUID": "1.2", "SeriesInstanceUID": ""}, "Force": True}, 400, 15),
        ({"Tags": {}, "Parent": "nope"}, 400, 2024),
    ],
)
def test_of_a_bad_request_nothing_is_stored(server: Server, body: Any, status: int, code: int) -> None:
    before = server.get("/statistics").json()
    reply = server.post("/tools/create-dicom", body if isinstance(body, str) else json.dumps(body))
    assert (reply.status, reply.json()["OrthancStatus"]) == (status, code)
    assert server.get("/statistics").json() == before
    assert len(stored_files(server)) == before["CountInstances"]


def test_dictionary_that_contradicts_itself_keeps_the_server_from_starting(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("contradiction")
    with (
        pytest.raises(AssertionError, match="Cannot register twice the tag"),
        running_server(folder, Dictionary={"0010,0010": ["LO", "Mine"]}),
    ):
        pass
