"""Question: how many messages per second reach many subscribers of `/events`, and what does one cost?

Uploads make the events. The cost of a message is the server's CPU time beyond that of as many uploads without
a subscriber, measured just before. Only ours: the reference has no such feed.
"""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from .data import Data
from .failure import BenchError, require
from .load import upload
from .question import Better, Question, Sample
from .server import Server
from .subscribers import Count

_CONNECTIONS = 4
_QUIET_S = 0.5
_DEADLINE_S = 180.0


class _Child:
    """A process of this package that talks in lines of JSON."""

    def __init__(self, module: str, *arguments: object) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", f"bench.{module}", *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=Path(__file__).parent.parent,
            start_new_session=True,  # a Ctrl-C is ours to handle
        )

    def ask(self) -> bytes:
        """Ask for a report and return it."""
        assert self._process.stdin is not None
        self._process.stdin.write(b"\n")
        self._process.stdin.flush()
        return self.line()

    def line(self) -> bytes:
        """Return the next line. Raises BenchError if the process has ended."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        require(bool(line), "a process of subscribers has failed (its reason is on standard error)")
        return line

    def end_input(self) -> None:
        """Tell the process to end."""
        assert self._process.stdin is not None
        self._process.stdin.close()

    def kill(self) -> None:
        """End the process now."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            stream.close()


@contextmanager
def _child(module: str, *arguments: object) -> Iterator[_Child]:
    child = _Child(module, *arguments)
    try:
        yield child
    finally:
        child.kill()


def _case(subscribers: int, uploads: int) -> Question:
    def measure(server: Server, data: Data, _prepared: Any) -> list[Sample]:
        files = data.small.files
        count = min(data.scaled(uploads), len(files) // 2)
        alone_s = _upload_cpu_s(server, files[:count])
        with (
            _child("subscribers", server.port, subscribers) as crowd,
            _child("witness", server.port) as witness,
        ):
            crowd.line()
            witness.line()
            started, before_s = time.monotonic(), server.cpu_s()
            upload(server, files[count : 2 * count], _CONNECTIONS)
            total = _when_quiet(crowd)
            cpu_s = server.cpu_s() - before_s - alone_s
            witness.end_input()
            seen = msgspec.json.decode(witness.line(), type=dict[str, int])
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


def _when_quiet(crowd: _Child) -> Count:
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
