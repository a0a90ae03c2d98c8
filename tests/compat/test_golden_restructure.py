"""What Orthanc 1.13.0 answers to requests to split and merge, and what it then stores, recorded once.

Left out are bodies that are no objects, which it takes for errors of its own. The name of a resource is its
level (patient P, study T, series S, instance I) and the numbers of study, series and instance.
"""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.dicom import make_instance, series_uid, sop_uid, study_uid
from tests.support.server import Reply, Server, running_server

from .conftest import GOLDEN

CASES: list[dict[str, Any]] = json.loads((GOLDEN / "restructure.json").read_text())
SHOWN = (
    "PatientID", "PatientName", "PatientAge", "StudyDescription", "AccessionNumber", "ReferringPhysicianName",
    "SeriesDescription", "InstanceNumber",
)  # fmt: skip
UIDS = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
PLACES = [(study, series, instance) for study in (1, 2, 3) for series in (1, 2) for instance in (1, 2)]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(tmp_path_factory.mktemp("restructure"), SyncStorageArea=False) as running:
        yield running


def file_of(study: int, series: int, instance: int) -> bytes:
    extra = {"ReferringPhysicianName": "Ref"} if study == 2 else {"AccessionNumber": "ACC"}
    return make_instance(
        patient_id=f"P{min(study, 2)}",
        patient_name=f"Name{study}",
        study=study,
        series=series,
        instance=instance,
        SeriesDescription=f"S{study}{series}",
        StudyDescription=f"D{study}",
        InstanceNumber=str(instance),
        PatientAge="030Y",
        **extra,
    )


def fill(server: Server) -> dict[str, str]:
    """Store three studies, two of one patient, and nothing else; return the identifiers by name."""
    for patient in server.get("/patients").json():
        server.request("DELETE", f"/patients/{patient}")
    ids = {}
    for study, series, instance in PLACES:
        answer = server.post("/instances", file_of(study, series, instance)).json()
        ids[f"I{study}{series}{instance}"] = answer["ID"]
        ids[f"S{study}{series}"] = answer["ParentSeries"]
        ids[f"T{study}"] = answer["ParentStudy"]
        ids[f"P{study}"] = answer["ParentPatient"]
    return ids


def with_ids(value: Any, ids: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {name: with_ids(each, ids) for name, each in value.items()}
    if isinstance(value, list):
        return [with_ids(each, ids) for each in value]
    return ids.get(value, value) if isinstance(value, str) else value


def described(reply: Reply, ids: dict[str, str]) -> Any:
    """Return an answer, with names in place of identifiers, and without what differs each time."""
    if reply.status == 200:
        answer = reply.json()
        if "TargetStudyUID" in answer:
            answer |= {"TargetStudyUID": "<uid>", "TargetStudy": "<id>"}
    else:
        answer = {"status": reply.status, "code": reply.json()["OrthancStatus"]}
        answer["details"] = reply.json().get("Details")
    text = json.dumps(answer)
    for name, id in ids.items():
        text = text.replace(id, name)
    return json.loads(text)


def stored(server: Server) -> list[list[str | None]]:
    """Return some tags of all instances; new UIDs have the numbers in which they come."""
    known = {study_uid(study) for study in (1, 2, 3)}
    known |= {series_uid(study, series) for study, series, _ in PLACES}
    known |= {sop_uid(*place) for place in PLACES}
    ids = server.get("/instances").json()
    rows = [server.get(f"/instances/{id}/simplified-tags").json() for id in ids]
    rows.sort(key=lambda row: [row[name] for name in SHOWN[-2:]] + [row[uid] not in known for uid in UIDS])
    new: dict[str, str] = {}
    return [
        [row.get(name) for name in SHOWN]
        + [row[uid] if row[uid] in known else new.setdefault(row[uid], f"new{len(new)}") for uid in UIDS]
        for row in rows
    ]


@pytest.mark.parametrize(
    "case", CASES, ids=lambda case: f"{case['path'][9:]} {json.dumps(case['body'])}"[:70]
)
def test_split_and_merge_do_what_was_recorded(server: Server, case: dict[str, Any]) -> None:
    ids = fill(server)
    path = "/".join(ids.get(part, part) for part in case["path"].split("/"))
    body = case["body"]
    reply = server.post(path, body if isinstance(body, str) else json.dumps(with_ids(body, ids)))
    assert described(reply, ids) == case["answer"]
    assert stored(server) == case["stored"]
