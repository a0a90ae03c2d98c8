"""The load: uploads on several connections at once, and small requests as fast as they are answered.

They come from `wrk` where it is installed, since a client in Python would be slower than the servers.
"""

import re
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, NamedTuple

import msgspec

from .connection import Connection, request_head
from .data import Data, Instances
from .failure import BenchError, require
from .server import Server

WRK = shutil.which("wrk")

_SLOWEST_S = 30  # for one answer: a slow one counts, it is no error

_RATE = re.compile(r"^Requests/sec:\s+([\d.]+)", re.MULTILINE)
_FAULTS = re.compile(r"^\s*(Non-2xx or 3xx responses|Socket errors): .*", re.MULTILINE)


def upload(server: Server, files: list[bytes], connections: int) -> tuple[float, list[str]]:
    """Send all `files`; return the seconds that it took and the identifiers. Every answer must be Success."""
    answers: list[bytearray] = []
    waiting = iter(files)

    def work(connection: Connection) -> None:
        for body in waiting:  # one iterator shared by all: each takes the next one
            answer = connection.request(request_head("POST", "/instances", len(body)), body)
            require(answer.status == 200, f"POST /instances answered {answer.status}: {answer.body[:300]!r}")
            answers.append(answer.body)

    elapsed_s = in_parallel(server, connections, work)
    return elapsed_s, _stored(answers, len(files))


def _stored(answers: Iterable[bytearray], count: int) -> list[str]:
    stored = [msgspec.json.decode(answer) for answer in answers]
    require(all(one["Status"] == "Success" for one in stored), "an upload was not answered with Success")
    ids = [one["ID"] for one in stored]
    require(len(set(ids)) == count, f"{len(set(ids))} identifiers for {count} instances")
    return ids


def in_parallel(server: Server, connections: int, work: Callable[[Connection], None]) -> float:
    """Run `work` once per connection, in threads that begin together; return the seconds until all are done.

    Raises the first error that a `work` raised.
    """
    errors: list[Exception] = []
    barrier = threading.Barrier(connections + 1)

    def body() -> None:
        with server.connect() as connection:
            connection.get("/system")  # connected before the clock starts
            barrier.wait()
            work(connection)

    def guarded() -> None:
        try:
            body()
        except Exception as error:
            errors.append(error)
            barrier.abort()

    threads = [threading.Thread(target=guarded, daemon=True) for _ in range(connections)]
    for thread in threads:
        thread.start()
    with suppress(threading.BrokenBarrierError):  # the error itself is in `errors`
        barrier.wait()
    started = time.perf_counter()
    for thread in threads:
        thread.join()
    if errors:
        raise next((e for e in errors if not isinstance(e, threading.BrokenBarrierError)), errors[0])
    return time.perf_counter() - started


def load_study(server: Server, instances: Instances) -> str:
    """Store `instances`, which are one study, and return its identifier."""
    upload(server, instances.files, connections=4)
    check_count(server, len(instances.files))
    studies = server.get_json("/studies")
    require(len(studies) == 1, f"{len(studies)} studies instead of one")
    return str(studies[0])


def load_one(server: Server, data: Data) -> str:
    """Store one tiny instance and return its identifier."""
    return upload(server, data.small.files[:1], connections=1)[1][0]


def on_connections(count: int) -> str:
    """Return `1 connection`, `4 connections`, ..."""
    return f"{count} connection{'s' if count > 1 else ''}"


def check_count(server: Server, count: int) -> None:
    """Require that the server says it has `count` instances."""
    statistics = server.get_json("/statistics")
    require(statistics["CountInstances"] == count, f"{statistics['CountInstances']} instances, not {count}")


class Call(NamedTuple):
    """One request; `body` is None for a GET, else it is POSTed."""

    path: str
    body: str | None = None


def requests_per_s(server: Server, paths: list[str], connections: int, seconds: float) -> float:
    """GET `paths` in turn over and over; return the answers per second. Every answer must be 200."""
    return _calls_per_s(server, [Call(path) for path in paths], connections, seconds)


def posts_per_s(server: Server, path: str, bodies: list[str], connections: int, seconds: float) -> float:
    """POST `bodies` in turn over and over; return the answers per second. Every answer must be 200."""
    return _calls_per_s(server, [Call(path, body) for body in bodies], connections, seconds)


def _calls_per_s(server: Server, calls: list[Call], connections: int, seconds: float) -> float:
    if WRK:
        return _wrk(server, WRK, calls, connections, seconds)
    return _own(server, calls, connections, seconds)


def _wrk(server: Server, wrk: str, calls: list[Call], connections: int, seconds: float) -> float:
    script = server.folder / "calls.lua"
    script.write_text(_lua(calls))
    command = [wrk, "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "-s", str(script)]
    command += ["--timeout", f"{_SLOWEST_S}s"]
    text = subprocess.run(
        [*command, f"http://127.0.0.1:{server.port}{calls[0].path}"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    fault, rate = _FAULTS.search(text), _RATE.search(text)
    require(fault is None, f"{calls[0].path}: wrk says: {fault and fault.group().strip()}")
    if rate is None:
        raise BenchError(f"wrk printed no rate:\n{text}")
    return float(rate.group(1))


def _lua(calls: list[Call]) -> str:
    """Return a script for wrk. A single GET needs none: wrk then prepares its request once."""
    if len(calls) == 1 and calls[0].body is None:
        return ""
    # Prepared once: wrk would otherwise be slower than what it measures.
    quoted = ",".join(_formatted(call) for call in calls)
    return (
        f"init = function() requests = {{{quoted}}} at = 0 end\n"
        "request = function() at = at % #requests + 1 return requests[at] end\n"
    )


def _formatted(call: Call) -> str:
    if call.body is None:
        return f'wrk.format("GET", "{call.path}")'
    return f'wrk.format("POST", "{call.path}", nil, [[{call.body}]])'


def _own(server: Server, calls: list[Call], connections: int, seconds: float) -> float:
    done: list[int] = []
    requests = [_request(call) for call in calls]

    def work(connection: Connection) -> None:
        end, count = time.perf_counter() + seconds, 0
        while time.perf_counter() < end:
            answer = connection.request(*requests[count % len(requests)])
            require(answer.status == 200, f"{calls[0].path} answered {answer.status}")
            count += 1
        done.append(count)

    elapsed_s = in_parallel(server, connections, work)
    return sum(done) / elapsed_s


def _request(call: Call) -> tuple[bytes, bytes]:
    if call.body is None:
        return request_head("GET", call.path), b""
    body = call.body.encode()
    return request_head("POST", call.path, len(body)), body


def wait_success(
    connection: Connection, job_id: str, every_s: float, timeout_s: float = 300
) -> dict[str, Any]:
    """Poll a job until it ends and return its JSON. Raises BenchError unless it ends as Success in time."""
    head, deadline = request_head("GET", f"/jobs/{job_id}"), time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        answer = connection.request(head)
        require(answer.status == 200, f"/jobs/{job_id} answered {answer.status}")
        if b"Success" in answer.body or b"Failure" in answer.body:
            job: dict[str, Any] = msgspec.json.decode(answer.body)
            require(job["State"] != "Failure", f"the job failed: {job}")
            if job["State"] == "Success":
                return job
        time.sleep(every_s)
    raise BenchError(f"the job {job_id} was not done after {timeout_s:.0f} s")
