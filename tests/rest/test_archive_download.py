"""Downloads of archives that jobs have left: resumed, kept within limits, with a manifest."""

import csv
import hashlib
import http.client
import io
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.support.dicom import make_instance
from tests.support.server import Reply, Server, running_server

UNKNOWN = "00000000-0000-4000-8000-000000000000"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(
        tmp_path_factory.mktemp("server"), MediaArchiveSize=100, JobsHistorySize=100
    ) as server:
        yield server


def upload(server: Server, *instances: bytes) -> dict[str, Any]:
    """Store files and return what was answered to the last one."""
    connection = server.connect()
    for data in instances:
        reply = server.request("POST", "/instances", data, connection=connection)
        assert reply.status == 200, reply
    connection.close()
    stored: dict[str, Any] = reply.json()
    return stored


def noise(number: int, size: int = 2048) -> bytes:
    """Return an instance of `size` x `size` pixels that no codec makes smaller."""
    pixels = Random(number).randbytes(2 * size * size)
    return make_instance(instance=number, rows=size, columns=size, PixelData=pixels)


def archived(server: Server, study: str, **fields: Any) -> str:
    """Have an archive made, and return the path of its job."""
    job = server.post(f"/studies/{study}/archive", {"Asynchronous": True, **fields}).json()["ID"]
    assert server.wait_for_job(job)["State"] == "Success"
    return f"/jobs/{job}"


@pytest.fixture(scope="module")
def study(server: Server) -> str:
    return str(upload(server, noise(1, 512), noise(2, 512))["ParentStudy"])


@pytest.fixture(scope="module")
def job(server: Server, study: str) -> str:
    return archived(server, study)


def ask(server: Server, path: str, method: str = "GET", **headers: str) -> Reply:
    return server.request(
        method, path, None, {name.replace("_", "-"): text for name, text in headers.items()}
    )


def test_a_download_tells_how_it_can_be_resumed(server: Server, job: str) -> None:
    whole = server.get(f"{job}/archive")
    assert zipfile.ZipFile(io.BytesIO(whole.body)).testzip() is None
    assert whole.headers["Accept-Ranges"] == "bytes"
    assert whole.headers["Content-Length"] == str(len(whole.body))
    etag = whole.headers["ETag"]
    assert (etag[0], etag[-1]) == ('"', '"')
    first = ask(server, f"{job}/archive", Range="bytes=0-999999")
    rest = ask(server, f"{job}/archive", Range="bytes=1000000-", If_Range=etag)
    assert (first.status, rest.status, first.body + rest.body) == (206, 206, whole.body)
    assert rest.headers["Content-Range"] == f"bytes 1000000-{len(whole.body) - 1}/{len(whole.body)}"
    assert rest.headers["ETag"] == etag
    assert ask(server, f"{job}/archive", Range="bytes=1-", If_Range='"other"') == whole
    assert ask(server, f"{job}/archive", Range="bytes=-10").body == whole.body[-10:]
    beyond = ask(server, f"{job}/archive", Range="bytes=999999999-")
    assert (beyond.status, beyond.json()["OrthancStatus"]) == (416, 41)
    assert beyond.headers["Content-Range"] == f"bytes */{len(whole.body)}"
    assert ask(server, f"{job}/archive", If_None_Match=etag).status == 304


def test_head_tells_the_same_without_the_body(server: Server, job: str) -> None:
    reply = ask(server, f"{job}/archive", "HEAD")
    assert reply == (200, server.get(f"{job}/archive").headers, b"")


@pytest.mark.parametrize("path", [f"/jobs/{UNKNOWN}/archive", "{job}/unknown", "/jobs/x/y"])
def test_what_is_not_there_is_404(server: Server, job: str, path: str) -> None:
    path = path.format(job=job)
    assert server.get(path).json()["HttpStatus"] == 404
    reply = ask(server, path, "HEAD")
    assert (reply.status, reply.body) == (404, b"")


def test_a_deleted_output_is_404(server: Server, study: str) -> None:
    path = f"{archived(server, study)}/archive"
    assert ask(server, path, "DELETE").status == 200
    for method in ("GET", "HEAD"):
        assert ask(server, path, method).status == 404


def test_an_archive_with_an_empty_name_has_none(server: Server, study: str) -> None:
    reply = server.get(f"{archived(server, study, Filename='')}/archive")
    assert (reply.status, reply.headers.get("Content-Disposition")) == (200, None)


def test_every_archive_has_a_tag_of_its_own(server: Server, study: str, job: str) -> None:
    other = archived(server, study)
    tags = [ask(server, f"{each}/archive", "HEAD").headers["ETag"] for each in (job, other, job)]
    assert tags[0] == tags[2] != tags[1]


def read_some(server: Server, path: str, size: int) -> bytes:
    """Begin a download and break it off."""
    connection = server.connect()
    connection.request("GET", path)
    data = connection.getresponse().read(size)
    connection.close()
    return data


