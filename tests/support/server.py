"""The real server in a process of its own, for tests that kill it, fill its disk or are its clients."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from .forked_process import ForkedProcess

START_TIMEOUT_S = 20.0


class Reply(NamedTuple):
    """One answer of the server."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server:
    """A running server; `request` opens a connection each time unless one is given."""

    def __init__(self, folder: Path, options: Mapping[str, Any], *, prefix: tuple[str, ...] = ()) -> None:
        self.folder = folder
        self.port = free_port()
        self.configuration = folder / "configuration.json"
        defaults = {"HttpPort": self.port, "StorageDirectory": "storage", "DicomServerEnabled": False}
        self.configuration.write_text(json.dumps(defaults | dict(options)))
        self.log = folder / "log.txt"
        self._prefix = prefix
        self._process: subprocess.Popen[bytes] | ForkedProcess | None = None

    @property
    def process(self) -> "subprocess.Popen[bytes] | ForkedProcess":
        assert self._process is not None
        return self._process

    @property
    def storage(self) -> Path:
        return self.folder / "storage"

    def start(self, *arguments: str) -> None:
        arguments = (*arguments, str(self.configuration))
        if self._process is None or self._prefix:
            command = [*self._prefix, sys.executable, "-m", "orthanc_trio", *arguments]
            with self.log.open("ab") as log:
                self._process = subprocess.Popen(command, cwd=self.folder, stdout=log, stderr=log)
        else:
            # Most of what a start takes is the import of libraries, which the first start has shown to work.
            self._process = ForkedProcess(arguments, self.folder, self.log)
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._is_listening():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"the server did not start:\n{self.log.read_text()[-4000:]}")
            self._wait_a_little()

    def _is_listening(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    @staticmethod
    def _wait_a_little() -> None:
        # The only way to see another process become ready is to look again.
        time.sleep(0.02)

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(10)

    def terminate(self, timeout_s: float = 10) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout_s)

    def close(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self.kill()

    def connect(self, timeout_s: float = 10) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout_s)

    def request(
        self,
        method: str,
        path: str,
        body: bytes | str | None = None,
        headers: Mapping[str, str] | None = None,
        connection: http.client.HTTPConnection | None = None,
    ) -> Reply:
        used = connection or self.connect()
        try:
            used.request(method, path, body, dict(headers or {}))
            answer = used.getresponse()
            return Reply(answer.status, dict(answer.getheaders()), answer.read())
        finally:
            if connection is None:
                used.close()

    def get(self, path: str) -> Reply:
        return self.request("GET", path)

    def post(self, path: str, body: bytes | str | Mapping[str, Any] = b"") -> Reply:
        return self.request("POST", path, body if isinstance(body, bytes | str) else json.dumps(body))

    def wait_until(self, condition: Callable[[], bool]) -> None:
        """Ask again until something holds, for at most 20 s."""
        deadline = time.monotonic() + 20
        while not condition():
            assert time.monotonic() < deadline, self.log.read_text()[-4000:]
            self._wait_a_little()

    def wait_for_job(self, job_id: str, states: tuple[str, ...] = ("Success", "Failure")) -> dict[str, Any]:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            job: dict[str, Any] = self.get(f"/jobs/{job_id}").json()
            if job["State"] in states:
                return job
            self._wait_a_little()
        raise AssertionError(f"the job did not end: {job}")


@contextmanager
def running_server(
    folder: Path, *arguments: str, prefix: tuple[str, ...] = (), **options: Any
) -> Iterator[Server]:
    server = Server(folder, options, prefix=prefix)
    try:
        server.start(*arguments)
        yield server
    finally:
        server.close()


def stored_files(server: Server) -> set[str]:
    """The keys of all files in the storage area, settled or not.

    A file may be settled meanwhile, which moves it: so those that are not are listed first; none is missed.
    """
    incoming = server.storage / "incoming"
    walks = (os.walk(folder) for folder in (incoming, server.storage))
    return {
        name
        for walk in walks
        for root, _, names in walk
        for name in names
        if len(name) == 36 and Path(root).name != "jobs"
    }


def check_files_follow(server: Server) -> None:
    """Each file has its row, soon: those of deleted or repeated instances are removed in the background."""
    rows = {instance["FileUuid"] for instance in server.get("/instances?expand").json()}
    server.wait_until(lambda: stored_files(server) <= rows)
    assert stored_files(server) == rows
