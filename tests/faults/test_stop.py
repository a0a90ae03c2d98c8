"""Stopping and starting again: SIGTERM is quick and clean, jobs go on, `--no-jobs` forgets them."""

import io
import json
import time
import zipfile
from pathlib import Path

from tests.support.dicom import make_instance
from tests.support.server import Server, running_server

STOP_LIMIT_S = 4.0  # "a second or two", with room for a loaded machine


def fill(server: Server, count: int = 3) -> str:
    for number in range(count):
        reply = server.post("/instances", make_instance(instance=number + 1))
        assert reply.status == 200
    study: str = server.get("/studies").json()[0]
    return study


def submit_archive(server: Server, study: str) -> str:
    job: str = server.post(f"/studies/{study}/archive", {"Asynchronous": True}).json()["ID"]
    return job


def test_sigterm_stops_within_a_second_or_two(tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        fill(server)
        began = time.monotonic()
        assert server.terminate() == 0
        assert time.monotonic() - began < STOP_LIMIT_S


def test_jobs_and_outputs_are_there_after_a_restart(tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        job_id = submit_archive(server, fill(server))
        before = server.wait_for_job(job_id)
        assert server.terminate() == 0
        server.start()
        after = server.get(f"/jobs/{job_id}").json()
        before.pop("Timestamp"), after.pop("Timestamp")
        assert after == before
        archive = zipfile.ZipFile(io.BytesIO(server.get(f"/jobs/{job_id}/archive").body))
        assert archive.testzip() is None
        assert len(archive.namelist()) == 3


def test_a_paused_job_stays_paused_over_a_restart_and_can_be_resumed(tmp_path: Path) -> None:
    with running_server(tmp_path, ConcurrentJobs=1) as server:
        study = fill(server, 30)
        jobs = [submit_archive(server, study) for _ in range(20)]
        last = jobs[-1]
        assert server.post(f"/jobs/{last}/pause").body == b"{}"
        state = server.get(f"/jobs/{last}").json()["State"]
        server.kill()
        server.start()
        assert server.get(f"/jobs/{last}").json()["State"] == state
        if state == "Paused":
            assert server.post(f"/jobs/{last}/resume").status == 200
        assert server.wait_for_job(last)["State"] == "Success"


def test_no_jobs_starts_without_the_saved_ones(tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        server.wait_for_job(submit_archive(server, fill(server)))
        server.terminate()
        server.start("--no-jobs")
        assert json.loads(server.get("/jobs").body) == []
        assert server.get("/statistics").json()["CountInstances"] == 3
