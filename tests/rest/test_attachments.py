"""Attachments: what the server attaches, and what users do, on a running server."""

import gzip
import hashlib
import random
import zlib
from collections.abc import Iterator

import pytest

from tests.support.dicom import make_instance
from tests.support.server import Reply, Server, running_server, stored_files

LEVELS = ("patients", "studies", "series", "instances")
TYPES = {"mine": 1026, "picture": [1027, "image/png"]}
LARGE = 17 << 20
"""Larger than what is held in memory."""


@pytest.fixture(scope="module", params=[False, True], ids=["plain", "compressed"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("attachments")
    options = {"SyncStorageArea": False, "UserContentType": TYPES, "StorageCompression": request.param}
    with running_server(folder, **options) as running:
        yield running


def upload(server: Server, patient_id: str) -> dict[str, str]:
    """Store an instance of a new patient and return where the attachments of its resources are."""
    ids = server.post("/instances", make_instance(patient_id=patient_id)).json()
    parents = (ids["ParentPatient"], ids["ParentStudy"], ids["ParentSeries"], ids["ID"])
    return {level: f"/{level}/{id}/attachments" for level, id in zip(LEVELS, parents, strict=True)}


def code(reply: Reply) -> tuple[int, int]:
    return reply.status, reply.json()["OrthancStatus"]


def etag(revision: int, content: bytes) -> str:
    return f'"{revision}-{hashlib.md5(content).hexdigest()}"'


def put(server: Server, path: str, content: bytes, **headers: str) -> Reply:
    return server.request(
        "PUT", path, content, {name.replace("_", "-"): text for name, text in headers.items()}
    )


def test_the_file_of_an_instance_is_an_attachment(server: Server) -> None:
    data = make_instance(patient_id="file")
    path = upload(server, "file")["instances"]
    assert server.get(path).json() == ["dicom"]
    assert server.get(f"{path}?full").json() == {"dicom": 1}
    for name in ("dicom", "1"):
        reply = server.get(f"{path}/{name}")
        assert reply.headers["ETag"] == etag(0, data)
        assert reply.json() == [
            *("compress", "compressed-data", "compressed-md5", "compressed-size", "data", "info"),
            *("is-compressed", "md5", "size", "uncompress", "verify-md5"),
        ]
    info = server.get(f"{path}/dicom/info").json()
    stored = server.get(f"{path}/dicom/compressed-data").body
    assert info == {
        "CompressedMD5": hashlib.md5(stored).hexdigest(),
        "CompressedSize": len(stored),
        "ContentType": 1,
        "UncompressedMD5": hashlib.md5(data).hexdigest(),
        "UncompressedSize": len(data),
        "Uuid": info["Uuid"],
    }
    reply = server.get(f"{path}/dicom/data")
    assert reply.body == data
    assert reply.headers["Content-Type"] == "application/dicom"
    assert reply.headers["Content-Disposition"] == f'filename="{info["Uuid"]}"'
    named = server.get(f"{path}/dicom/data?filename=x%20y.dcm")
    assert named.headers["Content-Disposition"] == 'filename="x y.dcm"'


@pytest.mark.parametrize("level", LEVELS)
def test_users_attach_replace_and_remove_files_at_each_level(server: Server, level: str) -> None:
    path = upload(server, f"user {level}")[level]
    known = server.get(path).json()
    last = server.get("/changes?last").json()["Last"]
    for name, content in (("picture", b"a"), ("1030", b"b" * 5000), ("mine", b"")):
        reply = put(server, f"{path}/{name}", content)
        assert (reply.status, reply.body, reply.headers["ETag"]) == (200, b"{}", etag(0, content))
        assert server.get(f"{path}/{name}/data").body == content
    assert server.get(path).json() == [*known, "mine", "picture", "1030"]
    assert server.get(f"{path}/picture/data").headers["Content-Type"] == "image/png"
    assert server.get(f"{path}/1026/data").headers["Content-Type"] == "application/octet-stream"
    assert put(server, f"{path}/mine", b"new").headers["ETag"] == etag(1, b"new")
    assert server.get(f"{path}/mine/data").body == b"new"
    reply = server.request("DELETE", f"{path}/mine")
    assert (reply.status, reply.body) == (200, b"")
    assert code(server.request("DELETE", f"{path}/mine")) == (404, 17)
    assert code(server.get(f"{path}/mine/data")) == (404, 17)
    assert put(server, f"{path}/mine", b"again").headers["ETag"] == etag(0, b"again")
    changes = server.get(f"/changes?since={last}").json()["Changes"]
    assert [change["ChangeType"] for change in changes] == ["UpdatedAttachment"] * 6


def test_a_change_needs_the_revision_that_is_there(server: Server) -> None:
    path = upload(server, "revisions")["studies"] + "/mine"
    put(server, path, b"a")
    for wrong in (etag(1, b"a"), etag(0, b"b")):
        assert code(put(server, path, b"b", If_Match=wrong)) == (409, 43)
        assert code(server.request("DELETE", path, headers={"If-Match": wrong})) == (409, 43)
    assert code(put(server, path, b"b", If_Match="foo")) == (400, 3)
    assert put(server, path, b"b", If_Match=etag(0, b"a")).headers["ETag"] == etag(1, b"b")
    reply = server.request("GET", f"{path}/data", headers={"If-None-Match": etag(1, b"b")})
    assert (reply.status, reply.body, reply.headers["ETag"]) == (304, b"", etag(1, b"b"))
    assert server.request("GET", f"{path}/data", headers={"If-None-Match": etag(0, b"a")}).body == b"b"


@pytest.mark.parametrize("size", [0, 1, 5000, LARGE])
def test_a_file_can_be_compressed_and_uncompressed(server: Server, size: int) -> None:
    path = upload(server, f"compress {size}")["series"] + "/mine"
    content = (random.Random(0).randbytes(1 << 20) * (size // (1 << 20) + 1))[:size]
    before = int(server.get("/statistics").json()["TotalDiskSize"])
    put(server, path, content)
    server.post(f"{path}/uncompress")
    revision = int(server.get(path).headers["ETag"][1:].partition("-")[0])
    for operation, shown in (("compress", b"1"), ("compress", b"1"), ("uncompress", b"0")):
        reply = server.post(f"{path}/{operation}")
        assert (reply.status, reply.body) == (200, b"{}")
        assert server.get(f"{path}/is-compressed").body == shown
        assert hashlib.sha1(server.get(f"{path}/data").body).digest() == hashlib.sha1(content).digest()
        assert server.post(f"{path}/verify-md5").body == b"{}"
        assert server.get(f"{path}/size").body == str(size).encode()
        disk_size = int(server.get("/statistics").json()["TotalDiskSize"]) - before
        assert server.get(f"{path}/compressed-size").body == str(disk_size).encode()
    assert disk_size == size
    assert server.get(path).headers["ETag"] == etag(revision + 2, content)


def test_the_file_of_an_instance_can_be_recoded_as_well(server: Server) -> None:
    data = make_instance(patient_id="recode")
    path = upload(server, "recode")["instances"] + "/dicom"
    instance = path.removesuffix("/attachments/dicom")
    for operation in ("compress", "uncompress", "compress"):
        server.post(f"{path}/{operation}")
        assert server.get(f"{instance}/file").body == data
        assert server.get(instance).json()["FileUuid"] == server.get(f"{path}/info").json()["Uuid"]
    packed = server.request("GET", f"{path}/data", headers={"Accept-Encoding": "gzip"})
    assert packed.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(packed.body) == data
    assert int(server.get(f"{path}/compressed-size").body) < len(data)
    stored = server.get(f"{path}/compressed-data")
    assert zlib.decompress(stored.body, -15) == data
    assert stored.headers["Content-Type"] == "application/octet-stream"


@pytest.mark.parametrize("operation", ["compress", "uncompress"])
@pytest.mark.parametrize(
    ("wanted", "part"),
    [("0-3", slice(0, 4)), ("128-131", slice(128, 132)), ("5-", slice(5, None)), ("-4", slice(-4, None))],
)
def test_a_part_of_a_file(server: Server, operation: str, wanted: str, part: slice) -> None:
    data = make_instance(patient_id="range")
    path = upload(server, "range")["instances"] + "/dicom"
    server.post(f"{path}/{operation}")
    for form in ("data", "compressed-data"):
        whole = server.get(f"{path}/{form}").body
        reply = server.request("GET", f"{path}/{form}", headers={"Range": f"bytes={wanted}"})
        start, end, _ = part.indices(len(whole))
        assert (reply.status, reply.body) == (206, whole[start:end])
        assert reply.headers["Content-Range"] == f"bytes {start}-{end - 1}/{len(whole)}"
        assert reply.headers["Content-Type"] == "application/octet-stream"
    beyond = server.request("GET", f"{path}/data", headers={"Range": f"bytes={len(data)}-"})
    assert code(beyond) == (416, 41)


def test_only_what_belongs_to_users_can_be_changed(server: Server) -> None:
    path = upload(server, "refused")["instances"]
    for name in ("dicom", "1", "dicom-as-json", "1023", "65536"):
        assert (put(server, f"{path}/{name}", b"x").status) == 403
    for name in ("dicom", "dicom-until-pixel-data", "70000"):
        assert server.request("DELETE", f"{path}/{name}").status == 403
    assert code(server.request("DELETE", f"{path}/dicom-as-json")) == (404, 17)


@pytest.mark.parametrize("suffix", ["", "/data", "/size", "/md5", "/info", "/is-compressed"])
def test_what_is_not_there_is_not_found(server: Server, suffix: str) -> None:
    paths = upload(server, "missing")
    assert code(server.get(f"{paths['instances']}/nope{suffix}")) == (404, 7)
    other_level = paths["studies"].replace("studies", "series")
    for path in (f"{paths['instances']}/1040", f"{other_level}/mine", "/studies/none/attachments/mine"):
        assert code(server.get(path + suffix)) == (404, 17)


def test_changes_of_what_is_not_there_are_refused(server: Server) -> None:
    path = upload(server, "missing changes")["instances"]
    assert code(put(server, f"{path}/nope", b"x")) == (404, 7)
    assert code(put(server, "/studies/none/attachments/mine", b"x")) == (404, 7)
    assert code(server.request("DELETE", f"{path}/nope")) == (404, 7)
    for operation in ("compress", "uncompress"):
        assert code(server.post(f"{path}/nope/{operation}")) == (404, 7)
        assert code(server.post(f"{path}/1040/{operation}")) == (404, 17)
    reply = server.post(f"{path}/1040/verify-md5")
    assert (reply.status, reply.body) == (400, b"")
    assert code(server.post(f"{path}/nope/verify-md5")) == (404, 7)


def test_a_damaged_file_is_noticed(server: Server) -> None:
    path = upload(server, "damaged")["instances"] + "/dicom"
    key = server.get(f"{path}/info").json()["Uuid"]
    file = server.storage / key[:2] / key
    server.wait_until(file.exists)  # until it is settled
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 0xFF
    file.write_bytes(content)
    reply = server.post(f"{path}/verify-md5")
    assert (reply.status, reply.body) == (400, b"")


def test_attachments_go_with_their_resource(server: Server) -> None:
    path = upload(server, "gone")["patients"]
    put(server, f"{path}/mine", b"x" * LARGE)
    key = server.get(f"{path}/mine/info").json()["Uuid"]
    assert key in stored_files(server)
    server.request("DELETE", path.removesuffix("/attachments"))
    assert code(server.get(path)) == (404, 17)


def test_a_server_that_checks_revisions_wants_to_hear_one(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("checking")
    with running_server(folder, CheckRevisions=True, StoreMD5ForAttachments=False) as server:
        path = upload(server, "checked")["studies"] + "/1024"
        assert put(server, path, b"a").headers["ETag"] == '"0-"'
        assert code(put(server, path, b"b")) == (409, 43)
        assert code(server.request("DELETE", path)) == (409, 43)
        assert put(server, path, b"b", If_Match='"0-"').status == 200
        assert server.get(f"{path}/md5").status == 404
        assert "md5" not in server.get(path).json()
        assert server.post(f"{path}/verify-md5").status == 400
