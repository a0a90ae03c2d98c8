"""Question: what do 100,000 jobs that wait cost? Only ours: the reference cannot hold its queue.

The type is held, so no job runs. Times are those of one connection, one request after the other.
"""

import statistics
import time

from .connection import Connection
from .data import Data
from .failure import require
from .jobs_latency import submit_tiny
from .load import in_parallel, load_one
from .question import Better, Question, Sample
from .server import Server
from .timing import p99, timed_ms

_PENDING = 100_000
_SUBMITTERS = 8
_REQUESTS = 500


def _measure(server: Server, data: Data, instance: str) -> list[Sample]:
    count = data.scaled(_PENDING)
    with server.connect() as connection:
        connection.post("/jobs/pause", {"Type": "Archive"})
        empty = _times_ms(connection, instance)
    before_bytes, begin = server.rss_bytes(), time.perf_counter()
    _fill(server, instance, count)
    fill_s = time.perf_counter() - begin
    grown_bytes = server.rss_bytes() - before_bytes
    with server.connect() as connection:
        full = _times_ms(connection, instance)
    known = len(server.get_json("/jobs"))
    server.stop()
    start_ms = timed_ms(server.start)
    restored_bytes = server.rss_bytes() - before_bytes
    require(len(server.get_json("/jobs")) == known, "jobs were lost at the restart")
    label = f"{count:,} pending jobs"
    return [
        *_rows("empty queue", empty),
        *_rows(label, full),
        Sample(f"{label}: submitted on {_SUBMITTERS} connections", "jobs/s", count / fill_s),
        Sample(f"{label}: memory", "B/job", grown_bytes / count, Better.LOWER),
        Sample(f"{label}: memory after a restart", "B/job", restored_bytes / count, Better.LOWER),
        Sample(f"{label}: start of the server", "s", start_ms / 1000, Better.LOWER),
    ]


def _rows(label: str, times_ms: dict[str, list[float]]) -> list[Sample]:
    return [
        Sample(f"{label}: {what}, {name}", "ms", value(times), Better.LOWER)
        for what, times in times_ms.items()
        for name, value in (("p50", statistics.median), ("p99", p99))
    ]


def _times_ms(connection: Connection, instance: str) -> dict[str, list[float]]:
    jobs: list[str] = []
    submit = [timed_ms(lambda: jobs.append(submit_tiny(connection, instance))) for _ in range(_REQUESTS)]
    get = [timed_ms(lambda path=f"/jobs/{job}": connection.get(path)) for job in jobs]  # type: ignore[misc]
    state = connection.get_json(f"/jobs/{jobs[0]}")["State"]
    require(state == "Pending", f"a job that should wait is in state {state}")
    return {"submit": submit, "GET /jobs/{id}": get}


def _fill(server: Server, instance: str, count: int) -> None:
    todo = iter(range(count))

    def work(connection: Connection) -> None:
        for _ in todo:
            submit_tiny(connection, instance)

    in_parallel(server, _SUBMITTERS, work)


QUESTIONS = [
    Question(name="jobs/pending", prepare=load_one, measure=_measure, fresh=True, ours_only=True),
]
