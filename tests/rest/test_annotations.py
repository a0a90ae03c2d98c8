"""Labels, protection, metadata with revisions, and the statistics of a resource, on a running server."""

import hashlib
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.dicom import make_instance
from tests.support.server import Reply, Server, running_server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("annotations")
    with running_server(folder, SyncStorageArea=False, UserMetadata={"Mine": 1025}) as running:
        yield running


def upload(server: Server, patient_id: str) -> dict[str, str]:
    """Store an instance of a new patient and return the paths of its resources."""
    ids: dict[str, Any] = server.post("/instances", make_instance(patient_id=patient_id)).json()
    return {
        "patient": f"/patients/{ids['ParentPatient']}",
        "study": f"/studies/{ids['ParentStudy']}",
        "series": f"/series/{ids['ParentSeries']}",
        "instance": f"/instances/{ids['ID']}",
        "study as patient": f"/patients/{ids['ParentStudy']}",
    }


def code(reply: Reply) -> tuple[int, int]:
    return reply.status, reply.json()["OrthancStatus"]


def etag(revision: int, value: bytes) -> str:
    return f'"{revision}-{hashlib.md5(value).hexdigest()}"'


def test_labels_are_shown_by_the_resource_that_bears_them(server: Server) -> None:
    paths = upload(server, "labels")
    for level in ("patient", "study", "series", "instance"):
        path = paths[level]
        assert server.get(path).json()["Labels"] == []
        for label in ("b_1-", "a", "a"):
            reply = server.request("PUT", f"{path}/labels/{label}", b"ignored")
            assert (reply.status, reply.body) == (200, b"")
        assert server.get(path).json()["Labels"] == ["a", "b_1-"]
        assert server.get(f"{path}/labels").json() == ["a", "b_1-"]
        assert (server.get(f"{path}/labels/a").status, server.get(f"{path}/labels/c").status) == (200, 404)
        assert server.request("DELETE", f"{path}/labels/a").status == 200
        assert server.request("DELETE", f"{path}/labels/a").status == 200
        assert server.get(path).json()["Labels"] == ["b_1-"]
    assert server.get("/tools/labels").json() == ["b_1-"]
    server.request("DELETE", paths["patient"])
    assert server.get("/tools/labels").json() == []


@pytest.mark.parametrize("label", ["a%20b", "a" * 65, "%C3%A9", "a."])
def test_a_label_of_other_characters_is_refused(server: Server, label: str) -> None:
    path = upload(server, "bad label")["study"]
    assert code(server.request("PUT", f"{path}/labels/{label}", b"")) == (400, 3)
    assert code(server.request("DELETE", f"{path}/labels/{label}")) == (400, 3)
    assert server.get(f"{path}/labels/{label}").status == 404


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_what_does_not_exist_has_no_labels(server: Server, method: str) -> None:
    for path in (upload(server, "other level")["study as patient"], "/studies/none"):
        assert code(server.request(method, f"{path}/labels/a")) == (404, 17)


@pytest.mark.parametrize(
    ("body", "shown"), [(b"1", True), (b" true\n", True), (b"0", False), (b"false", False)]
)
def test_a_patient_can_be_protected_and_freed(server: Server, body: bytes, shown: bool) -> None:
    path = upload(server, "protected")["patient"]
    reply = server.request("PUT", f"{path}/protected", body)
    assert (reply.status, reply.body) == (200, b"")
    assert server.get(f"{path}/protected").body == str(int(shown)).encode()
    assert server.get(path).json()["IsProtected"] is shown


def test_only_a_patient_that_exists_can_be_protected(server: Server) -> None:
    paths = upload(server, "not protected")
    for path in (paths["study as patient"], "/patients/none"):
        assert code(server.get(f"{path}/protected")) == (400, 3)
        assert code(server.request("PUT", f"{path}/protected", b"1")) == (400, 3)
    for body in (b"", b"yes", b"TRUE"):
        assert code(server.request("PUT", f"{paths['patient']}/protected", body)) == (400, 15)


def test_metadata_are_listed_by_name_or_number_with_or_without_values(server: Server) -> None:
    path = upload(server, "listed")["series"] + "/metadata"
    server.request("PUT", f"{path}/Mine", b"mine")
    server.request("PUT", f"{path}/1024", b"other")
    assert server.get(path).json() == ["RemoteAET", "LastUpdate", "MainDicomTagsSignature", "1024", "Mine"]
    assert server.get(path + "?numeric").json() == [3, 7, 15, 1024, 1025]
    expanded = server.get(path + "?expand").json()
    assert (expanded["Mine"], expanded["1024"], expanded["RemoteAET"]) == ("mine", "other", "")
    assert server.get(path + "?expand&numeric").json()["1025"] == "mine"
    assert server.get(path + "?expand=false").json()[0] == "RemoteAET"


def test_each_change_of_metadata_makes_the_next_revision(server: Server) -> None:
    path = upload(server, "revisions")["study"] + "/metadata/Mine"
    for revision, value in enumerate((b"a", b"b", b"b")):
        reply = server.request("PUT", path, value)
        assert (reply.status, reply.body, reply.headers["ETag"]) == (200, b"", etag(revision, value))
    reply = server.get(path)
    assert (reply.body, reply.headers["ETag"]) == (b"b", etag(2, b"b"))
    reply = server.request("GET", path, headers={"If-None-Match": etag(2, b"b")})
    assert (reply.status, reply.body, reply.headers["ETag"]) == (304, b"", etag(2, b"b"))
    assert server.request("GET", path, headers={"If-None-Match": etag(1, b"b")}).status == 200
    several = f"{etag(0, b'a')}, {etag(2, b'b')}"
    assert server.request("GET", path, headers={"If-None-Match": several}).status == 304


