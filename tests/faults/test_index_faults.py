"""The index in SQLite against a full disk, a folder without rights, and kill -9."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from orthanc_trio.index.sqlite import open_sqlite_index
from orthanc_trio.model.errors import DatabaseError
from orthanc_trio.model.resource import ResourceLevel

NOBODY = 65534

PROLOGUE = """
import resource, sys, threading
from pathlib import Path
import trio, trio.testing
from orthanc_trio.index.sqlite import open_sqlite_index
from orthanc_trio.model.errors import DatabaseError
from orthanc_trio.model.resource import ResourceLevel

def create(id, size=0):
    return lambda tx: tx.create(ResourceLevel.PATIENT, id, None, {"0010,0010": "x" * size})
"""

# A limit on the size of files stands for the disk: the log cannot grow, so the commit itself fails.
FULL_DISK = """
async def main():
    outcomes = []

    async def call(function):
        try:
            await index.write(function)
            outcomes.append("stored")
        except DatabaseError:
            outcomes.append("refused")

    async with open_sqlite_index(Path(sys.argv[1]), is_synchronous=True) as index:
        await index.write(create("before"))
        begun, held = threading.Event(), threading.Event()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(index.write, lambda tx: begun.set() or held.wait(5))
            await trio.to_thread.run_sync(begun.wait)
            for number in range(5):
                nursery.start_soon(call, create(f"full{number}", 100_000))
            await trio.testing.wait_all_tasks_blocked()
            _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
            resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, hard))
            held.set()
        assert outcomes == ["refused"] * 5, outcomes
        assert await index.read(lambda tx: tx.ids(ResourceLevel.PATIENT)) == ["before"]
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
        await index.write(create("later", 500_000))
        assert await index.read(lambda tx: tx.ids(ResourceLevel.PATIENT)) == ["before", "later"]
        assert (await index.read(lambda tx: tx.statistics())).patients == 2

trio.run(main)
"""

WRITE_FOREVER = """
async def main():
    async def write(writer):
        number = 0
        while True:
            id = f"{writer}-{number}"
            await index.write(create(id, 1000))
            print(id, flush=True)
            number += 1

    async with open_sqlite_index(Path(sys.argv[1]), is_synchronous=True) as index:
        async with trio.open_nursery() as nursery:
            for writer in range(8):
                nursery.start_soon(write, writer)

trio.run(main)
"""


def command(script: str, folder: Path) -> list[str]:
    return [sys.executable, "-c", PROLOGUE + script, str(folder)]


def test_a_full_disk_fails_the_commit_of_all_and_the_index_goes_on(tmp_path: Path) -> None:
    subprocess.run(command(FULL_DISK, tmp_path), check=True, timeout=20)


async def test_whatever_was_answered_survives_kill_9(tmp_path: Path) -> None:
    answered = kill_after(command(WRITE_FOREVER, tmp_path), lines=300)
    async with open_sqlite_index(tmp_path, is_synchronous=True) as index:
        kept = set(await index.read(lambda tx: tx.ids(ResourceLevel.PATIENT)))
        statistics = await index.read(lambda tx: tx.statistics())
    assert answered <= kept
    assert statistics.patients == len(kept)


def kill_after(arguments: list[str], lines: int) -> set[str]:
    """Kill a program after some lines of its output; return all whole lines."""
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        seen = [process.stdout.readline() for _ in range(lines)]
        process.send_signal(signal.SIGKILL)
        seen += process.stdout.readlines()
    return {line.strip() for line in seen if line.endswith("\n")}


@contextmanager
def folder_without_rights() -> Iterator[Path]:
    """A folder in which this process may create nothing, even if it is root."""
    with tempfile.TemporaryDirectory() as name:
        user = os.geteuid()
        os.chmod(name, 0o555)
        if user == 0:
            os.seteuid(NOBODY)
        try:
            yield Path(name)
        finally:
            os.seteuid(user)
            os.chmod(name, 0o755)


async def test_a_folder_without_rights_is_refused_with_the_reason() -> None:
    with folder_without_rights() as folder:
        with pytest.raises(DatabaseError, match="unable to open"):
            async with open_sqlite_index(folder, is_synchronous=True):
                pass
        with pytest.raises(DatabaseError, match="Permission denied"):
            async with open_sqlite_index(folder / "below", is_synchronous=True):
                pass
