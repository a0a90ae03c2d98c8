"""Question: how late is the news of 100 running jobs when 1,000 websockets hear of all of them?

The lag is that from the `Timestamp` of a message to its receipt by one of the subscribers, which is a process
of its own. Only ours: the reference has no such feed.
"""

import statistics
import time

import msgspec

from .child import child
from .connection import Connection
from .data import Data, Instances
from .failure import require
from .load import load_study
from .question import Better, Question, Sample
from .server import Server
from .timing import p99
from .witness import Report

_SUBSCRIBERS = 1000
_JOBS = 100
_INSTANCES = 400
_DEADLINE_S = 180.0


def _prepare(server: Server, data: Data) -> str:
    return load_study(server, Instances("small", data.small.files[:_INSTANCES]))


def _measure(server: Server, _data: Data, study: str) -> list[Sample]:
    with (
        child("subscribers", server.port, _SUBSCRIBERS) as crowd,
        child("witness", server.port) as witness,
        server.connect() as connection,
    ):
        crowd.line()
        witness.line()
        jobs = [_submit(connection, study) for _ in range(_JOBS)]
        _wait_until_ended(connection)
        witness.end_input()
        report = msgspec.json.decode(witness.line(), type=Report)
    require(report.seen["Job"] >= 2 * len(jobs), f"only {report.seen['Job']} messages about {_JOBS} jobs")
    label = f"websocket, {_SUBSCRIBERS:,} subscribers, {_JOBS} running jobs: lag"
    return [
        Sample(f"{label}, p50", "ms", statistics.median(report.lags_ms), Better.LOWER),
        Sample(f"{label}, p99", "ms", p99(report.lags_ms), Better.LOWER),
    ]


def _submit(connection: Connection, study: str) -> str:
    return str(connection.post_json(f"/studies/{study}/archive", {"Asynchronous": True})["ID"])


def _wait_until_ended(connection: Connection) -> None:
    deadline = time.monotonic() + _DEADLINE_S
    while connection.get_json("/jobs?state=Pending,Running"):
        require(time.monotonic() < deadline, f"{_JOBS} jobs were not done after {_DEADLINE_S:.0f} s")
        time.sleep(0.25)
    failed = connection.get_json("/jobs?state=Failure")
    require(not failed, f"{len(failed)} jobs failed")


QUESTIONS = [
    Question(
        name="websocket/jobs",
        prepare=_prepare,
        measure=_measure,
        settings={"ConcurrentJobs": _JOBS, "JobsHistorySize": 1000},
        fresh=True,
        ours_only=True,
    )
]
