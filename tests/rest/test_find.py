"""Searching on a running server, as far as recorded answers of Orthanc do not tell."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.dicom import make_instance
from tests.support.server import Reply, Server, running_server

CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"
EXTRA = {"Patient": ["PatientComments"], "Study": ["0008,1048"], "Instance": ["Rows"]}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("find")
    with running_server(folder, SyncStorageArea=False, ExtraMainDicomTags=EXTRA) as running:
        for study in (1, 2, 3):
            for series, modality in ((1, "CT"), (2, "MR")):
                arguments: dict[str, Any] = {"study": study, "series": series, "modality": modality}
                name = {"patient_id": f"P{study % 2}", "patient_name": f"Doe^Jane {study}"}
                running.post("/instances", make_instance(PatientComments="a b", **arguments, **name))
        yield running


def find(server: Server, level: str = "Study", query: dict[str, str] | None = None, **rest: Any) -> Any:
    reply = server.post("/tools/find", json.dumps({"Level": level, "Query": query or {}, **rest}))
    assert reply.status == 200, reply.body
    return reply.json()


def refused(server: Server, path: str, **body: Any) -> tuple[int, int]:
    reply = server.post(path, json.dumps({"Level": "Study", "Query": {}, **body}))
    return reply.status, reply.json()["OrthancStatus"]


def description(server: Server, number: int) -> dict[str, Any]:
    [found] = find(server, query={"StudyDescription": f"study {number}"}, Expand=True)
    return dict(found)


def test_pages_join_to_the_whole(server: Server) -> None:
    everything = find(server, "Series")
    assert len(everything) == 6
    assert [id for page in range(3) for id in find(server, "Series", Since=2 * page, Limit=2)] == everything
    assert find(server, "Series", Since=1 << 70, Limit=1 << 70) == []


def test_a_tag_of_a_lower_level_is_looked_for_in_all_descendants(server: Server) -> None:
    assert find(server, "Patient", {"Modality": "CT"}) == find(server, "Patient")
    assert find(server, query={"ModalitiesInStudy": "?T"}) == find(server)


def test_an_answer_shows_what_was_looked_for_unless_that_is_a_main_tag(server: Server) -> None:
    series = find(server, "Series", {"Modality": "CT", "PatientName": "*"}, ResponseContent=[])
    assert [set(each) for each in series] == [{"ID", "Type"}] * 3
    query = {"SOPClassUID": CT_IMAGE, "Columns": "8", "ModalitiesInStudy": "CT"}
    studies = find(server, query=query, ResponseContent=[])
    assert [each["RequestedTags"] for each in studies] == [{**query, "ModalitiesInStudy": "CT\\MR"}] * 3


def test_labels_constrain_and_none_without_labels_means_unlabelled(server: Server) -> None:
    first, second, third = find(server)
    for id, label in ((first, "a"), (first, "b"), (second, "a")):
        server.request("PUT", f"/studies/{id}/labels/{label}")
    assert find(server, Labels=["a", "b"]) == [first]
    assert find(server, Labels=["a", "b"], LabelsConstraint="Any") == [first, second]
    assert find(server, Labels=["b"], LabelsConstraint="None") == [second, third]
    assert find(server, Labels=[], LabelsConstraint="None") == [third]
    assert find(server, Labels=[], LabelsConstraint="All") == [first, second, third]
    count = {"Level": "Study", "Query": {}, "LabelsConstraint": "None"}
    assert server.post("/tools/count-resources", json.dumps(count)).json() == {"Count": 1}
    for id, label in ((first, "a"), (first, "b"), (second, "a")):
        server.request("DELETE", f"/studies/{id}/labels/{label}")


def test_parents_limit_a_search_to_what_is_below(server: Server) -> None:
    study = description(server, 2)
    assert find(server, "Series", ParentStudy=study["ID"]) == sorted(study["Series"])
    assert find(server, "Study", ParentStudy=study["ID"]) == [study["ID"]]
    assert study["ID"] in find(server, "Study", ParentPatient=study["ParentPatient"])
    assert find(server, "Study", ParentPatient=study["ID"]) == []


def test_extra_main_tags_are_kept_shown_and_searched(server: Server) -> None:
    [patient] = find(server, "Patient", {"PatientID": "P0"}, Expand=True, Full=True)
    comments = {"Name": "PatientComments", "Type": "String", "Value": "a b"}
    assert patient["MainDicomTags"]["0010,4000"] == comments
    assert len(find(server, "Instance", {"Rows": "8", "PatientComments": "A B"}, Since=1)) == 5
    assert "0010,4000" in server.get("/system").json()["MainDicomTags"]["Patient"]
    signature = server.get(f"/patients/{patient['ID']}/metadata/MainDicomTagsSignature").body.decode()
    assert signature.endswith(";0010,4000")


def test_content_of_many_moves_between_the_levels(server: Server) -> None:
    study = description(server, 1)

    def content(**body: Any) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = server.post("/tools/bulk-content", json.dumps(body)).json()
        return found

    wanted = [study["ID"], "unknown", study["Series"][0]]
    assert [one["ID"] for one in content(Resources=wanted)] == [study["ID"], study["Series"][0]]
    assert "LastUpdate" in content(Resources=wanted)[0]["Metadata"]
    below = content(Resources=wanted, Level="series", Metadata=False)
    assert [one["ID"] for one in below] == sorted(study["Series"])
    assert "Metadata" not in below[0]
    assert [one["ID"] for one in content(Resources=wanted, Level="Patient")] == [study["ParentPatient"]]


def test_a_criterion_without_a_text_is_none(server: Server) -> None:
    assert find(server, query={"PatientID": "", "Nonsense": ""}) == find(server)


def test_a_lookup_passes_over_case_and_outer_spaces(server: Server) -> None:
    uid = description(server, 1)["MainDicomTags"]["StudyInstanceUID"]
    assert [found["Type"] for found in server.post("/tools/lookup", f" {uid} ").json()] == ["Study"]
    [found] = server.post("/tools/lookup", "p1").json()
    assert found["Path"] == f"/patients/{found['ID']}"
    assert server.post("/tools/lookup", b"\xff").json() == []


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"Query": {f"0008,{number:04x}": "x" for number in range(300)}}, (400, 8)),
        ({"Query": {"PatientName": "x" * (1 << 20)}}, (400, 8)),
        ({"OrderBy": [{"Type": "DicomTag", "Key": "Columns", "Direction": "ASC"}]}, (400, 8)),
        ({"RequestedTags": [f"0009,{number:04x}" for number in range(300)], "Expand": True}, (400, 8)),
        ({"Query": {"PatientName": "\ud800"}}, (400, 8)),
        ({"Query": {"Nonsense": "x"}}, (500, 27)),
    ],
)
def test_what_is_too_much_is_refused(server: Server, body: dict[str, Any], expected: tuple[int, int]) -> None:
    assert refused(server, "/tools/find", **body) == expected


def test_many_stars_do_not_take_long(server: Server) -> None:
    assert find(server, query={"StudyDescription": "*s*t*u*d*y*" * 100}) == []
    assert len(find(server, query={"StudyDescription": "**s*t*u*d*y**?"})) == 3


def test_files_are_not_read_if_that_is_not_allowed(tmp_path: Path) -> None:
    with running_server(tmp_path, SyncStorageArea=False, StorageAccessOnFind="Never") as server:
        server.post("/instances", make_instance())
        assert find(server, query={"Rows": "8"}) == []
        [study] = find(server, Expand=True, RequestedTags=["Rows", "PatientID"])
        assert study["RequestedTags"] == {"PatientID": "P1"}
        assert find(server, query={"Rows": "8"}) == []
        # The class of an instance is known without its file.
        [instance] = find(server, "Instance", {"SOPClassUID": CT_IMAGE}, Expand=True)
        assert instance["RequestedTags"] == {"SOPClassUID": CT_IMAGE}
        assert find(server, "Instance", {"SOPClassUID": f"{CT_IMAGE}.1"}) == []


def test_limits_of_the_configuration_hold(tmp_path: Path) -> None:
    with running_server(tmp_path, LimitFindResults=2, LimitFindInstances=1) as server:
        for study in (1, 2, 3):
            server.post("/instances", make_instance(study=study))
        assert len(find(server)) == 2
        assert len(find(server, Limit=1)) == 1
        assert len(find(server, "Instance")) == 1


def test_a_tag_that_became_a_main_one_later_is_read_from_the_file(tmp_path: Path) -> None:
    with running_server(tmp_path, SyncStorageArea=False) as server:
        server.post("/instances", make_instance(PatientComments="old"))
    extra = {"Patient": ["PatientComments"]}
    with running_server(tmp_path, SyncStorageArea=False, ExtraMainDicomTags=extra) as server:
        [patient] = find(server, "Patient", Expand=True, RequestedTags=["PatientComments"])
    assert patient["RequestedTags"] == {"PatientComments": "old"}


def test_an_unknown_extra_main_tag_keeps_the_server_from_starting(tmp_path: Path) -> None:
    server = Server(tmp_path, {"ExtraMainDicomTags": {"Patient": ["Nonsense"]}})
    with pytest.raises(AssertionError, match="did not start"):
        server.start()


def test_requested_tags_change_with_what_is_below(server: Server) -> None:
    tags = "ModalitiesInStudy;NumberOfStudyRelatedInstances"

    def requested() -> Any:
        reply: Reply = server.get(f"/studies/{study['ID']}?requested-tags={tags}")
        return reply.json()["RequestedTags"]

    study = description(server, 3)
    before = {"ModalitiesInStudy": "CT\\MR", "NumberOfStudyRelatedInstances": "2"}
    assert requested() == before
    added = make_instance(study=3, series=9, modality="US", patient_id="P1")
    series = server.post("/instances", added).json()["ParentSeries"]
    assert requested() == {"ModalitiesInStudy": "CT\\MR\\US", "NumberOfStudyRelatedInstances": "3"}
    server.request("DELETE", f"/series/{series}")
    assert requested() == before
