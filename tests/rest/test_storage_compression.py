"""`StorageCompression`: what is stored deflated is read back by everybody, and by whom it suits as it is."""

import gzip
import hashlib
import io
import random
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.dicom import make_instance
from tests.support.server import Server, running_server

JPEG = "1.2.840.10008.1.2.4.50"
LARGE = 17 << 20
"""Larger than what an upload holds in memory."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(tmp_path_factory.mktemp("server"), StorageCompression=True) as server:
        yield server


@pytest.fixture(scope="module")
def large() -> bytes:
    noise = random.Random(0).randbytes(1 << 19).hex().encode()
    return make_instance(instance=9, study=9, EncapsulatedDocument=noise * (LARGE >> 20) + b"the end!")


def stored_id(server: Server, data: bytes) -> str:
    answer = server.post("/instances", data).json()
    assert answer["Status"] == "Success"
    return str(answer["ID"])


def test_a_file_is_smaller_on_the_disk_and_the_same_to_its_readers(server: Server) -> None:
    data = make_instance(rows=64)
    id = stored_id(server, data)
    assert server.get(f"/instances/{id}/file").body == data
    assert server.get(f"/instances/{id}").json()["FileSize"] == len(data)
    statistics = server.get("/statistics").json()
    assert int(statistics["TotalDiskSize"]) < int(statistics["TotalUncompressedSize"])
    tags = server.get(f"/instances/{id}/simplified-tags").json()
    assert tags["PatientID"] == "P1"


def test_a_client_that_takes_gzip_gets_what_is_stored(server: Server) -> None:
    data = make_instance(instance=2, rows=64)
    id = stored_id(server, data)
    reply = server.request("GET", f"/instances/{id}/file", headers={"Accept-Encoding": "br, gzip"})
    assert reply.headers["Content-Encoding"] == "gzip"
    assert reply.headers["Vary"] == "Accept-Encoding"
    assert int(reply.headers["Content-Length"]) == len(reply.body) < len(data)
    assert gzip.decompress(reply.body) == data


def test_a_large_file_is_deflated_and_inflated_in_pieces(server: Server, large: bytes) -> None:
    id = stored_id(server, large)
    plain = server.get(f"/instances/{id}/file")
    assert int(plain.headers["Content-Length"]) == len(large)
    assert hashlib.sha1(plain.body).digest() == hashlib.sha1(large).digest()
    packed = server.request("GET", f"/instances/{id}/file", headers={"Accept-Encoding": "gzip"})
    assert gzip.decompress(packed.body) == large
    study = server.get(f"/instances/{id}/study").json()["ID"]
    with zipfile.ZipFile(io.BytesIO(server.get(f"/studies/{study}/archive").body)) as archive:
        assert archive.testzip() is None
        assert [archive.read(name) for name in archive.namelist()] == [large]


def test_what_does_not_shrink_is_stored_as_it_is(server: Server) -> None:
    for number, size in enumerate((8 << 20, LARGE)):
        data = make_instance(study=80 + number, EncapsulatedDocument=random.Random(1).randbytes(size))
        id = stored_id(server, data)
        info = server.get(f"/instances/{id}/attachments/dicom/info").json()
        assert info["CompressedSize"] == info["UncompressedSize"] == len(data)
        assert info["CompressedMD5"] == info["UncompressedMD5"] == hashlib.md5(data).hexdigest()
        assert server.get(f"/instances/{id}/attachments/dicom/is-compressed").body == b"0"
        assert server.get(f"/instances/{id}/file").body == data


@pytest.mark.parametrize("form", ["archive", "media"])
def test_archives_hold_the_content(server: Server, form: str) -> None:
    study = 20 + len(form)
    files = [make_instance(study=study, instance=number, rows=32) for number in range(3)]
    ids = [stored_id(server, data) for data in files]
    parent = server.get(f"/instances/{ids[0]}/study").json()["ID"]
    job = server.post(f"/studies/{parent}/{form}", {"Asynchronous": True}).json()["ID"]
    assert server.wait_for_job(job)["State"] == "Success"
    with zipfile.ZipFile(io.BytesIO(server.get(f"/jobs/{job}/archive").body)) as archive:
        assert archive.testzip() is None
        members = [archive.read(name) for name in archive.namelist() if name != "DICOMDIR"]
    assert sorted(members) == sorted(files)


def test_files_whose_pixels_are_compressed_stay_as_they_are(tmp_path: Path) -> None:
    data = make_instance(rows=64, transfer_syntax=JPEG)
    with running_server(tmp_path, StorageCompression=True) as server:
        id = stored_id(server, data)
        statistics = server.get("/statistics").json()
        assert statistics["TotalDiskSize"] == statistics["TotalUncompressedSize"] == str(len(data))
        reply = server.request("GET", f"/instances/{id}/file", headers={"Accept-Encoding": "gzip"})
        assert "Content-Encoding" not in reply.headers
        assert reply.body == data


def test_the_option_may_change_between_two_starts(tmp_path: Path) -> None:
    files: dict[str, bytes] = {}
    for number, is_compressed in enumerate([True, False, True]):
        with running_server(tmp_path, StorageCompression=is_compressed) as server:
            data = make_instance(instance=number, rows=64)
            files[stored_id(server, data)] = data
            assert server.post("/instances", data).json()["Status"] == "AlreadyStored"
            for id, content in files.items():
                assert server.get(f"/instances/{id}/file").body == content
            server.terminate()
    with running_server(tmp_path) as server:
        for id in files:
            server.request("DELETE", f"/instances/{id}")
        assert server.get("/statistics").json()["TotalDiskSize"] == "0"


@pytest.mark.parametrize("is_streamed", [True, False])
def test_what_is_stored_goes_into_archives_as_it_is(tmp_path: Path, is_streamed: bool) -> None:
    noise = random.Random(0).randbytes(1 << 19).hex().encode()
    files = [make_instance(instance=n, EncapsulatedDocument=noise[n:]) for n in range(1, 9, 2)]
    options: dict[str, Any] = {"StorageCompression": True, "SynchronousZipStream": is_streamed}
    with running_server(tmp_path, SyncStorageArea=False, **options) as server:
        for data in files:
            study = server.post("/instances", data).json()["ParentStudy"]
        reply = server.get(f"/studies/{study}/archive")
        assert ("Content-Length" in reply.headers) != is_streamed
        with zipfile.ZipFile(io.BytesIO(reply.body)) as archive:
            assert [archive.read(name) for name in archive.namelist()] == files
