"""Archives that are streamed to their caller: slow clients, clients that leave, jobs that end badly."""

import io
import os
import socket
import struct
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.support.dicom import make_instance
from tests.support.server import Server, running_server

INSTANCES = 20
PIXELS = 2 * 2048 * 2048
LEFT = "Cannot add new file inside ZIP archive - error code = -1"
RESET = struct.pack("ii", 1, 0)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with a study of 160 MiB that no codec makes smaller."""
    with running_server(tmp_path_factory.mktemp("server"), SyncStorageArea=False) as server:
        noise = Random(1).randbytes(PIXELS)
        connection = server.connect()
        for number in range(1, INSTANCES + 1):
            data = make_instance(instance=number, rows=2048, columns=2048, PixelData=noise)
            assert server.request("POST", "/instances", data, connection=connection).status == 200
        connection.close()
        yield server


@pytest.fixture
def study(server: Server) -> str:
    return str(server.get("/studies").json()[0])


class Download:
    """A raw connection on which an archive is asked for, and what the server says of the job."""

    def __init__(self, server: Server, path: str) -> None:
        self.server = server
        known = set(server.get("/jobs").json())
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)
        self.socket.settimeout(10)
        self.socket.connect(("127.0.0.1", server.port))
        self.socket.sendall(f"GET {path} HTTP/1.1\r\nHost: test\r\n\r\n".encode())
        self.job = wait_until(lambda: next(iter(set(server.get("/jobs").json()) - known), None), 5)

    def view(self) -> dict[str, Any]:
        view: dict[str, Any] = self.server.get(f"/jobs/{self.job}").json()
        return view

    def wait_begun(self) -> bytes:
        """Return the first bytes that come."""
        return self.socket.recv(4096)

    def wait_stalled(self) -> int:
        """Return how much of the archive was made when no more is."""
        sizes = [-1, -2]
        while len(set(sizes[-5:])) > 1:
            sizes.append(int(self.view()["Content"]["ArchiveSize"]))
            time.sleep(0.1)
        return sizes[-1]

    def read_into(self, end: bytearray) -> None:
        """Read until the server ends the connection, and keep the last bytes."""
        while piece := self.socket.recv(1 << 20):
            end += piece
            del end[:-100]


def wait_until(found: Callable[[], Any], seconds: float) -> Any:
    deadline = time.monotonic() + seconds
    while not (value := found()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return value


@contextmanager
def download(server: Server, path: str) -> Iterator[Download]:
    begun = Download(server, path)
    try:
        yield begun
    finally:
        begun.socket.close()


def peak_memory(server: Server) -> int:
    """Return the most memory that the server ever had, in bytes."""
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    (line,) = [line for line in status.splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) * 1024


def end_of(job: Download) -> tuple[str, int, str]:
    view = job.view()
    return view["State"], view["ErrorCode"], view["ErrorDetails"]


@pytest.mark.time_limit(30)
def test_a_slow_client_stops_the_reading_and_costs_no_memory(server: Server, study: str) -> None:
    before = peak_memory(server)
    with download(server, f"/studies/{study}/archive") as slow:
        begun = slow.wait_begun()
        assert begun.startswith(b"HTTP/1.1 200 OK\r\n")
        assert slow.wait_stalled() < INSTANCES * PIXELS // 2
        assert end_of(slow)[0] == "Running"
        assert peak_memory(server) - before < 64 << 20
        body = b""
        while not body.endswith(b"\r\n0\r\n\r\n"):
            body = (body + slow.socket.recv(1 << 20))[-100:]
    wait_until(lambda: end_of(slow) == ("Success", 0, ""), 5)
    assert peak_memory(server) - before < 64 << 20


@pytest.mark.parametrize("how", ["close", "reset", "half-close"])
def test_a_client_that_leaves_ends_the_job_soon(server: Server, study: str, how: str) -> None:
    with download(server, f"/studies/{study}/archive") as left:
        left.wait_begun()
        if how == "half-close":
            left.socket.shutdown(socket.SHUT_WR)
        elif how == "reset":
            left.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            left.socket.close()
        else:
            left.socket.close()
        # Less than a second on a machine that has nothing else to do.
        wait_until(lambda: end_of(left) == ("Failure", 14, LEFT), 5)


def test_a_client_that_leaves_before_its_job_began_ends_it_too(server: Server, study: str) -> None:
    path = f"/studies/{study}/archive"
    with download(server, path) as first, download(server, path) as second:
        for busy in (first, second):
            busy.wait_begun()
        with download(server, path) as waiting:
            assert end_of(waiting)[0] == "Pending"
        wait_until(lambda: end_of(waiting)[0] == "Failure", 1)


def check_broken_off(broken: Download) -> None:
    """Check that the connection is reset, and that the end of the body never came."""
    body = bytearray()
    with pytest.raises(ConnectionResetError):
        broken.read_into(body)
    assert not body.endswith(b"0\r\n\r\n")


def test_a_job_that_is_cancelled_midway_breaks_the_connection(server: Server, study: str) -> None:
    with download(server, f"/studies/{study}/archive") as broken:
        broken.wait_begun()
        broken.wait_stalled()
        assert server.post(f"/jobs/{broken.job}/cancel").status == 200
        wait_until(lambda: end_of(broken)[:2] == ("Failure", 37), 1)
        check_broken_off(broken)


def test_a_job_that_fails_midway_breaks_the_connection(tmp_path: Path) -> None:
    with running_server(tmp_path, SyncStorageArea=False) as server:
        data = make_instance().ljust(20 << 20, b"\0") + Random(1).randbytes(60 << 20)
        study = server.request("POST", "/instances", data).json()["ParentStudy"]
        (uuid,) = [each["FileUuid"] for each in server.get("/instances?expand").json()]
        with download(server, f"/studies/{study}/archive") as broken:
            broken.wait_begun()
            broken.wait_stalled()
            os.truncate(next(server.storage.rglob(uuid)), 1 << 20)
            check_broken_off(broken)
        wait_until(lambda: end_of(broken)[0] == "Failure", 1)
        assert end_of(broken)[1] != 0


@pytest.mark.parametrize("is_streamed", [True, False])
def test_a_history_of_no_job_breaks_no_stream(tmp_path: Path, is_streamed: bool) -> None:
    options: dict[str, Any] = {"JobsHistorySize": 0, "SynchronousZipStream": is_streamed}
    with running_server(tmp_path, **options) as server:
        study = server.request("POST", "/instances", make_instance()).json()["ParentStudy"]
        reply = server.get(f"/studies/{study}/archive")
        if is_streamed:
            assert zipfile.ZipFile(io.BytesIO(reply.body)).testzip() is None
        else:
            assert (reply.status, reply.json()["OrthancStatus"]) == (404, 7)


def test_a_comma_may_end_a_list_of_resources(tmp_path: Path) -> None:
    with running_server(tmp_path, SyncStorageArea=False) as server:
        study = server.request("POST", "/instances", make_instance()).json()["ParentStudy"]
        for text, status in (("", 200), (f"{study},", 200), (f"{study},,", 404), (f",{study}", 404)):
            assert server.get(f"/tools/create-archive?resources={text}").status == status


@pytest.mark.parametrize(("is_streamed", "disposition"), [(True, 'filename=""'), (False, None)])
def test_an_empty_name_is_only_told_of_a_stream(
    tmp_path: Path, is_streamed: bool, disposition: str | None
) -> None:
    with running_server(tmp_path, SynchronousZipStream=is_streamed) as server:
        study = server.request("POST", "/instances", make_instance()).json()["ParentStudy"]
        for reply in (
            server.get(f"/studies/{study}/archive?filename="),
            server.post(f"/studies/{study}/archive", {"Filename": ""}),
        ):
            assert (reply.status, reply.headers.get("Content-Disposition")) == (200, disposition)
        job = server.post(f"/studies/{study}/archive", {"Asynchronous": True, "Filename": ""}).json()["ID"]
        server.wait_for_job(job)
        assert "Content-Disposition" not in server.get(f"/jobs/{job}/archive").headers


def test_a_client_that_leaves_while_the_zip_is_spooled_ends_the_job(tmp_path: Path) -> None:
    with running_server(tmp_path, SyncStorageArea=False, SynchronousZipStream=False) as server:
        noise = Random(1).randbytes(PIXELS)
        for number in range(1, INSTANCES + 1):
            data = make_instance(instance=number, rows=2048, columns=2048, PixelData=noise)
            study = server.request("POST", "/instances", data).json()["ParentStudy"]
        with download(server, f"/studies/{study}/archive") as left:
            # A reset, since a client that only ends its sending may still want the answer.
            left.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            left.socket.close()
            wait_until(lambda: end_of(left) == ("Failure", 14, LEFT), 5)
