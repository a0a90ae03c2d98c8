"""One server, shared by all tests that compare its answers with those that were recorded."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pydicom.data
import pytest

from tests.support.server import Server, running_server

GOLDEN = Path(__file__).parent / "golden"
FILES = Path(pydicom.data.__file__).parent


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, dict[str, Any]]]:
    """A server that was sent every file, in the recorded order, and its answers by file name."""
    uploads = sorted(json.loads((GOLDEN / "pydicom_files.json").read_text())["uploads"])
    with running_server(tmp_path_factory.mktemp("golden"), SyncStorageArea=False) as server:
        connection = server.connect()
        replies = {}
        for name in uploads:
            data = (FILES / name).read_bytes()
            replies[name] = server.request("POST", "/instances", data, connection=connection)
        connection.close()
        yield server, replies
