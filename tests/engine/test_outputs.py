"""The files that jobs leave: limit, use, removal, restart."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from orthanc_trio.jobs.journal import Journal
from orthanc_trio.jobs.outputs import Outputs
from orthanc_trio.model.errors import CannotWriteFile
from orthanc_trio.model.job import JobOutput, JobRecord, JobState
from tests.support.jobs import EPOCH, MemoryStore, make_record, names

IDS = [f"{number:08d}-0000-4000-8000-000000000000" for number in range(4)]


def make_output(job_id: str, key: str = "archive") -> JobOutput:
    return JobOutput(
        key=key, file=f"{job_id}.{key}", filename="x.zip", media_type="application/zip", size_bytes=1
    )


def finished(job_id: str, **fields: Any) -> JobRecord:
    """Return a job that has left an archive."""
    return make_record(id=job_id, state=JobState.SUCCESS, outputs=(make_output(job_id),), **fields)


def leave(outputs: Outputs, job_id: str, key: str = "archive") -> Path:
    path = outputs.path(job_id, key)
    path.write_bytes(b"x")
    return path


async def opened_outputs(folder: Path, *records: JobRecord, max_files: int = 2) -> Outputs:
    outputs = Outputs(folder, max_files=max_files)
    outputs.saved = Journal(MemoryStore())
    await outputs.restore(records)
    await outputs.drain()
    return outputs


@asynccontextmanager
async def janitor(outputs: Outputs) -> AsyncIterator[None]:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(outputs.run)
        yield
        nursery.cancel_scope.cancel()


async def test_the_least_recently_used_output_makes_place(tmp_path: Path) -> None:
    outputs = await opened_outputs(tmp_path)
    for id in IDS[:2]:
        leave(outputs, id)
        assert outputs.keep(finished(id)) == []
    descriptor = await outputs.open(make_output(IDS[0]).file)
    assert descriptor is not None
    os.close(descriptor)
    leave(outputs, IDS[2])
    assert outputs.keep(finished(IDS[2])) == [make_output(IDS[1]).file]
    await outputs.drain()
    assert names(tmp_path) == {make_output(IDS[0]).file, make_output(IDS[2]).file}


async def test_a_file_is_fetched_again_and_again_and_closed_when_it_is_removed(tmp_path: Path) -> None:
    outputs = await opened_outputs(tmp_path, max_files=20)
    before = len(os.listdir("/proc/self/fd"))
    ids = [f"{number:08d}-0000-4000-8000-000000000000" for number in range(20)]
    for id in ids:
        leave(outputs, id).write_bytes(id.encode())
        outputs.keep(finished(id))
    for id in ids * 2 + ids[::-1]:
        descriptor = await outputs.open(make_output(id).file)
        assert descriptor is not None
        assert os.pread(descriptor, 100, 0) == id.encode()
        os.close(descriptor)
    outputs.doom(make_output(id).file for id in ids[:10])
    await outputs.drain()
    assert await outputs.open(make_output(ids[0]).file) is None
    outputs.close()
    assert len(os.listdir("/proc/self/fd")) == before


async def test_a_file_says_that_it_was_used(tmp_path: Path) -> None:
    outputs = await opened_outputs(tmp_path)
    path = leave(outputs, IDS[0])
    outputs.keep(finished(IDS[0]))
    for _ in range(2):
        os.utime(path, (1, 1))
        descriptor = await outputs.open(path.name)
        assert descriptor is not None
        os.close(descriptor)
        await outputs.drain()
        assert path.stat().st_mtime > 1
    outputs.close()


async def test_files_that_a_job_began_and_does_not_leave_are_removed(tmp_path: Path) -> None:
    outputs = await opened_outputs(tmp_path)
    leave(outputs, IDS[0])
    leave(outputs, IDS[0], "scratch")
    outputs.keep(finished(IDS[0]))
    await outputs.drain()
    assert names(tmp_path) == {make_output(IDS[0]).file}


async def test_the_files_of_a_failed_job_are_gone_before_it_can_begin_anew(tmp_path: Path) -> None:
    outputs = await opened_outputs(tmp_path)
    path = leave(outputs, IDS[0])
    await outputs.discard_begun(IDS[0])
    await outputs.discard_begun(IDS[0])
    assert not path.exists()


async def test_the_janitor_removes_what_is_doomed(tmp_path: Path) -> None:
    outputs = await opened_outputs(tmp_path)
    path = leave(outputs, IDS[0])
    outputs.keep(finished(IDS[0]))
    async with janitor(outputs):
        outputs.doom_all(make_record(id=IDS[0], outputs=(make_output(IDS[0]),)))
        outputs.doom(["never was"])
        while path.exists():  # a thread of the outputs removes it
            await trio.lowlevel.checkpoint()
    assert await outputs.open(path.name) is None


async def test_an_output_that_vanished_cannot_be_opened(tmp_path: Path) -> None:
    outputs = await opened_outputs(tmp_path)
    path = leave(outputs, IDS[0])
    outputs.keep(finished(IDS[0]))
    path.unlink()
    assert await outputs.open(path.name) is None


async def test_a_start_keeps_what_belongs_to_jobs_and_removes_the_rest(tmp_path: Path) -> None:
    for id in IDS:
        (tmp_path / f"{id}.archive").write_bytes(b"x")
    (tmp_path / "stray").write_bytes(b"x")
    finished = make_record(id=IDS[0], state=JobState.SUCCESS, outputs=(make_output(IDS[0]),))
    paused = make_record(id=IDS[1], state=JobState.PAUSED)
    failed = make_record(id=IDS[2], state=JobState.FAILURE)
    outputs = await opened_outputs(tmp_path, finished, paused, failed)
    assert names(tmp_path) == {f"{IDS[0]}.archive", f"{IDS[1]}.archive"}
    await outputs.discard_begun(IDS[1])
    assert names(tmp_path) == {f"{IDS[0]}.archive"}


async def test_a_start_tells_which_outputs_are_gone_or_too_many(tmp_path: Path) -> None:
    records = [
        make_record(
            id=id,
            state=JobState.SUCCESS,
            outputs=(make_output(id),),
            changed=EPOCH + timedelta(seconds=-number),
        )
        for number, id in enumerate(IDS)
    ]
    for record in records[:3]:
        path = tmp_path / f"{record.id}.archive"
        path.write_bytes(b"x")
        os.utime(path, (record.changed.timestamp(),) * 2)
    outputs = Outputs(tmp_path, max_files=2)
    outputs.saved = Journal(MemoryStore())
    assert await outputs.restore(records) == {f"{IDS[3]}.archive", f"{IDS[2]}.archive"}


async def test_a_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(CannotWriteFile):
        await Outputs(tmp_path / "file" / "jobs", max_files=1).restore([])


async def test_a_file_that_cannot_be_removed_is_left_to_the_next_start(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    outputs = await opened_outputs(tmp_path)
    (tmp_path / "folder").mkdir()
    outputs.doom(["folder"])
    await outputs.drain()
    assert len(caplog.records) == 1


async def test_a_small_output_that_is_removed_while_it_is_opened_stays_removed(tmp_path: Path) -> None:
    may_load = trio.Event()

    class SlowStore(MemoryStore):
        async def load_output(self, file: str) -> bytes | None:
            await may_load.wait()
            return await super().load_output(file)

    store = SlowStore()
    journal = Journal(store)
    record = finished(IDS[0])
    [output] = record.outputs
    store.outputs = {output.file: b"x"}
    outputs = Outputs(tmp_path, max_files=1)
    outputs.saved = journal
    assert await outputs.restore([record]) == set()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(outputs.open, output.file)
        await trio.testing.wait_all_tasks_blocked()
        outputs.doom([output.file])
        may_load.set()
    await journal.flush()
    assert store.outputs == {}
