"""Jobs of each kind are shown in each state, and wrong requests for jobs refused, as Orthanc 1.13.0 does.

Recorded once, with two studies of two series of one instance.
"""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.compat.golden_jobs_form import normalised
from tests.support.dicom import make_instance
from tests.support.server import Server, running_server

from .conftest import GOLDEN

RECORDED: dict[str, Any] = json.loads((GOLDEN / "jobs.json").read_text())
REFUSED = [case for case in RECORDED["refusals"] if case["status"] != 200]
ACCEPTED = [case for case in RECORDED["refusals"] if case["status"] == 200]


class Studies:
    """A server with the recorded studies; their identifiers by the names that stand for them."""

    def __init__(self, server: Server) -> None:
        self.server = server
        for study, series in ((1, 1), (1, 2), (2, 1), (2, 2)):
            server.post("/instances", make_instance(study=study, series=series))
        studies = server.get("/studies?expand").json()
        [one] = [study for study in studies if study["MainDicomTags"]["AccessionNumber"] == "A1"]
        [two] = [study["ID"] for study in studies if study is not one]
        self.ids = {"<one>": one["ID"], "<two>": two, "<series>": min(one["Series"])}

    def named(self, value: Any) -> Any:
        """Return a value with identifiers in place of their names."""
        text = json.dumps(value)
        for name, id in self.ids.items():
            text = text.replace(name, id)
        return json.loads(text)

    def submit(self, case: dict[str, Any]) -> str:
        body = self.named(case["body"]) | {"Asynchronous": True}
        job: str = self.server.post(self.named(case["path"]), body).json()["ID"]
        return job

    def shown(self, job: str) -> Any:
        return normalised(self.server.get(f"/jobs/{job}").json(), self.ids)


@pytest.fixture(scope="module")
def studies(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studies]:
    with running_server(tmp_path_factory.mktemp("server"), JobsHistorySize=1000) as server:
        yield Studies(server)


@pytest.mark.parametrize("name", RECORDED["cases"])
def test_a_job_is_shown_in_each_state_as_recorded(studies: Studies, name: str) -> None:
    case, expected, server = RECORDED["cases"][name], RECORDED["jobs"][name], studies.server
    lane = {"Type": expected["Pending"]["Type"]}
    server.post("/jobs/pause", lane)
    job, cancelled = studies.submit(case), studies.submit(case)
    shown = {"Pending": studies.shown(job)}
    server.post(f"/jobs/{job}/pause")
    shown["Paused"] = studies.shown(job)
    server.post(f"/jobs/{cancelled}/cancel")
    shown["Failure"] = studies.shown(cancelled)
    server.post("/jobs/resume", lane)
    server.post(f"/jobs/{job}/resume")
    server.wait_for_job(job)
    shown["Success"] = studies.shown(job)
    assert shown == expected


@pytest.mark.parametrize("case", REFUSED)
def test_a_wrong_request_for_a_job_is_refused_as_recorded(studies: Studies, case: dict[str, Any]) -> None:
    reply = studies.server.post(studies.named(case["path"]), json.dumps(studies.named(case["body"])))
    told = reply.json()
    found = (reply.status, told["OrthancStatus"], told.get("Details"))
    assert found == (case["status"], case["code"], case["details"])


@pytest.mark.parametrize("case", ACCEPTED)
def test_an_odd_request_for_an_archive_is_accepted_as_recorded(
    studies: Studies, case: dict[str, Any]
) -> None:
    reply = studies.server.post(studies.named(case["path"]), json.dumps(studies.named(case["body"])))
    assert reply.status == 200
