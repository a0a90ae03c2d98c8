"""SIGKILL on the real server: what was promised of a job holds after it as before."""

from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, Self

import pytest

from tests.support.dicom import make_instance
from tests.support.server import Reply, Server, free_port, running_server


def submit(server: Server, headers: Mapping[str, str] | None = None, **fields: Any) -> Reply:
    """Ask for an archive of the one study."""
    [study] = server.get("/studies").json()
    body = '{"Asynchronous": true' + "".join(f', "{name}": {value}' for name, value in fields.items()) + "}"
    return server.request("POST", f"/studies/{study}/archive", body, headers)


def restart(server: Server) -> None:
    server.kill()
    server.start()


def states(server: Server) -> dict[str, str]:
    return {job["ID"]: job["State"] for job in server.get("/jobs?expand").json()}


def hold(server: Server) -> None:
    assert server.post("/jobs/pause", {"Type": "Archive"}).status == 200


def release(server: Server) -> None:
    assert server.post("/jobs/resume", {"Type": "Archive"}).status == 200


@pytest.mark.time_limit(60)
def test_what_is_held_stays_held_and_runs_when_it_is_released(tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        server.post("/instances", make_instance())
        hold(server)
        job = submit(server).json()["ID"]
        restart(server)
        assert states(server) == {job: "Pending"}
        later = submit(server).json()["ID"]
        assert states(server) == {job: "Pending", later: "Pending"}
        release(server)
        restart(server)
        assert server.wait_for_job(job)["State"] == server.wait_for_job(later)["State"] == "Success"


@pytest.mark.time_limit(60)
def test_a_key_gives_the_same_job_before_and_after(tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        server.post("/instances", make_instance())
        hold(server)
        key = {"Idempotency-Key": "the same"}
        job = submit(server, key).json()["ID"]
        restart(server)
        assert submit(server, key).json()["ID"] == job
        assert submit(server, key, Priority=7).status == 409
        release(server)
        assert server.wait_for_job(job)["State"] == "Success"
        restart(server)
        assert submit(server, key).json()["ID"] == job
        assert list(states(server)) == [job]


@pytest.mark.time_limit(60)
def test_a_job_that_deletes_itself_does_so_and_does_not_come_back(tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        server.post("/instances", make_instance())
        hold(server)
        job = submit(server, AutoDelete="true").json()["ID"]
        restart(server)
        assert states(server) == {job: "Pending"}
        release(server)
        server.wait_until(lambda: not states(server))
        restart(server)
        assert states(server) == {}
        # Done and gone in its submission: the answer comes when that is on the disk.
        job = submit(server, AutoDelete="true").json()["ID"]
        restart(server)
        assert states(server) == {}
        assert server.get(f"/jobs/{job}").status == 404


@pytest.mark.time_limit(60)
def test_a_paused_and_a_cancelled_job_stay_so(tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        server.post("/instances", make_instance())
        hold(server)
        paused, cancelled = (submit(server).json()["ID"] for _ in range(2))
        assert server.post(f"/jobs/{paused}/pause").status == 200
        assert server.post(f"/jobs/{cancelled}/cancel").status == 200
        restart(server)
        release(server)
        assert states(server) == {paused: "Paused", cancelled: "Failure"}
        assert server.get(f"/jobs/{cancelled}").json()["ErrorCode"] == 37
        assert server.post(f"/jobs/{paused}/resume").status == 200
        assert server.wait_for_job(paused)["State"] == "Success"


@pytest.mark.time_limit(60)
def test_the_output_of_a_job_that_was_shown_as_ended_is_there(tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        server.post("/instances", make_instance())
        job = submit(server).json()["ID"]
        data = server.get(f"/jobs/{job}/archive").body
        restart(server)
        assert server.get(f"/jobs/{job}").json()["State"] == "Success"
        reply = server.get(f"/jobs/{job}/archive")
        assert (reply.status, reply.body) == (200, data)


class Ear:
    """Hears webhooks at a port, from when it is entered on."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.deliveries: list[str] = []

    def __enter__(self) -> Self:
        deliveries = self.deliveries

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                deliveries.append(self.headers["X-OrthancTrio-Delivery"])
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = HTTPServer(("127.0.0.1", self.port), Handler)
        self._thread = Thread(target=self._server.serve_forever)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.mark.time_limit(60)
def test_a_retry_goes_on_with_its_next_attempt_and_delivers_once(tmp_path: Path) -> None:
    port = free_port()
    hook = {
        "Url": f"http://127.0.0.1:{port}/",
        "Events": ["NewInstance"],
        "Retry": {"MaxAttempts": 500, "Delay": 0.1, "Backoff": 1},
    }

    def attempt(server: Server) -> int:
        jobs = server.get("/jobs?expand").json()
        return max(
            (job["Content"]["Retry"]["Attempt"] for job in jobs if job["Type"] == "Webhook"), default=0
        )

    with running_server(tmp_path, Webhooks=[hook]) as server:
        server.post("/instances", make_instance())
        server.wait_until(lambda: attempt(server) >= 3)
        before = attempt(server)
        restart(server)
        assert attempt(server) >= before
        with Ear(port) as ear:
            server.wait_until(lambda: bool(ear.deliveries) and not states(server))
            restart(server)
            server.post("/instances", make_instance(instance=2))
            server.wait_until(lambda: len(ear.deliveries) >= 2)
            assert len(ear.deliveries) == len(set(ear.deliveries)) == 2
