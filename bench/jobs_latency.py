"""Questions: how soon is a tiny job done, and how many can be done per second?"""

import time
from typing import Any

from .connection import Connection
from .data import Data
from .failure import require
from .load import in_parallel, load_one, wait_success
from .question import Better, Question, Sample
from .server import Server
from .timestamp import seconds_of

_WARM_UP = 20
_POLL_S = 0.0005
_POLL_ALL_S = 0.25
_CLOCK_S = 0.05
_DEADLINE_S = 300.0
_SUBMITTERS = 2
_TOGETHER = 4
"""So many connections submit at once, where one that waits for each answer would measure the waiting."""
_LONG_HISTORY = 10_000


def submit_tiny(connection: Connection, instance: str) -> str:
    """Submit an archive of one instance and return the identifier of the job."""
    job = connection.post_json("/tools/create-archive", {"Resources": [instance], "Asynchronous": True})
    return str(job["ID"])


def _submit_together(server: Server, instance: str, count: int, connections: int) -> set[str]:
    """Submit so many tiny jobs on some connections; return their identifiers."""
    jobs: list[str] = []
    todo = iter(range(count))

    def work(connection: Connection) -> None:
        jobs.extend(submit_tiny(connection, instance) for _ in todo)

    in_parallel(server, connections, work)
    return set(jobs)


def submit_many(server: Server, instance: str, count: int) -> set[str]:
    """Submit so many tiny jobs, on two connections; return their identifiers when all have succeeded."""
    jobs = _submit_together(server, instance, count, _SUBMITTERS)
    deadline = time.monotonic() + _DEADLINE_S
    while not all_succeeded(server.get_json("/jobs?expand"), jobs):
        require(time.monotonic() < deadline, f"{count} jobs were not done after {_DEADLINE_S:.0f} s")
        time.sleep(_POLL_ALL_S)
    return jobs


def _load_with_history(server: Server, data: Data) -> str:
    instance = load_one(server, data)
    submit_many(server, instance, _LONG_HISTORY)
    return instance


def _measure_latency(server: Server, data: Data, instance: str) -> list[Sample]:
    times_ms = []
    with server.connect() as connection:
        for _ in range(_WARM_UP + data.scaled(500)):
            started = time.perf_counter()
            wait_success(connection, submit_tiny(connection, instance), _POLL_S)
            times_ms.append(1000 * (time.perf_counter() - started))
    times_ms = sorted(times_ms[_WARM_UP:])
    return [
        Sample("job, submit to Success, p50", "ms", times_ms[len(times_ms) // 2], Better.LOWER),
        Sample("job, submit to Success, p99", "ms", times_ms[len(times_ms) * 99 // 100], Better.LOWER),
    ]


def _measure_rate(server: Server, data: Data, instance: str) -> list[Sample]:
    return _rate_samples(server, data, instance, "")


def _measure_rate_after_many(server: Server, data: Data, instance: str) -> list[Sample]:
    return _rate_samples(server, data, instance, f", after {_LONG_HISTORY:,} others")


def _rate_samples(server: Server, data: Data, instance: str, when: str) -> list[Sample]:
    count = data.scaled(1000)
    with server.connect() as connection:
        before_s, started = server.cpu_s(), time.time()
        jobs = {submit_tiny(connection, instance) for _ in range(count)}
        submitted_s = time.time() - started
        done_s = _when_all_succeeded(connection, jobs, started) - started
    cpu_s = server.cpu_s() - before_s
    together_s = _when_done_together(server, instance, count)
    return [
        Sample(f"jobs submitted on one connection{when}", "jobs/s", count / submitted_s, expected=1.0),
        Sample(f"jobs completed{when}", "jobs/s", count / done_s, expected=1.0),
        Sample(f"jobs completed{when}: server CPU", "ms/job", 1000 * cpu_s / count, Better.LOWER),
        Sample(f"jobs completed, {_TOGETHER} connections{when}", "jobs/s", count / together_s, expected=1.0),
    ]


def _when_done_together(server: Server, instance: str, count: int) -> float:
    """Return the seconds from the first submission on several connections to the end of the last job."""
    started = time.time()
    jobs = _submit_together(server, instance, count, _TOGETHER)
    with server.connect() as connection:
        return _when_all_succeeded(connection, jobs, started) - started


def _when_all_succeeded(connection: Connection, jobs: set[str], undone_at: float) -> float:
    """Return the completion time of the last of `jobs`, on the wall clock.

    The server's own word, because asking more often would slow it; it must lie between two of our questions.
    """
    deadline, asked_at = time.time() + _DEADLINE_S, time.time()
    while not all_succeeded(listed := connection.get_json("/jobs?expand"), jobs):
        require(time.time() < deadline, f"not all jobs were done after {_DEADLINE_S:.0f} s")
        undone_at = asked_at
        time.sleep(_POLL_ALL_S)
        asked_at = time.time()
    done_at = max(seconds_of(job["CompletionTime"]) for job in listed)
    require(undone_at - _CLOCK_S < done_at < time.time() + _CLOCK_S, "a CompletionTime cannot be true")
    return done_at


def all_succeeded(listed: list[dict[str, Any]], jobs: set[str]) -> bool:
    """Return whether all `jobs` are listed as Success. Raises BenchError if one is missing or failed."""
    states = {job["ID"]: job["State"] for job in listed if job["ID"] in jobs}
    require(states.keys() == jobs, f"{len(jobs) - len(states)} of {len(jobs)} jobs are not listed")
    require("Failure" not in states.values(), "a job failed")
    return all(state == "Success" for state in states.values())


_LONG = {"JobsHistorySize": 100_000}

QUESTIONS = [
    Question(name="jobs/latency", prepare=load_one, measure=_measure_latency),
    # A history for all of them; a fresh server, so that the list is as long in each round.
    Question(
        name="jobs/rate",
        prepare=load_one,
        measure=_measure_rate,
        settings=_LONG,
        fresh=True,
    ),
    Question(
        name=f"jobs/rate/{_LONG_HISTORY}",
        prepare=_load_with_history,
        measure=_measure_rate_after_many,
        settings=_LONG,
        fresh=True,
    ),
]
