"""An archive that is stopped in the middle goes on where it was, and nothing of it is left behind."""

import csv
import hashlib
import io
import random
import time
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.support.dicom import make_instance
from tests.support.server import Server, running_server

MEBIBYTE = 1 << 20
COUNT = 20
SIZE = 5 * MEBIBYTE
NOISE = random.Random(5).randbytes(SIZE)


def filled(server: Server) -> tuple[str, list[bytes]]:
    """Store a study that takes several steps to become an archive; one instance is a large one."""
    files = []
    for number in range(COUNT):
        head = make_instance(instance=number, rows=0, study=1)
        files.append(head + NOISE[: SIZE - len(head)] * (4 if number == 2 else 1))
    ids = [server.post("/instances", data).json()["ParentStudy"] for data in files]
    return str(ids[0]), files


def wait_progress(server: Server, job: str, least: float) -> float:
    """Return the progress of a job when it is at least that, or when the job has ended."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        answer = server.get(f"/jobs/{job}").json()
        if answer["Progress"] >= least or answer["State"] in ("Success", "Failure"):
            return float(answer["Progress"])
    raise AssertionError("the job does not go on")


def stop(server: Server, job: str, how: str) -> None:
    """Stop the job, or the server with it, and let it go on."""
    if how == "pause":
        server.post(f"/jobs/{job}/pause")
        server.wait_for_job(job, ("Paused", "Success"))
        server.post(f"/jobs/{job}/resume")
        return
    if how == "kill":
        server.kill()
    else:
        assert server.terminate() == 0
    server.start()


def output_files(server: Server) -> list[str]:
    return sorted(path.name for path in (server.storage / "jobs").iterdir())


def check(data: bytes, files: list[bytes], *, is_media: bool, has_manifest: bool) -> None:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        extra = {name for name in archive.namelist() if name in ("DICOMDIR", "manifest.csv")}
        assert ("DICOMDIR" in extra, "manifest.csv" in extra) == (is_media, has_manifest)
        members = [archive.read(name) for name in archive.namelist() if name not in extra]
        checksums = {hashlib.sha256(each).hexdigest() for each in files}
        assert {hashlib.sha256(each).hexdigest() for each in members} == checksums
        assert len(members) == len(files)
        if has_manifest:
            rows = list(csv.DictReader(io.StringIO(archive.read("manifest.csv").decode())))
            assert checksums <= {row["SHA256"] for row in rows}


@pytest.mark.time_limit(120)
@pytest.mark.parametrize("is_compressed", [False, True])
@pytest.mark.parametrize("form", ["archive", "media"])
def test_a_job_goes_on_after_every_kind_of_stop(tmp_path: Path, form: str, is_compressed: bool) -> None:
    options: dict[str, Any] = {"StorageCompression": is_compressed, "ShutdownGracePeriod": 0}
    has_manifest = form == "archive"
    with running_server(tmp_path, **options) as server:
        study, files = filled(server)
        body = {"Asynchronous": True, "Manifest": has_manifest}
        job = server.post(f"/studies/{study}/{form}", body).json()["ID"]
        for least, how in ((0.02, "pause"), (0.1, "kill"), (0.3, "terminate")):
            reached = wait_progress(server, job, least)
            stop(server, job, how)
            # What was saved last may lie behind what was shown last, but the job does not begin anew.
            assert wait_progress(server, job, 0) > 0 or reached < least
        assert server.wait_for_job(job)["State"] == "Success"
        data = server.get(f"/jobs/{job}/archive").body
        check(data, files, is_media=form == "media", has_manifest=has_manifest)
        assert output_files(server) == [f"{job}.archive"]


@pytest.mark.time_limit(60)
def test_a_crash_leaves_no_file_of_a_job_that_was_cancelled_or_streamed(tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        study, _ = filled(server)
        cancelled = server.post(f"/studies/{study}/media", {"Asynchronous": True}).json()["ID"]
        wait_progress(server, cancelled, 0.05)
        connection = server.connect()
        connection.request("GET", f"/studies/{study}/media")
        connection.getresponse().read(1)
        server.post(f"/jobs/{cancelled}/cancel")
        server.kill()
        connection.close()
        server.start()
        state = server.wait_for_job(cancelled)["State"]
        kept = [f"{cancelled}.archive"] if state == "Success" else []
        deadline = time.monotonic() + 5
        while output_files(server) != kept and time.monotonic() < deadline:
            time.sleep(0.05)
        assert output_files(server) == kept


@pytest.mark.time_limit(60)
def test_a_failed_archive_runs_again_when_it_is_resubmitted(tmp_path: Path) -> None:
    with running_server(tmp_path, SyncStorageArea=False) as server:
        data = make_instance(instance=1, SOPClassUID="1.2.3")
        instance = server.post("/instances", data).json()
        # A file that no DICOMDIR can tell of.
        file = file_of(server, instance["ID"])
        path = server.storage / file[:2] / file
        server.wait_until(path.exists)  # until it is settled
        path.write_bytes(bytes(len(data)))
        body = {"Asynchronous": True}
        job = server.post(f"/studies/{instance['ParentStudy']}/media", body).json()["ID"]
        assert server.wait_for_job(job)["State"] == "Failure"
        assert output_files(server) == []
        path.write_bytes(data)
        assert server.post(f"/jobs/{job}/resubmit").status == 200
        assert server.wait_for_job(job, ("Success",))["State"] == "Success"
        with zipfile.ZipFile(io.BytesIO(server.get(f"/jobs/{job}/archive").body)) as archive:
            assert archive.read("IMAGES/IM0") == data


def file_of(server: Server, instance: str) -> str:
    return str(server.get(f"/instances/{instance}").json()["FileUuid"])


def test_outputs_are_evicted_least_recently_used_first_over_restarts(tmp_path: Path) -> None:
    options: dict[str, Any] = {"MediaArchiveSize": 2, "JobsHistorySize": 100}
    with running_server(tmp_path, **options) as server:
        study = server.post("/instances", make_instance()).json()["ParentStudy"]

        def submit() -> str:
            job = server.post(f"/studies/{study}/archive", {"Asynchronous": True}).json()["ID"]
            assert server.wait_for_job(job)["State"] == "Success"
            return str(job)

        def kept(*jobs: str) -> list[bool]:
            return [server.request("HEAD", f"/jobs/{job}/archive").status == 200 for job in jobs]

        first, second = submit(), submit()
        server.terminate()
        server.start()
        assert kept(first, second) == [True, True]
        assert server.get(f"/jobs/{first}/archive").status == 200  # now the one used last
        third = submit()
        assert kept(first, second, third) == [True, False, True]
        server.kill()
        server.start()
        assert kept(first, second, third) == [True, False, True]
        assert {server.get(f"/jobs/{job}").json()["State"] for job in (first, second, third)} == {"Success"}