def test_a_change_can_be_bound_to_the_revision_that_the_client_knows(server: Server) -> None:
    path = upload(server, "bound")["study"] + "/metadata/1025"
    server.request("PUT", path, b"a", {"If-Match": etag(5, b"made anew, so not looked at")})
    for wrong in (etag(1, b"a"), etag(0, b"b")):
        assert code(server.request("PUT", path, b"x", {"If-Match": wrong})) == (409, 43)
        assert code(server.request("DELETE", path, headers={"If-Match": wrong})) == (409, 43)
    assert server.request("PUT", path, b"b", {"If-Match": etag(0, b"a").strip('"')}).status == 200
    assert server.request("DELETE", path, headers={"If-Match": etag(1, b"b")}).status == 200
    assert code(server.request("DELETE", path)) == (404, 17)


@pytest.mark.parametrize("header", ["foo", "*", '"-1-a"', ""])
def test_a_malformed_revision_is_refused(server: Server, header: str) -> None:
    path = upload(server, "malformed")["study"] + "/metadata/1025"
    assert code(server.request("PUT", path, b"x", {"If-Match": header})) == (400, 3)
    server.request("PUT", path, b"x")
    assert code(server.request("GET", path, headers={"If-None-Match": header})) == (400, 3)


def test_a_server_that_checks_revisions_wants_to_be_told(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("checked")
    with running_server(folder, SyncStorageArea=False, CheckRevisions=True) as server:
        path = upload(server, "checked")["study"] + "/metadata/1025"
        assert server.request("PUT", path, b"new needs none").status == 200
        assert code(server.request("PUT", path, b"x")) == (409, 43)
        assert code(server.request("DELETE", path)) == (409, 43)
        current = {"If-Match": etag(0, b"new needs none")}
        assert server.request("DELETE", path, headers=current).status == 200


@pytest.mark.parametrize("name", ["LastUpdate", "7", "1023", "65536", "70000", "IsProtected", "-1"])
def test_the_metadata_of_the_server_cannot_be_changed(server: Server, name: str) -> None:
    path = f"{upload(server, 'system')['study']}/metadata/{name}"
    for method in ("PUT", "DELETE"):
        reply = server.request(method, path, b"x" if method == "PUT" else None)
        assert (reply.status, reply.body) == (403, b"")


def test_metadata_that_are_not_there_are_told_from_unknown_names(server: Server) -> None:
    path = upload(server, "absent")["patient"] + "/metadata"
    for absent in ("1025", "Mine", "IsProtected", "PatientRecyclingOrder", "99999", "-1"):
        reply = server.get(f"{path}/{absent}")
        assert (reply.status, reply.body) == (404, b"")
    for unknown in ("Nope", "lastupdate", "1.5", "9" * 30):
        assert code(server.get(f"{path}/{unknown}")) == (404, 7)
        assert code(server.request("PUT", f"{path}/{unknown}", b"x")) == (404, 7)
    for resource in ("/studies/none", upload(server, "absent")["study as patient"]):
        assert code(server.get(f"{resource}/metadata/LastUpdate")) == (404, 17)
        assert code(server.get(f"{resource}/metadata")) == (404, 17)
    assert code(server.request("PUT", "/studies/none/metadata/1024", b"x")) == (404, 17)


def test_metadata_must_be_text(server: Server) -> None:
    path = upload(server, "binary")["study"] + "/metadata/1024"
    assert code(server.request("PUT", path, b"\xff\xfe")) == (400, 8)
    server.request("PUT", path, "né\0".encode())
    assert server.get(path).body == "né\0".encode()


def test_changes_of_metadata_are_logged_and_labels_are_not(server: Server) -> None:
    path = upload(server, "logged")["study"]
    last = server.get("/changes?last").json()["Last"]
    server.request("PUT", path + "/labels/x", b"")
    server.request("PUT", path + "/metadata/1024", b"x")
    server.request("DELETE", path + "/metadata/1024")
    page = server.get(f"/changes?since={last}").json()["Changes"]
    assert [(change["ChangeType"], change["Path"]) for change in page] == [("UpdatedMetadata", path)] * 2


def test_statistics_of_a_resource_count_what_is_below_it(server: Server) -> None:
    paths = upload(server, "statistics")
    size = len(make_instance(patient_id="statistics"))
    sizes: dict[str, object] = {
        name: str(size) for name in ("DiskSize", "UncompressedSize", "DicomDiskSize", "DicomUncompressedSize")
    }
    sizes |= {f"{name}MB": 0 for name in list(sizes)}
    counts = {"patient": 3, "study": 2, "series": 1, "instance": 0}
    names = ("CountInstances", "CountSeries", "CountStudies")
    for level, count in counts.items():
        assert server.get(paths[level] + "/statistics").json() == sizes | dict.fromkeys(names[:count], 1)


def test_what_does_not_exist_has_statistics_of_zeros(server: Server) -> None:
    for path in (upload(server, "no statistics")["study as patient"], "/patients/none"):
        shown = server.get(path + "/statistics").json()
        assert len(shown) == 11
        assert {int(value) for value in shown.values()} == {0}
