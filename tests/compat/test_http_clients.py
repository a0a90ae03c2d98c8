"""What plain HTTP clients meet: curl with its habits, DCMTK on what was downloaded, unzip on archives."""

import json
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.dicom import make_instance
from tests.support.server import Server, running_server

STUDY_OF_TEST = {"patient_id": "P-compat", "patient_name": "Doe^Jane"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(tmp_path_factory.mktemp("clients"), SyncStorageArea=False) as running:
        for number in range(3):
            running.post("/instances", make_instance(instance=number + 1, **STUDY_OF_TEST))
        yield running


def curl(server: Server, path: str, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    url = f"http://127.0.0.1:{server.port}{path}"
    return subprocess.run(["curl", "-sS", "-i", *arguments, url], capture_output=True, timeout=10, check=True)


def head_and_body(output: bytes) -> tuple[list[str], bytes]:
    head, _, body = output.partition(b"\r\n\r\n")
    return head.decode().split("\r\n"), body


ERRORS: list[tuple[str, str, str | None, int, int | None, str | None]] = [
    # method, path, body, HTTP status, Orthanc status (None: empty body), details
    ("GET", "/nope", None, 404, 17, None),
    ("GET", "/studies/x", None, 404, None, None),
    ("GET", "/studies/x/series", None, 404, 17, None),
    ("GET", "/instances/x/file", None, 404, 17, None),
    ("DELETE", "/studies/x", None, 404, None, None),
    ("GET", "/jobs/x", None, 404, 7, "No job found with this id: x"),
    ("DELETE", "/jobs/x", None, 404, 7, "No job found with this id: x"),
    ("GET", "/jobs/x/archive", None, 404, 7, "Job has no such output: archive"),
    ("POST", "/jobs/x/cancel", "", 400, 6, "There is no such job"),
    ("POST", "/jobs/x/resume", "", 400, 6, "There is no such job"),
    ("GET", "/studies?since=0", None, 400, 8, 'Missing "limit" argument for GET request against: /studies/'),
    ("GET", "/studies?since=a&limit=1", None, 400, 5, "Syntax error in some user-supplied data"),
    ("GET", "/studies?expand=foo", None, 400, 3, 'Expected a Boolean for GET argument "expand", found: foo'),
    ("GET", "/changes?type=Foo", None, 400, 3, "Invalid value for a change: Foo"),
    ("POST", "/instances", "", 400, 15, "Received an empty DICOM file"),
    ("POST", "/instances", "abc", 400, 15, "Cannot parse an invalid DICOM file (size: 3 bytes)"),
    ("GET", "/studies/x/archive", None, 404, 7, "Missing resource while creating an archive: x"),
    ("GET", "/tools/create-archive", None, 400, 8, "Missing resources argument"),
    ("GET", "/tools/create-archive?resources=x", None, 404, 17, None),
    ("GET", "/tools/create-archive?resources=,", None, 404, 17, None),
    ("POST", "/tools/create-archive", "null", 400, 15, None),
    ("POST", "/tools/create-archive", "{}", 400, 15, "Missing field Resources in the JSON body"),
    ("POST", "/tools/create-archive", "[1]", 400, 15, "Expected a list of strings (Orthanc identifiers)"),
    ("POST", "/tools/create-archive", "", 400, 15, "Expected a list of resources to archive in the body"),
    ("PUT", "/system", "x", 405, None, None),
    ("HEAD", "/system", None, 404, None, None),
    ("OPTIONS", "/system", None, 404, None, None),
    ("PATCH", "/system", None, 400, None, None),
]


# Orthanc answers these with the same status and an empty body; ours says why, as JSON.
REASONED = {("GET", "/jobs/x"), ("POST", "/jobs/x/cancel"), ("POST", "/jobs/x/resume")}


@pytest.mark.parametrize(("method", "path", "body", "status", "code", "details"), ERRORS)
def test_error_answers(
    server: Server,
    method: str,
    path: str,
    body: str | None,
    status: int,
    code: int | None,
    details: str | None,
) -> None:
    reply = server.request(method, path, body)
    assert reply.status == status
    if code is None:
        assert reply.body == b""
        return
    is_empty_in_orthanc = (method, path) in REASONED
    assert reply.headers["Content-Type"] == ("application/json" if is_empty_in_orthanc else "text/plain")
    error = reply.json()
    assert error["OrthancStatus"] == code
    assert error["HttpStatus"] == status
    assert error["Uri"] == path.partition("?")[0]
    assert error["Method"] == method
    assert error.get("Details") == details


ARCHIVE_ERRORS = [
    ("", None),
    ("nonsense", None),
    ('{"Asynchronous": "x"}', "Boolean value expected in field: Asynchronous"),
    ('{"Synchronous": 1}', "Boolean value expected in field: Synchronous"),
    ('{"Priority": "a"}', "Integer value expected in field: Priority"),
    ('{"Priority": 1.5}', "Integer value expected in field: Priority"),
    ('{"Transcode": 1}', "String value expected in field: Transcode"),
]


@pytest.mark.parametrize(("body", "details"), ARCHIVE_ERRORS)
def test_a_bad_archive_request_makes_no_job(server: Server, body: str, details: str | None) -> None:
    study = server.get("/studies").json()[0]
    before = server.get("/jobs").json()
    reply = server.post(f"/studies/{study}/archive", body)
    assert (reply.status, reply.json()["OrthancStatus"]) == (400, 15)
    assert reply.json().get("Details") == details
    assert server.get("/jobs").json() == before


def test_curl_sees_the_headers_of_orthanc(server: Server) -> None:
    head, body = head_and_body(curl(server, "/statistics").stdout)
    assert head[0] == "HTTP/1.1 200 OK"
    assert "Content-Type: application/json; charset=utf-8" in head
    assert "X-Content-Type-Options: nosniff" in head
    assert f"Content-Length: {len(body)}" in head
    assert not any(line.lower().startswith(("server:", "date:")) for line in head)


@pytest.mark.parametrize("path", ["//system", "/system/", "//system//", "/studies/../system"])
def test_doubled_and_trailing_slashes_are_the_same_resource(server: Server, path: str) -> None:
    output = curl(server, path, "--path-as-is").stdout
    assert json.loads(head_and_body(output)[1])["Version"] == "1.13.0"


@pytest.mark.parametrize("path", ["/system", "/studies?expand", "/jobs", "/nope", "/studies/x"])
def test_connection_close_closes_the_connection(server: Server, path: str) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=3) as raw:
        raw.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        received = b""
        while piece := raw.recv(65536):
            received += piece
    assert b"Connection: close" in received


def test_an_archive_over_http_1_0_ends_with_the_connection(server: Server) -> None:
    study = server.get("/studies").json()[0]
    output = curl(server, f"/studies/{study}/archive", "--http1.0").stdout
    head, body = head_and_body(output)
    assert not any(line.startswith("Transfer-Encoding") for line in head)
    assert body.startswith(b"PK")


def test_unzip_accepts_the_streamed_archive(server: Server, tmp_path: Path) -> None:
    study = server.get("/studies").json()[0]
    (tmp_path / "a.zip").write_bytes(server.get(f"/studies/{study}/archive").body)
    checked = subprocess.run(["unzip", "-t", str(tmp_path / "a.zip")], capture_output=True, check=False)
    assert checked.returncode == 0, checked.stdout


def test_dcmdump_reads_the_downloaded_file(server: Server, tmp_path: Path) -> None:
    instance = server.get("/instances").json()[0]
    (tmp_path / "a.dcm").write_bytes(server.get(f"/instances/{instance}/file").body)
    dump = subprocess.run(["dcmdump", str(tmp_path / "a.dcm")], capture_output=True, check=True, text=True)
    assert "P-compat" in dump.stdout


def test_dcmdump_reads_the_dicomdir_of_a_medium(server: Server, tmp_path: Path) -> None:
    study = server.get("/studies").json()[0]
    (tmp_path / "m.zip").write_bytes(server.get(f"/studies/{study}/media").body)
    subprocess.run(["unzip", "-q", str(tmp_path / "m.zip"), "-d", str(tmp_path)], check=True)
    dump = subprocess.run(
        ["dcmdump", str(tmp_path / "DICOMDIR")], capture_output=True, check=True, text=True
    ).stdout
    assert "ORTHANC_MEDIA" in dump
    assert dump.count("ReferencedFileID") == 3


def test_credentials_are_sent_only_after_a_challenge(tmp_path: Path) -> None:
    options: dict[str, Any] = {"AuthenticationEnabled": True, "RegisteredUsers": {"alice": "wonder land"}}
    with running_server(tmp_path, **options) as secured:
        head, body = head_and_body(curl(secured, "/system").stdout)
        assert head[0] == "HTTP/1.1 401 Unauthorized"
        assert 'WWW-Authenticate: Basic realm="Orthanc Secure Area"' in head
        assert body == b""
        output = curl(secured, "/system", "--anyauth", "--user", "alice:wonder land").stdout
        assert b"HTTP/1.1 401" in output
        assert b"HTTP/1.1 200 OK" in output
        wrong = curl(secured, "/system", "--anyauth", "--user", "alice:other").stdout
        assert b"HTTP/1.1 200" not in wrong
