"""SIGKILL in the middle of a job that moves instances: it goes on, and no instance is lost or doubled."""

import random
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.support.dicom import make_series
from tests.support.server import Server, check_files_follow, running_server

ROUNDS = 3
SEED = 20261126
COUNT = 400


def fill(server: Server) -> list[str]:
    """Store two studies of one patient, and return their identifiers."""
    studies = []
    connection = server.connect()
    for study in (1, 2):
        for data in make_series(COUNT // 2, study=study, series=1):
            reply = server.request("POST", "/instances", data, connection=connection)
        studies.append(reply.json()["ParentStudy"])
    connection.close()
    return studies


def submit_and_kill(server: Server, path: str, body: dict[str, Any], moment_s: float) -> dict[str, Any]:
    """Kill the server some time after it has accepted a job; start it again, and return how the job ends."""
    reply = server.post(path, body | {"Asynchronous": True})
    assert reply.status == 200, reply.body
    threading.Event().wait(moment_s)  # the random moment
    server.kill()
    server.start()
    return server.wait_for_job(reply.json()["ID"])


def check_all_is_there(server: Server, studies: int) -> None:
    statistics = server.get("/statistics").json()
    assert (statistics["CountInstances"], statistics["CountStudies"]) == (COUNT, studies)
    numbers = [tags["InstanceNumber"] for tags in instance_tags(server)]
    assert sorted(numbers, key=int) == sorted([str(n + 1) for n in range(COUNT // 2)] * 2, key=int)


def instance_tags(server: Server) -> list[dict[str, str]]:
    return [instance["MainDicomTags"] for instance in server.get("/instances?expand").json()]


@pytest.mark.time_limit(240)
def test_kill_while_studies_are_merged_and_split(tmp_path: Path) -> None:
    moments = random.Random(SEED)
    with running_server(tmp_path, JobsHistorySize=100) as server:
        target, source = fill(server)
        for _ in range(ROUNDS):
            job = submit_and_kill(
                server, f"/studies/{target}/merge", {"Resources": [source]}, moments.uniform(0, 0.8)
            )
            assert job["State"] == "Success", job
            check_all_is_there(server, studies=1)
            series = server.get(f"/studies/{target}").json()["Series"]
            job = submit_and_kill(
                server, f"/studies/{target}/split", {"Series": series[:1]}, moments.uniform(0, 0.8)
            )
            assert job["State"] == "Success", job
            source = job["Content"]["TargetStudy"]
            check_all_is_there(server, studies=2)
        check_files_follow(server)


@pytest.mark.time_limit(120)
def test_kill_while_a_modified_study_takes_the_place_of_its_source(tmp_path: Path) -> None:
    moments = random.Random(SEED)
    with running_server(tmp_path, JobsHistorySize=100) as server:
        study, _ = fill(server)
        for _ in range(ROUNDS):
            body = {"Replace": {"StudyDescription": "changed"}, "KeepSource": False}
            job = submit_and_kill(server, f"/studies/{study}/modify", body, moments.uniform(0, 0.8))
            assert job["State"] == "Success", job
            study = job["Content"]["ID"]
            check_all_is_there(server, studies=2)
        check_files_follow(server)
