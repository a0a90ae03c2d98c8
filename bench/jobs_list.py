"""Question: how long does `GET /jobs?expand` take with a long history?"""

import time

from .data import Data
from .failure import require
from .jobs_latency import all_succeeded, submit_many
from .load import load_one
from .question import Better, Question, Sample
from .server import Server

_REPEATS = 15


def _case(count: int) -> Question:
    def prepare(server: Server, data: Data) -> set[str]:
        return submit_many(server, load_one(server, data), count)

    def measure(server: Server, _data: Data, jobs: set[str]) -> list[Sample]:
        times_ms = []
        with server.connect() as connection:
            for _ in range(_REPEATS):
                started = time.perf_counter()
                listed = connection.get("/jobs?expand")
                times_ms.append(1000 * (time.perf_counter() - started))
            require(listed.count(b'"State"') == count, f"the list does not hold {count} jobs")
            require(all_succeeded(connection.get_json("/jobs?expand"), jobs), "a finished job is not Success")
        median_ms = sorted(times_ms)[_REPEATS // 2]
        expected = 0.2 if count == 10_000 else None
        return [Sample(f"GET /jobs?expand, {count:,} jobs", "ms", median_ms, Better.LOWER, expected)]

    settings = {"JobsHistorySize": 100_000}
    return Question(name=f"jobs/list/{count}", prepare=prepare, measure=measure, settings=settings)


QUESTIONS = [_case(count) for count in (10, 1_000, 10_000)]
