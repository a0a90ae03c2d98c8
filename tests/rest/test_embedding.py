"""Images and documents among the new values of a modification."""

import base64
import json
from collections.abc import Iterator
from io import BytesIO

import pytest
from PIL import Image
from pydicom import dcmread

from tests.support.dicom import make_instance
from tests.support.server import Reply, Server, running_server

PDF = b"%PDF-1.4 made up"
COLOURS = [(1, 2, 3), (4, 5, 6), (7, 8, 9), (10, 11, 12)]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(tmp_path_factory.mktemp("embedding"), SyncStorageArea=False) as running:
        yield running


def uri(media_type: str, data: bytes) -> str:
    return f"data:{media_type};base64,{base64.b64encode(data).decode()}"


def png() -> bytes:
    image = Image.new("RGB", (2, 2))
    for place, colour in enumerate(COLOURS):
        image.putpixel((place % 2, place // 2), colour)
    file = BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def modify(server: Server, tag: str, value: str, *, syntax: str = "1.2.840.10008.1.2.1") -> Reply:
    data = make_instance(rows=4, columns=4, transfer_syntax=syntax)
    id = server.post("/instances", data).json()["ID"]
    reply = server.post(f"/instances/{id}/modify", json.dumps({"Replace": {tag: value}}))
    server.request("DELETE", f"/instances/{id}")
    return reply


@pytest.mark.parametrize("name", ["PixelData", "7fe0,0010"])
@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2.1", "1.2.840.10008.1.2"])
def test_image_takes_the_place_of_the_pixels(server: Server, name: str, syntax: str) -> None:
    dataset = dcmread(BytesIO(modify(server, name, uri("image/png", png()), syntax=syntax).body))
    assert dataset.file_meta.TransferSyntaxUID == syntax
    assert dataset.pixel_array.reshape(-1, 3).tolist() == [list(colour) for colour in COLOURS]


def test_document_is_added(server: Server) -> None:
    dataset = dcmread(BytesIO(modify(server, "EncapsulatedDocument", uri("application/pdf", PDF)).body))
    assert dataset.EncapsulatedDocument[: dataset.EncapsulatedDocumentLength] == PDF
    assert dataset.MIMETypeOfEncapsulatedDocument == "application/pdf"
    assert dataset.Rows == 4


@pytest.mark.parametrize(
    ("value", "status", "code"),
    [
        (uri("image/png", b"no image"), 400, 15),
        (uri("application/pdf", b"no document"), 400, 15),
        (uri("text/plain", b"x"), 500, 2),
    ],
)
def test_bad_content_is_refused(server: Server, value: str, status: int, code: int) -> None:
    reply = modify(server, "PixelData", value)
    assert (reply.status, reply.json()["OrthancStatus"]) == (status, code)


def test_compressed_file_becomes_a_native_one(server: Server) -> None:
    reply = modify(server, "PixelData", uri("image/png", png()), syntax="1.2.840.10008.1.2.5")
    dataset = dcmread(BytesIO(reply.body))
    assert dataset.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.1"
    assert dataset.pixel_array.reshape(-1, 3).tolist() == [list(colour) for colour in COLOURS]


def test_other_tags_keep_such_text(server: Server) -> None:
    text = uri("image/png", b"no image")
    assert dcmread(BytesIO(modify(server, "StudyDescription", text).body)).StudyDescription == text


def test_job_puts_an_image_into_each_instance(server: Server) -> None:
    study = server.post("/instances", make_instance(rows=4, columns=4, study=7)).json()["ParentStudy"]
    body = {"Replace": {"PixelData": uri("image/png", png())}, "KeepSource": False}
    answer = server.post(f"/studies/{study}/modify", json.dumps(body))
    assert answer.status == 200, answer.body
    [instance] = server.get(f"/studies/{answer.json()['ID']}/instances").json()
    dataset = dcmread(BytesIO(server.get(f"/instances/{instance['ID']}/file").body))
    assert dataset.pixel_array.shape == (2, 2, 3)
