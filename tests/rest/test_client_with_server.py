"""The client commands as processes, against the real server."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.dicom import make_instance
from tests.support.server import Server, running_server

PASSWORD = "a:long@password"


def client(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "orthanc_trio", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=15, check=False)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with running_server(tmp_path) as server:
        yield server


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "files"
    folder.mkdir()
    for number in range(1, 4):
        (folder / f"{number}.dcm").write_bytes(make_instance(instance=number))
    (folder / "readme.txt").write_text("no DICOM")
    return folder


@pytest.mark.time_limit(40)
def test_an_upload_and_the_archive_of_it(server: Server, folder: Path) -> None:
    url = f"http://127.0.0.1:{server.port}"

    first, again = (client("upload", url, str(folder)) for _ in range(2))

    assert first.stderr.splitlines() == ["3 stored, 0 already stored, 1 not DICOM, 0 failed"]
    assert again.stderr.splitlines() == ["0 stored, 3 already stored, 1 not DICOM, 0 failed"]
    assert (first.returncode, again.returncode) == (0, 0)
    assert server.get("/statistics").json()["CountInstances"] == 3

    study = server.get("/studies").json()[0]
    job = server.post(f"/studies/{study}/archive", {"Asynchronous": True}).json()["ID"]
    watched = client("jobs", "watch", url, job)

    assert watched.returncode == 0, watched.stderr
    assert watched.stdout.splitlines()[-1] == f"{job} Archive Success 100 %"
    assert client("jobs", "watch", url, "unknown").stderr == "orthanc-trio: The server knows no such job\n"


@pytest.mark.time_limit(40)
def test_the_user_of_the_url_is_used(tmp_path: Path, folder: Path) -> None:
    options: dict[str, Any] = {"AuthenticationEnabled": True, "RegisteredUsers": {"alice": PASSWORD}}
    with running_server(tmp_path, **options) as server:
        place = f"127.0.0.1:{server.port}"

        refused = client("upload", place, str(folder))
        accepted = client("upload", f"http://alice:a%3Along%40password@{place}", str(folder))
        watched = client("jobs", "watch", place)

    assert "refuses the user" in refused.stderr
    assert refused.returncode == 1
    assert re.match("3 stored", accepted.stderr)
    assert watched.returncode == 1
    assert "refuses the user" in watched.stderr
