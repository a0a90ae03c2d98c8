"""Question: how many messages per second reach many subscribers of `/events`, and what does one cost?

Uploads make the events. The cost of a message is the server's CPU time beyond that of as many uploads without
a subscriber, measured just before. Only ours: the reference has no such feed.
"""

import time
from typing import Any

import msgspec

from .child import Child, child
from .data import Data
from .failure import BenchError, require
from .load import upload
from .question import Better, Question, Sample
from .server import Server
from .subscribers import Count
from .witness import Report

_CONNECTIONS = 4
_QUIET_S = 0.5
_DEADLINE_S = 180.0


def _case(subscribers: int, uploads: int) -> Question:
    def measure(server: Server, data: Data, _prepared: Any) -> list[Sample]:
        files = data.small.files
        count = min(data.scaled(uploads), len(files) // 2)
        alone_s = _upload_cpu_s(server, files[:count])
        with (
            child("subscribers", server.port, subscribers) as crowd,
            child("witness", server.port) as witness,
        ):
            crowd.line()
            witness.line()
            started, before_s = time.monotonic(), server.cpu_s()
            upload(server, files[count : 2 * count], _CONNECTIONS)
            total = _when_quiet(crowd)
            cpu_s = server.cpu_s() - before_s - alone_s
            witness.end_input()
            seen = msgspec.json.decode(witness.line(), type=Report).seen
        _check(total, seen, count)
        label = f"websocket, {subscribers:,} subscribers"
        return [
            Sample(f"{label}: delivered", "messages/s", total.messages / (total.last_at_s - started)),
            Sample(f"{label}: server CPU", "us/message", 1e6 * cpu_s / total.messages, Better.LOWER),
        ]

    return Question(
        name=f"websocket/{subscribers}",
        prepare=lambda _server, _data: None,
        measure=measure,
        fresh=True,
        ours_only=True,
    )


def _upload_cpu_s(server: Server, files: list[bytes]) -> float:
    before_s = server.cpu_s()
    upload(server, files, _CONNECTIONS)
    return server.cpu_s() - before_s


def _when_quiet(crowd: Child) -> Count:
    """Return the count when nothing has arrived for a while."""
    deadline = time.monotonic() + _DEADLINE_S
    while time.monotonic() < deadline:
        count = msgspec.json.decode(crowd.ask(), type=Count)
        if count.messages and time.monotonic() - count.last_at_s > _QUIET_S:
            return count
        time.sleep(0.1)
    raise BenchError(f"messages still arrived after {_DEADLINE_S:.0f} s")


def _check(total: Count, seen: dict[str, int], uploads: int) -> None:
    """Require that nobody was dropped and that every upload was told, to each at least once."""
    require(total.closed == 0, f"{total.closed} subscribers were closed")
    require(seen.get("NewInstance", 0) == uploads, f"{uploads} uploads were told as {seen}")
    require(total.fewest >= uploads, f"a subscriber got {total.fewest} messages for {uploads} uploads")


# Fewer than the changes that a slow subscriber may leave unread before it is told to ask for them.
QUESTIONS = [_case(100, uploads=800), _case(1000, uploads=200)]
