"""Webhooks of the real server as a process: real sockets, real restarts."""

import time
import zipfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any, TypeVar

import pytest
import trio

from tests.support.dicom import Template, make_instance
from tests.support.receiver import SECRET, Receiver, answer, hang, receiving, reset
from tests.support.server import Server

T = TypeVar("T")
EVENTS_OF_AN_UPLOAD = ["NewInstance", "NewPatient", "NewSeries", "NewStudy"]
DELIVERIES_AT_ONCE = 4
STUCK = 100
MEASURED = 500


async def away(function: Callable[..., T], *args: Any, **named: Any) -> T:
    """Run blocking code of the test in a thread."""
    return await trio.to_thread.run_sync(partial(function, *args, **named))


def hook(receiver: Receiver, *events: str, **fields: Any) -> dict[str, Any]:
    retry = {"MaxAttempts": 20, "Delay": 0.05, "Backoff": 1}
    return {"Url": receiver.url, "Events": events or ["*"], "Secret": SECRET, "Retry": retry, **fields}


@asynccontextmanager
async def serving(folder: Path, *hooks: dict[str, Any], **options: Any) -> AsyncIterator[Server]:
    # What was written survives SIGKILL without being synchronised.
    server = Server(folder, {"Webhooks": hooks, "SyncStorageArea": False, **options})
    try:
        await away(server.start)
        yield server
    finally:
        server.close()


def studies(count: int) -> bytes:
    """A ZIP of instances, each of a patient of its own."""
    template, buffer = Template(), BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for number in range(1, count + 1):
            data = template.instance(patient_id=f"P{number}", study=number)
            archive.writestr(str(number), data)
    return buffer.getvalue()


@pytest.mark.time_limit(40)
async def test_changes_and_jobs_are_told_signed_and_leave_no_jobs(tmp_path: Path) -> None:
    async with receiving() as receiver, serving(tmp_path, hook(receiver)) as server:
        await away(server.post, "/instances", make_instance())
        await receiver.calls_until(4)
        assert sorted(receiver.names()) == EVENTS_OF_AN_UPLOAD

        study = (await away(server.get, "/studies")).json()[0]
        job = (await away(server.post, f"/studies/{study}/archive", {"Asynchronous": True})).json()["ID"]
        await receiver.calls_until(6)

        ended = next(call.event for call in receiver.calls if call.event["Type"] == "JobSuccess")
        assert sorted(receiver.names()[4:]) == ["JobSubmitted", "JobSuccess"]
        assert ended["Job"]["ID"] == job
        assert ended["Job"]["State"] == "Success"
        assert all(call.is_signed_with(SECRET) for call in receiver.calls)
        assert set(receiver.counts().values()) == {1}
        while (await away(server.get, "/jobs")).json() != [job]:
            pass  # the last delivery is on its way out


@pytest.mark.time_limit(60)
async def test_events_survive_sigkill_in_the_middle(tmp_path: Path) -> None:
    async with receiving() as receiver, serving(tmp_path, hook(receiver)) as server:
        receiver.script = [answer(500), reset, answer(503)]
        await away(server.post, "/instances", studies(60))
        await receiver.calls_until(80)
        await away(server.kill)
        at_kill = receiver.counts()
        await away(server.start)
        await receiver.until(lambda: len(receiver.counts()) >= 240)
        assert await away(server.terminate) == 0

    counts = receiver.counts()
    seqs = {call.event["Change"]["Seq"] for call in receiver.calls}
    assert len(counts) == len(seqs) == 240
    # Three were refused, or broke off; and what was under way at the kill came again, by the same name.
    repeated = {id: count for id, count in counts.items() if count > 1}
    assert repeated.keys() <= at_kill.keys()
    assert sum(counts.values()) <= 240 + 3 + DELIVERIES_AT_ONCE


@pytest.mark.time_limit(40)
async def test_receivers_that_hang_slow_nobody(tmp_path: Path) -> None:
    async with receiving() as dead, receiving() as well:
        dead.otherwise = hang
        # Another name of the same place: limits are kept by host.
        url = well.url.replace("127.0.0.1", "localhost")
        hooks = (hook(dead), hook(well, Url=url))
        async with serving(tmp_path, *hooks, ConcurrentJobs=1) as server:
            await away(server.post, "/instances", studies(5))
            await well.calls_until(20)
            study = (await away(server.get, "/studies")).json()[0]
            job = (await away(server.post, f"/studies/{study}/archive", {"Asynchronous": True})).json()["ID"]
            assert (await away(server.wait_for_job, job))["State"] == "Success"

            assert len(dead.calls) <= DELIVERIES_AT_ONCE
            assert await away(server.terminate) == 0


@pytest.mark.time_limit(40)
async def test_a_wrong_receiver_stops_the_start(tmp_path: Path) -> None:
    server = Server(tmp_path, {"Webhooks": [{"Url": "ftp://x/", "Events": ["*"]}]})
    with pytest.raises(AssertionError, match='The configuration option "Webhooks"'):
        await away(server.start)


def slowest_percent(server: Server) -> float:
    """Return the 99th percentile of the seconds that an answer of `/system` takes."""
    connection = server.connect()
    try:
        taken: list[float] = []
        for _ in range(MEASURED):
            begin = time.perf_counter()
            assert server.request("GET", "/system", connection=connection).status == 200
            taken.append(time.perf_counter() - begin)
        return sorted(taken)[MEASURED * 99 // 100]
    finally:
        connection.close()


@pytest.mark.time_limit(40)
async def test_a_hundred_jobs_stuck_in_a_black_hole_do_not_slow_answers(tmp_path: Path) -> None:
    limits = {"Types": {"Webhook": STUCK}, "Destinations": {"127.0.0.1": STUCK}}
    async with receiving() as hole:
        hole.otherwise = hang
        told = hook(hole, "NewStudy", Timeout=600)
        async with serving(tmp_path, told, JobsLimits=limits) as server:
            free = await away(slowest_percent, server)
            await away(server.post, "/instances", studies(STUCK + 20))
            await hole.calls_until(STUCK)
            running = [
                job for job in (await away(server.get, "/jobs?expand")).json() if job["State"] == "Running"
            ]
            assert len(running) == STUCK
            stuck = await away(slowest_percent, server)
            assert len(hole.calls) == STUCK
    # A server whose loop waited for the peer would not answer at all; a busy machine doubles either.
    assert stuck <= 5 * free + 0.05
