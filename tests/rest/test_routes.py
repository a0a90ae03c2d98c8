"""The routes of resources and uploads, on a running server."""

import gzip
import io
import json
import zipfile
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.dicom import make_instance
from tests.support.server import Server, running_server

BOUNDARY = "----WebKitFormBoundary7MA4YWxkTrZu0gW"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(
        tmp_path_factory.mktemp("routes"), SyncStorageArea=False, MaximumFileSizeInArchiveMB=1
    ) as running:
        yield running


def upload(server: Server, **identity: Any) -> dict[str, Any]:
    reply = server.post("/instances", make_instance(**identity))
    assert reply.status == 200, reply.body
    answer: dict[str, Any] = reply.json()
    return answer


def zip_of(**members: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(f"folder/{name}", data)
    return buffer.getvalue()


def form_of(*parts: bytes) -> bytes:
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="f"; filename="x"\r\n\r\n'.encode()
    return b"".join(head + part + b"\r\n" for part in parts) + f"--{BOUNDARY}--\r\n".encode()


def test_every_level_lists_and_expands_its_resources(server: Server) -> None:
    ids = upload(server, patient_id="levels", instance=1)
    for collection, key in (
        ("patients", "ParentPatient"),
        ("studies", "ParentStudy"),
        ("series", "ParentSeries"),
        ("instances", "ID"),
    ):
        listed = server.get(f"/{collection}").json()
        assert ids[key] in listed
        assert listed == sorted(listed)
        assert [each["ID"] for each in server.get(f"/{collection}?expand").json()] == listed
        assert server.get(f"/{collection}?since=0&limit=1").json() == listed[:1]
        assert server.get(f"/{collection}?since={len(listed)}&limit=5").json() == []


def test_children_are_expanded_unless_it_is_refused(server: Server) -> None:
    first, second = (upload(server, patient_id="children", instance=number) for number in (1, 2))
    path = f"/studies/{first['ParentStudy']}/instances"
    expected = sorted([first["ID"], second["ID"]])
    assert [each["ID"] for each in server.get(path).json()] == expected
    assert [each["Type"] for each in server.get(path + "?expand").json()] == ["Instance", "Instance"]
    assert server.get(path + "?expand=false").json() == expected


@pytest.mark.parametrize("path", ["/studies", "/studies?expand", "/instances/{ID}", "/instances/{ID}/study"])
def test_an_unknown_requested_tag_is_refused(server: Server, path: str) -> None:
    ids = upload(server, patient_id="requested")
    path = path.format(**ids)
    reply = server.get(f"{path}{'&' if '?' in path else '?'}requested-tags=PatientID;Nope")
    assert (reply.status, reply.json()["OrthancStatus"]) == (400, 8)


def test_parents_are_found_from_any_level(server: Server) -> None:
    ids = upload(server, patient_id="parents")
    for path, key in (
        (f"/instances/{ids['ID']}/patient", "ParentPatient"),
        (f"/instances/{ids['ID']}/study", "ParentStudy"),
        (f"/instances/{ids['ID']}/series", "ParentSeries"),
        (f"/series/{ids['ParentSeries']}/study", "ParentStudy"),
        (f"/studies/{ids['ParentStudy']}/patient", "ParentPatient"),
    ):
        assert server.get(path).json()["ID"] == ids[key]


def test_an_upload_is_seen_at_once_by_its_parents(server: Server) -> None:
    first = upload(server, patient_id="fresh", instance=1)
    series = f"/series/{first['ParentSeries']}"
    assert server.get(series).json()["Instances"] == [first["ID"]]
    second = upload(server, patient_id="fresh", instance=2)
    assert server.get(series).json()["Instances"] == sorted([first["ID"], second["ID"]])


def test_deletion_tells_the_lowest_ancestor_that_remains(server: Server) -> None:
    first = upload(server, patient_id="deleted", series=1)
    second = upload(server, patient_id="deleted", series=2)
    reply = server.request("DELETE", f"/instances/{first['ID']}")
    study = first["ParentStudy"]
    assert reply.json() == {"RemainingAncestor": {"ID": study, "Path": f"/studies/{study}", "Type": "Study"}}
    assert server.get(f"/series/{first['ParentSeries']}").status == 404
    assert server.get(f"/studies/{study}").json()["Series"] == [second["ParentSeries"]]
    reply = server.request("DELETE", f"/patients/{first['ParentPatient']}")
    assert reply.json() == {"RemainingAncestor": None}
    assert server.get(f"/instances/{second['ID']}").status == 404


def test_an_identifier_of_another_level_is_unknown(server: Server) -> None:
    ids = upload(server, patient_id="other level")
    assert server.get(f"/patients/{ids['ParentStudy']}").status == 404
    assert server.get(f"/patients/{ids['ParentStudy']}/series").json()["OrthancStatus"] == 17
    assert server.request("DELETE", f"/studies/{ids['ID']}").status == 404


def test_a_file_comes_back_byte_for_byte_under_the_name_that_is_asked_for(server: Server) -> None:
    data = make_instance(patient_id="file")
    instance = server.post("/instances", data).json()["ID"]
    plain = server.get(f"/instances/{instance}/file")
    assert plain.body == data
    assert plain.headers["Content-Type"] == "application/dicom"
    assert plain.headers["Content-Disposition"] == f'filename="{instance}.dcm"'
    named = server.get(f"/instances/{instance}/file?filename=a%22b%0D%0Ac.dcm")
    assert named.headers["Content-Disposition"] == 'filename="abc.dcm"'


@pytest.mark.parametrize(
    ("media_type", "start"),
    [("application/dicom+json", b'{"00080016":'), ("application/dicom+xml", b"<?xml version=")],
)
def test_a_file_is_shown_as_the_models_of_the_standard(server: Server, media_type: str, start: bytes) -> None:
    path = f"/instances/{upload(server, patient_id='model')['ID']}/file"
    reply = server.request("GET", path, headers={"Accept": media_type})
    assert (reply.status, reply.headers["Content-Type"]) == (200, media_type)
    assert "Content-Disposition" not in reply.headers
    assert reply.body.startswith(start)
    # Only the exact text counts: browsers and clients that take anything get the file.
    several = server.request("GET", path, headers={"Accept": f"{media_type}, */*"})
    assert several.headers["Content-Type"] == "application/dicom"


def test_an_archive_answers_what_was_stored_and_counts_what_was_not(server: Server) -> None:
    good = [make_instance(patient_id="zip", instance=number) for number in (1, 2)]
    reply = server.post("/instances", zip_of(a=good[0], b=b"no dicom", c=b"", d=good[1], e=good[0]))
    assert [item["Status"] for item in reply.json()] == ["Success", "Success", "AlreadyStored"]
    assert reply.headers["X-Rejected-Members"] == "1"


def test_a_member_beyond_the_limit_is_not_unpacked(server: Server) -> None:
    bomb = zip_of(bomb=bytes(2 << 20))
    reply = server.post("/instances", bomb)
    assert reply.json() == [] or reply.json()["OrthancStatus"] == 15


def test_a_damaged_archive_is_refused(server: Server) -> None:
    reply = server.post("/instances", zip_of(a=make_instance())[:-30])
    assert (reply.status, reply.json()["OrthancStatus"]) == (400, 15)


def test_a_gzip_body_needs_its_header(server: Server) -> None:
    body = gzip.compress(make_instance(patient_id="gzip"))
    refused = server.request("POST", "/instances", body)
    assert (refused.status, refused.json()["OrthancStatus"]) == (400, 15)
    stored = server.request("POST", "/instances", body, {"Content-Encoding": "GZIP"})
    assert stored.json()["Status"] == "Success"


def test_every_part_of_a_form_is_stored_and_nothing_is_told(server: Server) -> None:
    parts = [make_instance(patient_id="form", instance=number) for number in (1, 2)]
    headers = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
    reply = server.request("POST", "/instances", form_of(parts[0], b"no dicom", parts[1]), headers)
    assert (reply.status, reply.body) == (200, b"")
    assert "Content-Type" not in reply.headers
    patient = upload(server, patient_id="form", instance=3)["ParentPatient"]
    assert len(server.get(f"/patients/{patient}/instances?expand=0").json()) == 3


@pytest.mark.parametrize("body", [b"", b"nonsense", form_of(b"x")[:-8], form_of(b"x")[:40]])
def test_a_broken_form_is_refused(server: Server, body: bytes) -> None:
    headers = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
    reply = server.request("POST", "/instances", body, headers)
    assert (reply.status, reply.json()["OrthancStatus"]) == (400, 15)


def test_changes_tell_of_new_resources_in_their_order(server: Server) -> None:
    last = server.get("/changes?last").json()["Last"]
    ids = upload(server, patient_id="changes")
    page = server.get(f"/changes?since={last}&limit=10").json()
    assert [change["ChangeType"] for change in page["Changes"][:4]] == [
        "NewInstance",
        "NewSeries",
        "NewStudy",
        "NewPatient",
    ]
    assert page["Changes"][0]["Path"] == f"/instances/{ids['ID']}"
    assert (page["First"], page["Done"]) == (last + 1, True)
    only = server.get(f"/changes?since={last}&type=NewStudy").json()["Changes"]
    assert [change["ID"] for change in only] == [ids["ParentStudy"]]


def test_statistics_count_what_is_stored(server: Server) -> None:
    before = server.get("/statistics").json()
    data = make_instance(patient_id="statistics")
    server.post("/instances", data)
    after = server.get("/statistics").json()
    assert after["CountPatients"] == before["CountPatients"] + 1
    assert int(after["TotalDiskSize"]) == int(before["TotalDiskSize"]) + len(data)


def test_system_is_that_of_the_version_to_be_compatible_with(server: Server) -> None:
    system = server.get("/system").json()
    assert (system["Version"], system["ApiVersion"]) == ("1.13.0", 31)
    assert system["OrthancTrio"]
    assert json.dumps(system, sort_keys=True) == json.dumps(system)
