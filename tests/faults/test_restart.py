"""The server ends, or begins anew in the same process, when a client or a signal asks for it."""

import contextlib
import http.client
import json
import signal
from pathlib import Path

from tests.support.dicom import make_instance
from tests.support.server import Server, running_server


def rename(server: Server, text: str) -> None:
    """Change the name in the configuration file: `text` is JSON, perhaps broken."""
    options = json.loads(server.configuration.read_text())
    server.configuration.write_text(json.dumps(options)[:-1] + f', "Name": {text}}}')


def wait_for_name(server: Server, name: str) -> None:
    def has_name() -> bool:
        with contextlib.suppress(OSError, http.client.HTTPException):
            return bool(server.get("/system").json()["Name"] == name)
        return False

    server.wait_until(has_name)


def test_a_reset_reads_the_configuration_and_keeps_data_and_jobs(tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        id = server.post("/instances", make_instance()).json()["ID"]
        job = server.post("/tools/create-archive", {"Resources": [id], "Asynchronous": True}).json()["ID"]
        server.wait_for_job(job)
        rename(server, '"Second"')

        reply = server.post("/tools/reset")

        assert (reply.status, reply.body, reply.headers["Content-Type"]) == (200, b"{}", "application/json")
        wait_for_name(server, "Second")
        assert server.process.poll() is None
        assert server.get("/instances").json() == [id]
        assert server.get(f"/jobs/{job}").json()["State"] == "Success"
        assert server.get(f"/jobs/{job}/archive").body.startswith(b"PK")
        assert server.terminate() == 0


def test_a_hangup_is_a_reset(tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        rename(server, '"Second"')
        server.process.send_signal(signal.SIGHUP)
        wait_for_name(server, "Second")


def test_a_broken_configuration_leaves_the_former_one(tmp_path: Path) -> None:
    with running_server(tmp_path, "--verbose", Name="First") as server:
        server.configuration.write_text("{broken")
        server.request("PUT", "/tools/default-encoding", "Utf8")
        server.post("/tools/reset")
        server.wait_until(lambda: "stays as it was" in server.log.read_text())
        wait_for_name(server, "First")
        assert server.get("/tools/default-encoding").body == b"Latin1"


def test_a_shutdown_ends_the_process(tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        reply = server.post("/tools/shutdown")
        assert (reply.status, reply.body) == (200, b"{}")
        assert server.process.wait(10) == 0
