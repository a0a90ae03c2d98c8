"""An archive of 10 GB costs no memory, and is one that others can read.

The files are sparse: they are stored as small ones and made longer behind the back of the server.
"""

import os
import re
import sqlite3
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from isal import isal_zlib

from tests.support.dicom import make_instance
from tests.support.server import Server, running_server

GIBIBYTE = 1 << 30
SIZES = (5 * GIBIBYTE + 1, 4 * GIBIBYTE, *[8 << 20] * 64)
"""About 10 GB: two members above the limits of 32 bits, and many that fit in memory."""
MOST_GROWTH = 64 << 20


def make_sparse(server: Server) -> list[int]:
    """Make the stored files as long as SIZES say, and return the CRC-32 of each."""
    heads = {}
    with sqlite3.connect(server.storage / "index") as index:
        keys = [key for (key,) in index.execute("SELECT uuid FROM attachments ORDER BY row")]
        for key, size in zip(keys, SIZES, strict=True):
            [path] = server.storage.rglob(key)
            heads[key] = path.read_bytes()
            os.truncate(path, size)
            index.execute(
                "UPDATE attachments SET size = ?, uncompressed_size = ? WHERE uuid = ?", (size, size, key)
            )
    index.close()
    return [crc_with_zeros(heads[key], size) for key, size in zip(keys, SIZES, strict=True)]


def crc_with_zeros(head: bytes, size: int) -> int:
    crc, rest = isal_zlib.crc32(head), size - len(head)
    block, length = isal_zlib.crc32(b"\0"), 1
    while rest:  # by doubling
        if rest & 1:
            crc = isal_zlib.crc32_combine(crc, block, length)
        block, length, rest = isal_zlib.crc32_combine(block, block, length), 2 * length, rest >> 1
    return int(crc)


@pytest.fixture
def sparse(tmp_path: Path) -> Iterator[tuple[Server, str, list[int]]]:
    with running_server(tmp_path, SyncStorageArea=False) as server:
        for number in range(len(SIZES)):
            study = server.post("/instances", make_instance(instance=number + 1)).json()["ParentStudy"]
        assert server.terminate() == 0
        crcs = make_sparse(server)
        server.start()
        yield server, study, crcs


def memory(server: Server, key: str) -> int:
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    found = re.search(rf"{key}:\s+(\d+) kB", status)
    assert found is not None
    return int(found[1]) << 10


@pytest.mark.time_limit(300)
def test_an_archive_of_10_gb_costs_no_memory(sparse: tuple[Server, str, list[int]], tmp_path: Path) -> None:
    server, study, crcs = sparse
    assert server.get("/studies").status == 200
    before = memory(server, "VmRSS")
    path = tmp_path / "streamed.zip"
    url = f"http://127.0.0.1:{server.port}/studies/{study}/archive"
    subprocess.run(["curl", "-sSf", "-o", path, url], check=True, timeout=280)
    assert memory(server, "VmHWM") - before < MOST_GROWTH
    listed = subprocess.run(["unzip", "-v", path], capture_output=True, text=True, check=True).stdout
    rows = [line.split() for line in listed.splitlines() if line.endswith(".dcm")]
    assert [(int(row[0]), int(row[6], 16)) for row in rows] == list(zip(SIZES, crcs, strict=True))
    assert path.read_bytes()[-22 - 18 :][:4] == struct.pack("<L", 0x06054B50)
