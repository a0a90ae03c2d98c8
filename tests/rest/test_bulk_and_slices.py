"""Deleting many resources, the order of slices, and what leaves the server, on a running server."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.dicom import ABSENT, make_instance
from tests.support.server import Reply, Server, running_server

FLAT = [1, 0, 0, 0, 1, 0]
UPSIDE_DOWN = [1, 0, 0, 0, -1, 0]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(tmp_path_factory.mktemp("bulk"), SyncStorageArea=False) as running:
        yield running


def code(reply: Reply) -> tuple[int, int]:
    return reply.status, reply.json()["OrthancStatus"]


def bulk_delete(server: Server, resources: object) -> Reply:
    return server.post("/tools/bulk-delete", json.dumps({"Resources": resources}))


def test_resources_of_all_levels_are_deleted_at_once(server: Server) -> None:
    stored = [
        server.post("/instances", make_instance(patient_id=f"bulk {n}", study=n)).json() for n in range(5)
    ]
    wanted = [
        stored[0]["ParentPatient"],
        stored[0]["ParentStudy"],
        {"Level": "Study", "ID": stored[1]["ParentStudy"]},
        {"Level": "series", "ID": stored[2]["ParentSeries"]},
        {"Level": "Instances", "ID": stored[3]["ID"]},
        {"Level": "Study", "ID": stored[4]["ID"]},
        "none",
    ]
    reply = bulk_delete(server, wanted)
    assert (reply.status, reply.body, reply.headers["Content-Type"]) == (200, b"", "text/plain")
    assert server.get("/instances").json() == [stored[4]["ID"]]
    assert server.get(f"/patients/{stored[0]['ParentPatient']}").status == 404
    assert bulk_delete(server, [stored[4]["ID"]]).status == 200
    assert server.get("/patients").json() == []


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("[]", 8),
        ("no JSON", 8),
        ("{}", 8),
        ('{"Resources": 3}', 8),
        ('{"Resources": [3]}', 8),
        ('{"Resources": [{"ID": "x"}]}', 8),
        ('{"Resources": [{"Level": "Study"}]}', 8),
        ('{"Resources": [{"Level": 3, "ID": "x"}]}', 8),
        ('{"Resources": [{"Level": "Foo", "ID": "x"}]}', 3),
    ],
)
def test_a_malformed_request_deletes_nothing(server: Server, body: str, expected: int) -> None:
    id = server.post("/instances", make_instance(patient_id="kept")).json()["ID"]
    body = body.replace("[3]", f'["{id}", 3]')
    assert code(server.post("/tools/bulk-delete", body)) == (400, expected)
    assert server.get(f"/instances/{id}").status == 200


def places(*heights: float, orientation: object = FLAT) -> list[dict[str, Any]]:
    return [
        {"InstanceNumber": n, "ImagePositionPatient": [0, 0, z], "ImageOrientationPatient": orientation}
        for n, z in enumerate(heights)
    ]


def numbers(*indexes: object, **tags: object) -> list[dict[str, Any]]:
    return [{"InstanceNumber": index, **tags} for index in indexes]


# As Orthanc 1.13.0 answers.
CASES: dict[str, tuple[list[dict[str, Any]], str, list[int]]] = {
    "along the normal": (places(30, 10, 20), "Volume", [1, 2, 0]),
    "along a normal that points down": (places(30, 10, 20, orientation=UPSIDE_DOWN), "Volume", [0, 2, 1]),
    "one upside down": (
        [*places(30), *places(10, orientation=UPSIDE_DOWN), *places(20)],
        "Volume",
        [1, 2, 0],
    ),
    "not of unit length": (places(30, 10, 20, orientation=[2, 0, 0, 0, 1, 0]), "Volume", [1, 2, 0]),
    "one without orientation": (
        [*places(30), *places(10, orientation=ABSENT)],
        "Volume",
        [1, 0],
    ),
    "two at the same place": (
        [{**place, "InstanceNumber": n} for place, n in zip(places(30, 10, 10), (3, 1, 2), strict=True)],
        "Sequence",
        [1, 2, 0],
    ),
    "one across": (
        [
            {**place, "InstanceNumber": n}
            for place, n in zip(
                [*places(30, 10), *places(20, orientation=[0, 1, 0, 0, 0, 1])], (3, 1, 2), strict=True
            )
        ],
        "Sequence",
        [1, 2, 0],
    ),
    "one without a position": ([*places(30), *numbers(1, ImageOrientationPatient=FLAT)], "Sequence", [0, 1]),
    "half an orientation": (places(30, 10, 20, orientation=[1, 0, 0]), "Sequence", [0, 1, 2]),
    "one alone": (places(30), "Sequence", [0]),
    "by number": (numbers(3, 1, 2), "Sequence", [1, 2, 0]),
    "one without a number": (numbers(ABSENT), "Sequence", [0]),
}


@pytest.mark.parametrize("name", CASES)
def test_slices_are_ordered_by_place_or_number(server: Server, name: str) -> None:
    instances, kind, expected = CASES[name]
    study = 100 + list(CASES).index(name)
    ids, series = [], ""
    for number, tags in enumerate(instances):
        data = make_instance(patient_id="slices", study=study, instance=number + 1, **tags)
        reply = server.post("/instances", data).json()
        ids.append(reply["ID"])
        series = reply["ParentSeries"]
    shown = server.get(f"/series/{series}/ordered-slices").json()
    assert shown == {
        "Dicom": [f"/instances/{ids[n]}/file" for n in expected],
        "Slices": [f"/instances/{ids[n]}/frames/0" for n in expected],
        "SlicesShort": [[ids[n], 0, 1] for n in expected],
        "Type": kind,
    }


def test_the_slices_of_an_instance_are_its_frames(server: Server) -> None:
    reply = server.post("/instances", make_instance(patient_id="frames", study=99, NumberOfFrames=3)).json()
    shown = server.get(f"/series/{reply['ParentSeries']}/ordered-slices").json()
    assert shown["SlicesShort"] == [[reply["ID"], 0, 3]]
    assert shown["Slices"] == [f"/instances/{reply['ID']}/frames/{n}" for n in range(3)]


@pytest.mark.parametrize(
    ("number", "expected"), [(ABSENT, [0]), ("", [0]), ("3", [0, 1, 2]), ("0", []), (" 2 ", [0, 1])]
)
def test_the_frames_of_an_instance_are_numbered(server: Server, number: object, expected: list[int]) -> None:
    study = 200 + len(expected)
    data = make_instance(patient_id=f"frames {number}", study=study, NumberOfFrames=number)
    id = server.post("/instances", data).json()["ID"]
    assert server.get(f"/instances/{id}/frames").json() == expected


@pytest.mark.parametrize("number", ["99999999999", "9999999"])
def test_frames_beyond_reason_are_refused(server: Server, number: str) -> None:
    data = make_instance(patient_id=f"too many {number}", study=97, NumberOfFrames=3)
    data = data.replace(b"\x28\0\x08\0IS\x02\0003 ", b"\x28\0\x08\0IS\x0c\0" + number.ljust(12).encode())
    id = server.post("/instances", data).json()["ID"]
    assert code(server.get(f"/instances/{id}/frames")) == (400, 15)
    assert code(server.get("/instances/none/frames")) == (404, 17)


def test_slices_without_place_and_number_have_no_order(server: Server) -> None:
    series = ""
    for number, tags in enumerate(numbers(ABSENT, 1)):
        data = make_instance(patient_id="no order", study=98, instance=number + 1, **tags)
        series = server.post("/instances", data).json()["ParentSeries"]
    assert code(server.get(f"/series/{series}/ordered-slices")) == (500, 2040)
    assert code(server.get("/series/none/ordered-slices")) == (404, 17)


def test_nothing_was_sent_to_anybody(server: Server) -> None:
    for path in ("/exports", "/exports?last", "/exports?since=0&limit=2"):
        assert server.get(path).json() == {"Done": True, "Exports": [], "Last": 0}
    assert server.request("DELETE", "/exports").status == 200


def test_a_file_is_written_to_the_disk_only_where_that_is_allowed(server: Server, tmp_path: Path) -> None:
    data = make_instance(patient_id="export")
    target = tmp_path / "file.dcm"
    id = server.post("/instances", data).json()["ID"]
    reply = server.post(f"/instances/{id}/export", str(target))
    assert (reply.status, reply.body) == (403, b"")
    assert not target.exists()
    with running_server(tmp_path, RestApiWriteToFileSystemEnabled=True) as writing:
        id = writing.post("/instances", data).json()["ID"]
        assert writing.post(f"/instances/{id}/export", f" {target}\n").body == b"{}"
        assert target.read_bytes() == data
        assert writing.post(f"/instances/{id}/export", str(tmp_path)).status == 500
        assert code(writing.post("/instances/none/export", str(target))) == (404, 17)
