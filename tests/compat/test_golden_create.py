"""What Orthanc 1.13.0 answers to requests to create instances, recorded once, is what we answer and store.

Left out is where ours is better on purpose: null empties a value of any VR, the character set may be written
by its number, bad JPEG files are the client's fault, palettes and gray of few bits are decoded, a private
creator has its VR, several character sets of a parent become Unicode, and the length of a document is kept.
"""

import json
import re
from collections.abc import Iterator
from io import BytesIO
from typing import Any, cast

import pytest
from pydicom import dcmread
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset

from tests.support.server import Server, running_server

from .conftest import FILES, GOLDEN

RECORDED: dict[str, Any] = json.loads((GOLDEN / "create_dicom.json").read_text())
CASES: list[dict[str, Any]] = RECORDED["cases"]
IDENTIFIERS = (0x00080018, 0x0020000D, 0x0020000E)
DOCUMENT_LENGTH = "00420015"
VOLATILE = {
    "<uid>": re.compile(rb"[0-9.]{20,}\0?"),
    "<date>": re.compile(rb"20(2[6-9]|[3-9][0-9])[0-9]{4}"),  # not the dates of the parents
    "<time>": re.compile(rb"[0-9]{6}\.[0-9]{6} ?"),
    "<uuid>": re.compile(rb"[0-9a-f-]{36}"),
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("create")
    with running_server(folder, SyncStorageArea=False, Dictionary=RECORDED["dictionary"]) as running:
        yield running


@pytest.fixture
def parents(server: Server) -> None:
    """The resources that requests name as parents; a case may have deleted them."""
    for name in RECORDED["uploads"]:
        server.post("/instances", (FILES / ("test_files" if "/" not in name else "") / name).read_bytes())


@pytest.mark.parametrize("case", CASES, ids=[each["name"][:60] for each in CASES])
def test_created_instance_is_the_recorded_one(
    server: Server, case: dict[str, Any], request: pytest.FixtureRequest
) -> None:
    body = case["body"]
    if isinstance(body, dict) and isinstance(body.get("Parent"), str) and len(body["Parent"]) > 40:
        request.getfixturevalue("parents")
    reply = server.post("/tools/create-dicom", json.dumps(body))
    expected = case["answer"]
    assert reply.status == expected["status"], reply.body
    if reply.status != 200:
        assert reply.json()["OrthancStatus"] == expected["code"]
        assert reply.json().get("Details") == expected["details"]
        return
    answer = reply.json()
    assert {name: re.sub("[0-9a-f-]{44}", "<id>", text) for name, text in answer.items()} == expected[
        "answer"
    ]
    assert created_files(server, answer) == expected["files"]


def created_files(server: Server, answer: dict[str, Any]) -> list[dict[str, Any]]:
    is_series = answer["Path"].startswith("/series")
    ids = server.get(answer["Path"]).json()["Instances"] if is_series else [answer["ID"]]
    files = []
    for id in ids:
        dataset = dcmread(BytesIO(server.get(f"/instances/{id}/file").body), force=True)
        meta = dataset.file_meta
        described: dict[str, Any] = {"meta": [str(meta.MediaStorageSOPClassUID), str(meta.TransferSyntaxUID)]}
        describe(dataset, described, "")
        described.pop(DOCUMENT_LENGTH, None)
        files.append(described)
        server.request("DELETE", f"/instances/{id}")
    return sorted(files, key=number_and_class)


def number_and_class(described: dict[str, Any]) -> tuple[str, str]:
    """A series lists its instances by their ids, which are of random UIDs: the first file of a new array and
    that of its parent have the same number and are told apart by their class."""
    return described.get("00200013", ["", ""])[1], described["meta"][0]


def describe(dataset: Dataset, described: dict[str, Any], prefix: str) -> None:
    """Add the elements of a dataset, by their path: VR and value, or the number of items."""
    for tag in sorted(dataset.keys()):
        name, element = f"{prefix}{tag:08x}", cast("DataElement | RawDataElement", dataset.get_item(tag))
        if element.VR == "SQ":
            items = dataset[tag].value
            described[name] = ["SQ", len(items)]
            for index, item in enumerate(items):
                describe(item, described, f"{name}[{index}].")
        elif isinstance(element, RawDataElement):
            value = element.value
            shown = masked(tag, value) if value is not None else "None"
            described[name] = shown if shown in VOLATILE else [element.VR, shown]
        else:
            described[name] = [element.VR, repr(element.value)]


def masked(tag: int, value: bytes) -> str:
    for mask, pattern in VOLATILE.items():
        fits = {"<uid>": tag in IDENTIFIERS, "<uuid>": tag == 0x00100020}.get(mask, True)
        if fits and pattern.fullmatch(value):
            return mask
    return value.decode() if all(32 <= byte < 127 for byte in value) else f"hex:{value.hex()}"
