"""Question: how long does `GET /jobs?expand` take with a long history?"""

import time

from .connection import Connection
from .data import Data
from .failure import require
from .jobs_latency import all_succeeded, submit_tiny
from .load import in_parallel, load_one
from .question import Better, Question, Sample
from .server import Server

_REPEATS = 15
_SUBMITTERS = 2
_DEADLINE_S = 300.0


def _case(count: int) -> Question:
    def prepare(server: Server, data: Data) -> set[str]:
        jobs = _submit(server, load_one(server, data), count)
        deadline = time.monotonic() + _DEADLINE_S
        while not all_succeeded(server.get_json("/jobs?expand"), jobs):
            require(time.monotonic() < deadline, f"{count} jobs were not done after {_DEADLINE_S:.0f} s")
            time.sleep(0.2)
        return jobs

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


def _submit(server: Server, instance: str, count: int) -> set[str]:
    jobs: list[str] = []
    todo = iter(range(count))

    def work(connection: Connection) -> None:
        jobs.extend(submit_tiny(connection, instance) for _ in todo)

    in_parallel(server, _SUBMITTERS, work)
    return set(jobs)


QUESTIONS = [_case(count) for count in (10, 1_000, 10_000)]
