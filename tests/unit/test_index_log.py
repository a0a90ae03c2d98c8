"""The write-ahead log has its room from the beginning, and that changes nothing of what it holds."""

import shutil
from pathlib import Path

import pytest

from orthanc_trio.index.sqlite import open_sqlite_index

MEBIBYTE = 1 << 20


async def test_the_log_does_not_grow_with_the_first_commits(tmp_path: Path) -> None:
    log = tmp_path / "index-wal"
    async with open_sqlite_index(tmp_path, is_synchronous=True) as index:
        size = log.stat().st_size
        assert size > MEBIBYTE
        for number in range(50):
            await index.write(lambda tx, number=number: tx.set_property(str(number), "x" * 5000))  # type: ignore[misc]
        assert log.stat().st_size == size


@pytest.mark.parametrize("keeps_zeros", [True, False])
async def test_what_a_crash_left_in_the_log_is_found(tmp_path: Path, *, keeps_zeros: bool) -> None:
    before, after = tmp_path / "before", tmp_path / "after"
    async with open_sqlite_index(before, is_synchronous=True) as index:
        await index.write(lambda tx: tx.set_property("key", "value"))
        shutil.copytree(before, after)  # as it lies on the disk at this moment
    (after / "index-shm").unlink()
    if not keeps_zeros:  # as a version that did not allocate has left it
        log = after / "index-wal"
        log.write_bytes(log.read_bytes().rstrip(b"\0"))
    async with open_sqlite_index(after, is_synchronous=True) as index:
        assert await index.read(lambda tx: tx.get_property("key")) == "value"
        await index.write(lambda tx: tx.set_property("key", "new"))
    async with open_sqlite_index(after, is_synchronous=True) as index:
        assert await index.read(lambda tx: tx.get_property("key")) == "new"
