"""Question: how fast are stored files read back through `/instances/{id}/file`?

A server may keep in memory what was stored last, so that file is asked for first, and then all in turn.
`download/compressed` asks for files that are stored compressed (`StorageCompression`), as they were before.
"""

import zlib
from collections.abc import Mapping
from typing import Any

from .data import Data
from .failure import require
from .load import on_connections, requests_per_s, upload
from .question import Question, Sample
from .server import Server

_SECONDS = 3.0
_CONNECTIONS = (1, 4)


def _prepare(server: Server, data: Data) -> list[str]:
    """Return the paths of all files, the one stored last at the end."""
    _, ids = upload(server, data.ct.files, connections=4)
    return [f"/instances/{id}/file" for id in ids]


def _question(name: str, form: str, settings: Mapping[str, Any]) -> Question:
    def measure(server: Server, data: Data, paths: list[str]) -> list[Sample]:
        samples = [
            _sample(server, data, f"{label}{form}", chosen, connections)
            for label, chosen in (("the file stored last", paths[-1:]), ("all files in turn", paths))
            for connections in _CONNECTIONS
        ]
        _check(server, data, paths)
        return samples

    return Question(name=name, prepare=_prepare, measure=measure, settings=settings, fresh=True)


def _sample(server: Server, data: Data, label: str, paths: list[str], connections: int) -> Sample:
    seconds = 1.0 if data.quick else _SECONDS
    size_mb = data.ct.size_bytes / len(data.ct.files) / 1e6
    rate = requests_per_s(server, paths, connections, seconds)
    return Sample(f"download ct, {label}, {on_connections(connections)}", "MB/s", size_mb * rate)


def _check(server: Server, data: Data, paths: list[str]) -> None:
    """Require that every file is what was stored."""
    with server.connect() as connection:
        crcs = sorted(zlib.crc32(connection.get(path)) for path in paths)
    require(crcs == data.ct.crcs, "the downloaded files are not those that were stored")


QUESTIONS = [
    _question("download", "", {}),
    _question("download/compressed", ", stored compressed", {"StorageCompression": True}),
]
