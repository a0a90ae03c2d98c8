"""Requests to modify and anonymise are answered as Orthanc 1.13.0 answered them, recorded once.

In names and bodies `{t1}` is the identifier of a study that was there before, `{s1}` of a series, and so on;
`{new}` is one that came of it. After each request the library is brought back to its first state.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.dicom import make_instance
from tests.support.server import Reply, Server, running_server

from .conftest import GOLDEN

RECORDED: list[dict[str, Any]] = json.loads((GOLDEN / "modifications.json").read_text())
ORTHANC_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{8}){4}")
JOB_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")
WRONG_TYPE = "bulk-modify level type"
"""To this Orthanc answers with an internal error; ours is that of any member of the wrong type."""
UNKNOWN = re.compile(r" unknown( id)?$| not an id$")
"""Orthanc answers 400 with code 3 here, except for instances; 404 with code 17 tells what is wrong."""


class Library:
    """The instances that all requests work on."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.ids: dict[str, str] = {}
        self.load()

    def load(self) -> None:
        patient = {"PatientBirthDate": "19700101", "PatientSex": "F"}
        self._add("i1 s1 t1 p1", study=1, series=1, instance=1, **patient)
        self._add("i2 s1 t1 p1", study=1, series=1, instance=2, **patient)
        self._add("i3 s2 t1 p1", study=1, series=2, instance=1, **patient)
        self._add("i4 s3 t2 p1", study=2, series=1, instance=1, **patient)
        other = {"patient_id": "P2", "patient_name": "Roe^Rick", "PatientBirthDate": "19800101"}
        self._add("i5 s4 t3 p2", study=3, series=1, instance=1, **other)

    def _add(self, names: str, **tags: Any) -> None:
        stored = self.server.post("/instances", make_instance(**tags)).json()
        keys = ("ID", "ParentSeries", "ParentStudy", "ParentPatient")
        self.ids |= dict(zip(names.split(), (stored[key] for key in keys), strict=True))

    def restore(self, reply: Reply) -> None:
        """Remove what a request has left; wait for its job, if it answered one."""
        job = reply.json()["ID"] if b'"Path":"/jobs/' in reply.body else None
        if job is not None:
            self.server.wait_for_job(job)
        for patient in self.server.get("/patients").json():
            self.server.request("DELETE", f"/patients/{patient}")
        self.load()

    def filled(self, text: str) -> str:
        return re.sub(r"\{([istp]\d)\}", lambda match: self.ids[match[1]], text)

    def normalised(self, text: str) -> str:
        names = {id: f"{{{name}}}" for name, id in self.ids.items()}
        text = ORTHANC_ID.sub(lambda match: names.get(match[0], "{new}"), text)
        return JOB_ID.sub("{uuid}", text)


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Library]:
    folder = tmp_path_factory.mktemp("modifications")
    with running_server(folder, SyncStorageArea=False, JobsHistorySize=100) as server:
        yield Library(server)


def body_of(case: dict[str, Any], library: Library) -> str | None:
    body = case["body"]
    if isinstance(body, str) and body.startswith("raw:"):
        return body.removeprefix("raw:")
    return None if body is None else library.filled(json.dumps(body))


def sorted_lists(value: Any) -> Any:
    """Identifiers are random, so their order is as well."""
    if isinstance(value, dict):
        return {name: sorted_lists(inner) for name, inner in value.items()}
    return sorted(value, key=json.dumps) if isinstance(value, list) else value


@pytest.mark.parametrize("case", RECORDED, ids=[case["name"] for case in RECORDED])
def test_request_is_answered_as_orthanc_answers_it(library: Library, case: dict[str, Any]) -> None:
    reply = library.server.request(case["method"], library.filled(case["path"]), body_of(case, library))
    if reply.status == 200:
        library.restore(reply)
    if UNKNOWN.search(case["name"]):
        assert (reply.status, reply.json()["OrthancStatus"]) == (404, 17)
        return
    if case["name"] == WRONG_TYPE:
        assert (reply.status, reply.json()["OrthancStatus"]) == (400, 15)
        return
    assert reply.status == case["status"], reply.body
    if case.get("answer") == "<dicom>":
        assert reply.headers["Content-Type"] == "application/dicom"
        assert reply.body[128:132] == b"DICM"
    elif reply.status == 200:
        answer = json.loads(library.normalised(reply.body.decode()))
        shown = {name: value for name, value in answer.items() if not name.startswith("NotTranscoded")}
        assert sorted_lists(shown) == sorted_lists(case["answer"])
    elif "code" in case:
        error = reply.json()
        assert error["OrthancStatus"] == case["code"]
        if case["details"] is not None:  # Orthanc loses them in jobs
            assert library.normalised(error["Details"]) == case["details"]