@pytest.mark.time_limit(60)
def test_a_download_that_broke_is_resumed_after_a_crash(tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        study = upload(server, *(noise(number) for number in range(1, 5)))["ParentStudy"]
        path = f"{archived(server, study)}/archive"
        etag = ask(server, path, "HEAD").headers["ETag"]
        data = read_some(server, path, 10_000_000)
        server.kill()
        server.start()
        while (reply := ask(server, path, Range=f"bytes={len(data)}-", If_Range=etag)).status == 206:
            data += reply.body[:10_000_000]
            if len(data) == int(reply.headers["Content-Range"].rpartition("/")[2]):
                break
        assert reply.status == 206
        assert zipfile.ZipFile(io.BytesIO(data)).testzip() is None


@pytest.mark.time_limit(60)
def test_old_and_large_archives_make_place_and_that_is_saved(tmp_path: Path) -> None:
    limits: dict[str, Any] = {
        "MediaArchiveSize": 100,
        "MediaArchiveMaximumSize": 20,
        "MediaArchiveTimeToLive": 2,
    }
    with running_server(tmp_path, **limits) as server:
        study = upload(server, noise(1))["ParentStudy"]
        jobs = [archived(server, study) for _ in range(3)]
        begun = time.monotonic()
        assert [ask(server, f"{job}/archive", "HEAD").status for job in jobs] == [404, 200, 200]
        last = f"{jobs[2]}/archive"
        while ask(server, last, "HEAD").status == 200:
            assert time.monotonic() - begun < 5
            time.sleep(0.02)
        assert time.monotonic() - begun > 1
        assert {server.get(job).json()["State"] for job in jobs} == {"Success"}
        assert server.terminate() == 0
        assert list((server.storage / "jobs").iterdir()) == []
        server.start()
        assert [ask(server, f"{job}/archive").status for job in jobs] == [404] * 3


def check_manifest(data: bytes) -> list[list[str]]:
    """Check the manifest of a ZIP against its other members; return its rows."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        *names, last = archive.namelist()
        assert last == "manifest.csv"
        head, *rows = csv.reader(io.StringIO(archive.read(last).decode(), newline=""), strict=True)
        assert head == ["Path", "SOPInstanceUID", "Size", "SHA256"]
        contents = [archive.read(name) for name in names]
        assert [[row[0], *row[2:]] for row in rows] == [
            [name, str(len(content)), hashlib.sha256(content).hexdigest()]
            for name, content in zip(names, contents, strict=True)
        ]
        return rows


@pytest.mark.parametrize("word", ["archive", "media"])
@pytest.mark.parametrize("level", ["patients", "studies", "series"])
@pytest.mark.parametrize("is_asynchronous", [False, True])
def test_each_level_has_a_manifest_on_request(
    server: Server, study: str, level: str, word: str, is_asynchronous: bool
) -> None:
    id = server.get(f"/studies/{study}").json() if level != "series" else {}
    found = {"patients": id.get("ParentPatient"), "studies": study}.get(level)
    found = found or server.get(f"/studies/{study}").json()["Series"][0]
    reply = server.post(f"/{level}/{found}/{word}", {"Asynchronous": is_asynchronous, "Manifest": True})
    if is_asynchronous:
        job = reply.json()["ID"]
        assert server.wait_for_job(job)["State"] == "Success"
        reply = server.get(f"/jobs/{job}/archive")
    assert len(check_manifest(reply.body)) == (3 if word == "media" else 2)


@pytest.mark.parametrize("tool", ["create-archive", "create-media", "create-media-extended"])
def test_each_tool_has_a_manifest_on_request(server: Server, study: str, tool: str) -> None:
    instances = server.get(f"/studies/{study}/instances").json()
    body = {"Resources": [instance["ID"] for instance in instances], "Manifest": True}
    rows = check_manifest(server.post(f"/tools/{tool}", body).body)
    uids = {instance["MainDicomTags"]["SOPInstanceUID"] for instance in instances}
    assert uids <= {row[1] for row in rows}
    assert len(rows) == (2 if tool == "create-archive" else 3)


def test_a_manifest_must_be_asked_for_by_a_boolean(server: Server, study: str) -> None:
    refused = server.post(f"/studies/{study}/archive", {"Manifest": 1})
    assert (refused.status, refused.json()["OrthancStatus"]) == (400, 15)
    assert refused.json()["Details"] == "Boolean value expected in field: Manifest"
    reply = server.post(f"/studies/{study}/archive", {"Manifest": False})
    assert "manifest.csv" not in zipfile.ZipFile(io.BytesIO(reply.body)).namelist()


@pytest.mark.time_limit(60)
def test_a_manifest_survives_kills(tmp_path: Path) -> None:
    with running_server(tmp_path, SyncStorageArea=False) as server:
        instances = [noise(number) for number in range(1, 5)]
        study = upload(server, *instances, make_instance(instance=5).ljust(40 << 20, b"\0"))["ParentStudy"]
        body = {"Asynchronous": True, "Manifest": True}
        job = server.post(f"/studies/{study}/archive", body).json()["ID"]
        kills = 0
        rows = server.storage / "jobs" / f"{job}.archive-manifest"
        known = -1
        while server.get(f"/jobs/{job}").json()["State"] != "Success":
            # A side file that has grown tells of a boundary.
            if kills < 3 and rows.exists() and rows.stat().st_size > known:
                known = rows.stat().st_size
                server.kill()
                server.start()
                kills += 1
        assert kills > 0
        assert len(check_manifest(server.get(f"/jobs/{job}/archive").body)) == 5


def test_the_server_of_the_tests_has_no_error_in_its_log(server: Server) -> None:
    assert "Traceback" not in server.log.read_text()


def test_http_10_has_ranges_too(server: Server, job: str) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    connection._http_vsn, connection._http_vsn_str = 10, "HTTP/1.0"  # type: ignore[attr-defined]
    reply = server.request("GET", f"{job}/archive", None, {"Range": "bytes=5-9"}, connection=connection)
    assert (reply.status, len(reply.body)) == (206, 5)
    connection.close()
