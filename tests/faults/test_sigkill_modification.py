"""SIGKILL at random moments of jobs that anonymise: each goes on, and makes each instance once."""

import random
import threading
from collections import Counter
from pathlib import Path

import pytest

from tests.support.dicom import make_series
from tests.support.server import Server, check_files_follow, running_server

ROUNDS = 6
INSTANCES = 100
SEED = 20261126


def results(server: Server) -> list[dict[str, str]]:
    return [one for one in server.get("/instances?expand").json() if "AnonymizedFrom" in one]


def fill(server: Server) -> str:
    connection = server.connect()
    for data in make_series(INSTANCES, rows=64, columns=64):
        reply = server.request("POST", "/instances", data, connection=connection)
        assert reply.status == 200
    connection.close()
    return str(reply.json()["ParentStudy"])


@pytest.mark.time_limit(120)
@pytest.mark.parametrize("atomic", [False, True])
def test_a_killed_anonymisation_makes_each_instance_once(tmp_path: Path, atomic: bool) -> None:
    moments = random.Random(SEED)
    with running_server(tmp_path, JobsHistorySize=1000) as server:
        study = fill(server)
        jobs = []
        for _ in range(ROUNDS):
            body = {"Asynchronous": True, "Atomic": atomic}
            jobs.append(server.post(f"/studies/{study}/anonymize", body).json()["ID"])
            threading.Event().wait(moments.uniform(0.0, 0.4))  # the random moment
            server.kill()
            server.start()
        for job in jobs:
            assert server.wait_for_job(job)["State"] == "Success"
        made = results(server)
        sources = Counter(one["AnonymizedFrom"] for one in made)
        assert len(sources) == INSTANCES
        assert set(sources.values()) == {ROUNDS}
        check_files_follow(server)
        assert not list((server.storage / "jobs").iterdir())


@pytest.mark.time_limit(60)
def test_an_atomic_job_that_is_cancelled_after_a_crash_leaves_nothing(tmp_path: Path) -> None:
    with running_server(tmp_path, JobsHistorySize=1000) as server:
        study = fill(server)
        body = {"Asynchronous": True, "Atomic": True}
        job = server.post(f"/studies/{study}/anonymize", body).json()["ID"]
        threading.Event().wait(0.15)
        server.kill()
        server.start()
        server.post(f"/jobs/{job}/cancel")
        ended = server.wait_for_job(job)
        if ended["State"] == "Failure":
            assert results(server) == []
        else:
            assert len(results(server)) == INSTANCES
