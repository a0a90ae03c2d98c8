"""Question: how soon are 100 jobs cancelled that are stuck on a peer which accepts and never answers?

The peer is a receiver of webhooks, whom the jobs tell of new instances. Only ours: the reference has no job
that stops in the middle of a call.
"""

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .connection import Connection
from .data import Data
from .failure import require
from .load import upload
from .question import Better, Question, Sample
from .server import Server, free_port
from .timing import p99, timed_ms

_STUCK = 100
_REQUESTS = 1000
_DEADLINE_S = 60.0
_PORT = free_port()
_HOST = "127.0.0.1"


@contextmanager
def _black_hole() -> Iterator[None]:
    """Have connections to the port accepted by the kernel, and served by nobody."""
    with socket.socket() as peer:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        peer.bind((_HOST, _PORT))
        peer.listen(4 * _STUCK)
        yield


def _measure(server: Server, data: Data, _prepared: Any) -> list[Sample]:
    with _black_hole(), server.connect() as connection:
        before = _system_ms(connection)
        upload(server, data.small.files[:_STUCK], connections=4)
        _wait_for(connection, _STUCK)
        during = _system_ms(connection)
        begin = time.perf_counter()
        connection.post("/jobs/cancel", {"Type": "Webhook"})
        _wait_for(connection, 0)
        cancelled_s = time.perf_counter() - begin
    label = f"{_STUCK} jobs stuck on a peer"
    return [
        Sample("GET /system, no job: p99", "ms", p99(before), Better.LOWER),
        Sample(f"GET /system, {label}: p99", "ms", p99(during), Better.LOWER),
        Sample(f"{label}: all cancelled", "s", cancelled_s, Better.LOWER),
    ]


def _system_ms(connection: Connection) -> list[float]:
    return [timed_ms(lambda: connection.get("/system")) for _ in range(_REQUESTS)]


def _wait_for(connection: Connection, running: int) -> None:
    deadline = time.monotonic() + _DEADLINE_S
    while (found := len(connection.get_json("/jobs?state=Running&type=Webhook"))) != running:
        require(time.monotonic() < deadline, f"{found} jobs are stuck instead of {running}")
        time.sleep(0.01)


_SETTINGS = {
    "Webhooks": [{"Url": f"http://{_HOST}:{_PORT}/", "Events": ["NewInstance"], "Timeout": 3600}],
    "JobsLimits": {"Types": {"Webhook": _STUCK}, "Destinations": {_HOST: _STUCK}},
}

QUESTIONS = [
    Question(
        name="jobs/stuck",
        prepare=lambda _server, _data: None,
        measure=_measure,
        settings=_SETTINGS,
        fresh=True,
        ours_only=True,
    )
]
