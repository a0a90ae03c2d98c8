"""Question: how fast does a study become a ZIP, as a job and streamed, and what does it cost the server?

MB/s count the bytes of the instances, not of the ZIP. The server is started anew after the upload, so that
the peak of memory is that of the archive. `archive/compressed` asks it of files that are stored compressed
(`StorageCompression`), `archive/many` of 10,000 small ones.
"""

import io
import time
import zipfile
from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from .connection import Connection, request_head
from .data import Data, Instances
from .failure import require
from .load import load_study, wait_success
from .question import Better, Question, Sample
from .server import Server

_POLL_S = 0.005
_DOWNLOADS = 5


class _Case(Struct, frozen=True):
    """Which instances become an archive, what is said of the rows, and how fast these should be."""

    data: str
    label: str
    job: float | None = None
    stream: float | None = None
    peak: float | None = None


def _question(name: str, case: _Case, settings: Mapping[str, Any] | None = None) -> Question:
    def prepare(server: Server, data: Data) -> str:
        study = load_study(server, getattr(data, case.data))
        server.restart()
        return study

    def measure(server: Server, data: Data, study: str) -> list[Sample]:
        instances: Instances = getattr(data, case.data)
        with server.connect() as connection:
            samples = _job(server, connection, case, instances, study)
        with server.connect() as connection:  # the check of the ZIP may outlast the keep-alive of the first
            return samples + _stream(server, connection, case, instances, study)

    return Question(name=f"archive/{name}", prepare=prepare, measure=measure, settings=settings or {})


def _job(
    server: Server, connection: Connection, case: _Case, instances: Instances, study: str
) -> list[Sample]:
    server.reset_peak()
    before_s, started = server.cpu_s(), time.perf_counter()
    job = connection.post_json(f"/studies/{study}/archive", {"Asynchronous": True})["ID"]
    wait_success(connection, job, _POLL_S)
    elapsed_s, cpu_s = time.perf_counter() - started, server.cpu_s() - before_s
    peak_bytes = server.peak_rss_bytes()
    download_s, body = _download(connection, f"/jobs/{job}/archive")
    _check(body, instances)
    label = f"archive job {case.label}"
    return [
        _rate(label, instances.size_bytes, elapsed_s, expected=case.job),
        Sample(f"{label}: server CPU", "s", cpu_s, Better.LOWER),
        Sample(f"{label}: peak RSS", "MB", peak_bytes / 1e6, Better.LOWER, expected=case.peak),
        Sample(f"{label}: size of the ZIP", "MB", len(body) / 1e6, Better.LOWER),
        _rate(f"{label}: download of the ZIP", len(body), download_s),
    ]


def _download(connection: Connection, path: str) -> tuple[float, bytearray]:
    """Return the median seconds of some downloads, and the body."""
    times_s = sorted(connection.discard(path)[1] for _ in range(_DOWNLOADS))
    return times_s[_DOWNLOADS // 2], connection.get(path)


def _stream(
    server: Server, connection: Connection, case: _Case, instances: Instances, study: str
) -> list[Sample]:
    server.reset_peak()
    before_s = server.cpu_s()
    answer = connection.request(request_head("GET", f"/studies/{study}/archive"))
    cpu_s = server.cpu_s() - before_s
    peak_bytes = server.peak_rss_bytes()
    require(answer.status == 200, f"the streamed archive answered {answer.status}")
    _check(answer.body, instances)
    label = f"archive streamed {case.label}"
    return [
        _rate(label, instances.size_bytes, answer.last_byte_s, expected=case.stream),
        Sample(f"{label}: first byte", "ms", 1000 * answer.first_byte_s, Better.LOWER),
        Sample(f"{label}: server CPU", "s", cpu_s, Better.LOWER),
        Sample(f"{label}: peak RSS", "MB", peak_bytes / 1e6, Better.LOWER),
    ]


def _rate(label: str, size_bytes: int, elapsed_s: float, expected: float | None = None) -> Sample:
    return Sample(label, "MB/s", size_bytes / 1e6 / elapsed_s, expected=expected)


def _check(body: bytearray, instances: Instances) -> None:
    """Require a sound ZIP with exactly the bytes that were stored."""
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        require(archive.testzip() is None, "a member of the ZIP is damaged")
        crcs = sorted(info.CRC for info in archive.infolist())
    require(crcs == instances.crcs, "the ZIP does not hold the instances that were stored")


QUESTIONS: list[Question] = [
    _question("ct", _Case("ct", "ct", job=20, stream=20, peak=0.5)),
    _question("small", _Case("small", "small")),
    _question("many", _Case("many", "many")),
    _question(
        "compressed",
        _Case("ct", "ct, stored compressed", job=80, stream=80),
        {"StorageCompression": True},
    ),
]
