"""The answers of Orthanc 1.13.0 to the files that come with pydicom, recorded once, are ours as well.

Two files are left out, where ours are better on purpose: SC_rgb_jpeg.dcm, which Orthanc refuses for the
defined length of its pixel data, and chrH32.dcm, whose name in JIS X 0208 it does not decode.
"""

import io
import json
import zipfile
from typing import Any

import pytest

from tests.support.server import Server

from .conftest import GOLDEN

RECORDED: dict[str, Any] = json.loads((GOLDEN / "pydicom_files.json").read_text())
ARCHIVES: dict[str, list[str]] = json.loads((GOLDEN / "archive_names.json").read_text())
UPLOADS = sorted(RECORDED["uploads"])
NOT_COMPARED = {"LastUpdate", "IsStable", "FileUuid"}  # they differ from one run to the next


@pytest.mark.parametrize("name", UPLOADS)
def test_upload_answers_what_orthanc_answers(filled: tuple[Server, dict[str, Any]], name: str) -> None:
    reply, recorded = filled[1][name], RECORDED["uploads"][name]
    assert reply.status == recorded["status"], reply.body
    if reply.status == 200:
        assert reply.json() == recorded["answer"]
    else:
        assert reply.json()["OrthancStatus"] == recorded["code"]
        assert reply.json().get("Details") == recorded["details"]


@pytest.mark.parametrize("path", sorted(RECORDED["resources"]))
def test_resource_is_described_as_orthanc_describes_it(
    filled: tuple[Server, dict[str, Any]], path: str
) -> None:
    described = filled[0].get(path).json()
    assert set(described) >= NOT_COMPARED & set(described)
    shown = {name: value for name, value in described.items() if name not in NOT_COMPARED}
    assert shown == RECORDED["resources"][path]


def names_in_zip(data: bytes) -> list[str]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return sorted(archive.namelist())


@pytest.mark.parametrize("request_line", sorted(ARCHIVES))
def test_archive_has_the_names_that_orthanc_gives(
    filled: tuple[Server, dict[str, Any]], request_line: str
) -> None:
    server = filled[0]
    method, path, *option = request_line.split()
    if path == "/tools/create-archive":
        resources = [
            name.rpartition("/")[2] for name in RECORDED["resources"] if name.startswith("/patients")
        ]
        body = json.dumps({"Resources": resources, "Utf8": bool(option)})
    else:
        body = "{}" if method == "POST" else ""
    reply = server.request(method, path, body or None)
    assert reply.status == 200, reply.body
    assert names_in_zip(reply.body) == ARCHIVES[request_line]
