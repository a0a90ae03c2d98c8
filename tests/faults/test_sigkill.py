"""SIGKILL at random moments under load loses nothing that was answered and leaves nothing half-done."""

import http.client
import random
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.support.dicom import make_instance
from tests.support.server import Server, check_files_follow, running_server

ROUNDS = 50
SEED = 20260101


class Load:
    """Clients that upload and submit until the server dies, and remember what was answered."""

    def __init__(self, server: Server, round_number: int) -> None:
        self._server = server
        self._round = round_number
        self.instances: dict[str, bytes] = {}
        self.jobs: list[str] = []
        self.first_answer = threading.Event()

    def upload(self, client: int) -> None:
        connection = self._server.connect()
        try:
            for number in range(100_000):
                data = make_instance(
                    patient_id=f"P{self._round}",
                    study=self._round + 1,
                    series=client + 1,
                    instance=number + 1,
                )
                reply = self._server.request("POST", "/instances", data, connection=connection)
                assert reply.status == 200, reply
                self.instances[reply.json()["ID"]] = data
                self.first_answer.set()
        except (OSError, http.client.HTTPException):
            pass  # the server was killed
        finally:
            connection.close()

    def submit(self, studies: list[str]) -> None:
        connection = self._server.connect()
        try:
            for number in range(100_000):
                path = f"/studies/{studies[number % len(studies)]}/archive"
                reply = self._server.request("POST", path, '{"Asynchronous": true}', connection=connection)
                assert reply.status == 200, reply
                self.jobs.append(reply.json()["ID"])
        except (OSError, http.client.HTTPException):
            pass
        finally:
            connection.close()


def run_load(server: Server, load: Load, studies: list[str], kill_after_s: float) -> None:
    threads = [threading.Thread(target=load.upload, args=(client,)) for client in range(2)]
    if studies:
        threads.append(threading.Thread(target=load.submit, args=(studies,)))
    for thread in threads:
        thread.start()
    assert load.first_answer.wait(10)
    threading.Event().wait(kill_after_s)  # the random moment
    server.kill()
    for thread in threads:
        thread.join()


def check_bytes(server: Server, instances: dict[str, bytes]) -> None:
    connection = server.connect()
    for id, data in instances.items():
        reply = server.request("GET", f"/instances/{id}/file", connection=connection)
        assert (reply.status, reply.body) == (200, data)
    connection.close()


@pytest.mark.time_limit(240)
def test_kill_at_random_moments_loses_nothing_that_was_answered(tmp_path: Path) -> None:
    moments = random.Random(SEED)
    instances: dict[str, bytes] = {}
    jobs: set[str] = set()
    options: dict[str, Any] = {"JobsHistorySize": 1_000_000, "MediaArchiveSize": 1_000_000}
    with running_server(tmp_path, **options) as server:
        for number in range(ROUNDS):
            load = Load(server, number)
            run_load(server, load, server.get("/studies").json()[:3], moments.uniform(0.0, 0.25))
            server.start()
            check_bytes(server, load.instances)
            check_files_follow(server)
            instances |= load.instances
            jobs |= set(load.jobs)
            assert jobs <= set(server.get("/jobs").json())
        check_bytes(server, instances)
        assert {server.wait_for_job(job)["State"] for job in jobs} <= {"Success"}
