"""Downloads that broke off and are resumed by curl and wget."""

import random
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.dicom import make_instance
from tests.support.server import Server, running_server

NOISE = random.Random(3).randbytes(1 << 21)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(tmp_path_factory.mktemp("server"), SyncStorageArea=False) as running:
        head = make_instance(rows=0)
        running.post("/instances", head + NOISE)
        yield running


@pytest.fixture(scope="module")
def path(server: Server) -> str:
    """The path of a finished archive."""
    study = server.get("/studies").json()[0]
    job = server.post(f"/studies/{study}/archive", {"Asynchronous": True}).json()["ID"]
    assert server.wait_for_job(job)["State"] == "Success"
    return f"/jobs/{job}/archive"


@pytest.fixture(scope="module")
def whole(server: Server, path: str) -> bytes:
    return server.get(path).body


def curl(server: Server, path: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = ["curl", "-sS", *arguments, f"http://127.0.0.1:{server.port}{path}"]
    return subprocess.run(command, capture_output=True, text=True, timeout=10)


@pytest.mark.parametrize("kept", [0, 1, 4096, 1_000_000, -1])
def test_curl_resumes_where_it_stopped(
    server: Server, path: str, whole: bytes, tmp_path: Path, kept: int
) -> None:
    target = tmp_path / "a.zip"
    target.write_bytes(whole[:kept])
    done = curl(server, path, "-C", "-", "-o", target, "-w", "%{http_code}")
    assert (done.returncode, done.stdout) == (0, "206" if kept else "200"), done.stderr
    assert target.read_bytes() == whole


def test_curl_leaves_a_whole_file_as_it_is(server: Server, path: str, whole: bytes, tmp_path: Path) -> None:
    target = tmp_path / "a.zip"
    target.write_bytes(whole)
    done = curl(server, path, "-C", "-", "-o", target, "-w", "%{http_code}")
    assert done.stdout == "416"
    assert target.read_bytes() == whole


@pytest.mark.parametrize(
    ("condition", "status"), [("", "206"), ('"another"', "200"), ("Thu, 01 Jan 2026 00:00:00 GMT", "200")]
)
def test_a_part_of_another_version_is_never_joined(
    server: Server, path: str, whole: bytes, tmp_path: Path, condition: str, status: str
) -> None:
    etag = server.request("HEAD", path).headers["ETag"]
    target = tmp_path / "part"
    header = f"If-Range: {condition or etag}"
    done = curl(server, path, "-H", header, "-r", "100-199", "-o", target, "-w", "%{http_code}")
    assert done.stdout == status
    assert target.read_bytes() == (whole[100:200] if status == "206" else whole)


def test_curl_asks_for_the_head_alone(server: Server, path: str, whole: bytes) -> None:
    head = curl(server, path, "-I", "-D", "-").stdout.lower()
    assert f"content-length: {len(whole)}\n" in head.replace("\r", "")
    assert "accept-ranges: bytes" in head


@pytest.mark.parametrize(("asked", "expected"), [("-10", slice(-10, None)), ("5-", slice(5, None))])
def test_curl_gets_the_ends_of_a_file(
    server: Server, path: str, whole: bytes, tmp_path: Path, asked: str, expected: slice
) -> None:
    target = tmp_path / "part"
    assert curl(server, path, "-f", "-r", asked, "-o", target).returncode == 0
    assert target.read_bytes() == whole[expected]


def test_wget_resumes_too(server: Server, path: str, whole: bytes, tmp_path: Path) -> None:
    if shutil.which("wget") is None:
        pytest.skip("wget is not installed")
    target = tmp_path / "a.zip"
    target.write_bytes(whole[:12_345])
    url = f"http://127.0.0.1:{server.port}{path}"
    subprocess.run(["wget", "-q", "-c", "-O", target, url], check=True, timeout=10)
    assert target.read_bytes() == whole
