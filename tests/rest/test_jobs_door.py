"""Jobs over real sockets: lists, statistics, actions on one and on many, waiting for an end."""

import json
from pathlib import Path
from typing import Any

import pytest
import trio

from orthanc_trio.model.job import JobState
from tests.support.dicom import make_instance
from tests.support.http import request_bytes
from tests.support.jobs import CountKind, Gate, Rig
from tests.support.jobs_door import JobsDoor, jobs_door
from tests.support.server import running_server


async def make_failed(door: JobsDoor) -> str:
    """Make a job that runs into a cancel; the gate of the engine must be closed."""
    record = await door.submit()
    await door.rig.engine.cancel(record.id)
    await door.rig.until_state(record.id, JobState.FAILURE)
    return record.id


def reason_of(reply: Any) -> str:
    assert reply.headers["content-type"] == "application/json"
    reason: str = json.loads(reply.body)["Details"]
    return reason


async def test_a_plain_list_is_sorted_by_id_and_has_no_cursor() -> None:
    async with jobs_door(CountKind(Gate())) as door:
        ids = sorted([(await door.submit()).id for _ in range(5)])
        reply = await door.get("/jobs")
        assert json.loads(reply.body) == ids
        assert [job["ID"] for job in await door.json("/jobs?expand")] == ids
        assert "x-next-cursor" not in reply.headers


@pytest.mark.parametrize(
    "order", ["id", "-id", "created", "-created", "changed", "-changed", "priority", "-priority"]
)
async def test_pages_make_up_the_whole_list(order: str) -> None:
    async with jobs_door(CountKind(Gate()), concurrent_jobs=1) as door:
        for number in range(11):
            await door.submit(priority=number % 3)
        whole = await door.json(f"/jobs?order={order}")
        assert len(whole) == 11
        found: list[str] = []
        cursor: str | None = ""
        while cursor is not None:
            reply = await door.get(f"/jobs?order={order}&limit=4" + (f"&cursor={cursor}" if cursor else ""))
            part = json.loads(reply.body)
            assert len(part) <= 4
            found += part
            cursor = reply.headers.get("x-next-cursor")
        assert found == whole


async def test_orders_are_what_they_say() -> None:
    async with jobs_door(CountKind(Gate()), concurrent_jobs=1) as door:
        ids = [(await door.submit(priority=priority)).id for priority in (0, 2, 1, 2)]
        assert await door.json("/jobs?order=created") == ids
        assert await door.json("/jobs?order=-created") == ids[::-1]
        assert await door.json("/jobs?order=-priority") == [ids[1], ids[3], ids[2], ids[0]]


async def test_a_list_is_filtered() -> None:
    gate = Gate()
    async with jobs_door(CountKind(gate), concurrent_jobs=1) as door:
        running = (await door.submit(destination="pacs", resources=("study-1",))).id
        await gate.arrival()
        pending = (await door.submit(destination="peer", resources=("study-1", "study-2"))).id
        for query, expected in [
            ("state=Running", {running}),
            ("state=Pending,Running", {running, pending}),
            ("state=Success", set()),
            ("type=Count", {running, pending}),
            ("destination=peer", {pending}),
            ("resource=study-1", {running, pending}),
            ("resource=study-2&state=Running", set()),
            ("since=20200101T000000", {running, pending}),
            ("until=20200101T000000", set()),
        ]:
            assert set(await door.json(f"/jobs?{query}")) == expected, query
        (job,) = await door.json("/jobs?expand&state=Pending")
        assert (job["ID"], job["State"]) == (pending, "Pending")


@pytest.mark.parametrize(
    "query",
    [
        "state=Nope",
        "type=Nope",
        "since=yesterday",
        "order=size",
        "limit=-1",
        "limit=x",
        "cursor=x",
        "order=created&cursor=W10",
    ],
)
async def test_what_a_list_does_not_know_is_refused(query: str) -> None:
    async with jobs_door() as door:
        reply = await door.get(f"/jobs?{query}")
        error = json.loads(reply.body)
        assert (reply.status, error["OrthancStatus"]) == (400, 3)
        assert error["Details"]


async def test_statistics_count_jobs() -> None:
    gate = Gate()
    async with jobs_door(CountKind(gate), concurrent_jobs=1) as door:
        await door.submit(destination="pacs")
        await gate.arrival()
        await door.submit()
        await make_failed(door)
        statistics = await door.json("/jobs/statistics")
        assert statistics["OldestPendingAge"] >= 0
        del statistics["OldestPendingAge"]
        assert statistics == {
            "Count": 3,
            "Destinations": {"pacs": {"Running": 1}},
            "Held": {"Destinations": [], "Types": []},
            "LastMinute": {"Failure": 1, "Success": 0},
            "States": {"Failure": 1, "Paused": 0, "Pending": 1, "Retry": 0, "Running": 1, "Success": 0},
            "Types": {"Count": {"Failure": 1, "Pending": 1, "Running": 1}},
        }


async def test_actions_on_many_jobs_say_how_many_and_which_not() -> None:
    async with jobs_door(CountKind(Gate()), concurrent_jobs=1) as door:
        ids = [(await door.submit(destination=f"d{number}")).id for number in range(4)]
        reply = await door.post("/jobs/cancel", {"Destination": "d2"})
        assert json.loads(reply.body) == {"Done": 1, "Refused": [], "RefusedCount": 0}
        reply = await door.post("/jobs/resubmit", {"Jobs": [ids[2], ids[3], "unknown", ids[2]]})
        answer = json.loads(reply.body)
        assert (answer["Done"], answer["RefusedCount"]) == (1, 2)
        assert {refused["ID"] for refused in answer["Refused"]} == {ids[3], "unknown"}
        assert all(refused["Reason"] for refused in answer["Refused"])


async def test_without_a_state_an_action_means_the_jobs_that_it_is_for() -> None:
    async with jobs_door(CountKind(Gate()), concurrent_jobs=1) as door:
        failed = [await make_failed(door), await make_failed(door)]
        waiting = [(await door.submit()).id for _ in range(3)]
        assert json.loads((await door.post("/jobs/pause", {})).body)["Done"] == 3
        assert json.loads((await door.post("/jobs/delete", {})).body)["Done"] == 2
        assert await door.json("/jobs") == sorted(waiting)
        assert json.loads((await door.post("/jobs/resume", {})).body)["Done"] >= 2
        assert json.loads((await door.post("/jobs/cancel", {"Type": "Count"})).body)["Done"] == 3
        assert failed


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", 15),
        (b"[]", 15),
        ({"state": "Pending"}, 15),
        ({"State": 1}, 15),
        ({"Destination": ["a", "b"]}, 15),
        ({"Jobs": "x"}, 15),
        ({"State": []}, 15),
        ({"State": "Nope"}, 3),
        ({"Type": ["Count", "Nope"]}, 3),
    ],
)
async def test_a_filter_that_is_not_understood_changes_nothing(body: Any, code: int) -> None:
    async with jobs_door(CountKind(Gate())) as door:
        record = await door.submit()
        for action in ("cancel", "resubmit", "delete", "pause", "resume"):
            reply = await door.post(f"/jobs/{action}", body)
            assert (reply.status, json.loads(reply.body)["OrthancStatus"]) == (400, code)
        assert door.rig.engine.get(record.id) is not None
        assert not await door.json("/jobs?state=Failure,Paused")


@pytest.mark.parametrize(
    ("lane", "held"),
    [
        ({"Destination": "pacs"}, {"Destinations": ["pacs"], "Types": []}),
        ({"Type": "Count"}, {"Destinations": [], "Types": ["Count"]}),
    ],
)
async def test_a_destination_or_a_type_is_held_as_a_whole(lane: dict[str, str], held: dict[str, Any]) -> None:
    async with jobs_door(CountKind()) as door:
        assert json.loads((await door.post("/jobs/pause", lane)).body)["Held"] == held
        record = await door.submit(destination="pacs")
        assert (await door.json("/jobs/statistics"))["Held"] == held
        assert (await door.json(f"/jobs/{record.id}"))["State"] == "Pending"
        await door.post("/jobs/resume", lane)
        assert (await door.json(f"/jobs/{record.id}?wait=5"))["State"] == "Success"


async def test_a_refusal_says_why() -> None:
    async with jobs_door(CountKind(Gate())) as door:
        record = await door.submit()
        for path in (
            f"/jobs/{record.id}/resume",
            f"/jobs/{record.id}/resubmit",
            "/jobs/x/cancel",
            "/jobs/x/pause",
        ):
            reply = await door.post(path)
            assert reply.status == 400
            assert reason_of(reply)
        missing = await door.get("/jobs/x")
        assert missing.status == 404
        assert reason_of(missing) == "No job found with this id: x"


async def test_a_waiting_client_gets_the_end() -> None:
    gate = Gate()
    async with jobs_door(CountKind(gate)) as door, trio.open_nursery() as nursery:
        record = await door.submit()
        await gate.arrival()
        answers: list[Any] = []

        async def ask() -> None:
            answers.append(await door.json(f"/jobs/{record.id}?wait=60"))

        nursery.start_soon(ask)
        await until_waiting(door.rig, record.id)
        gate.open()
        await door.rig.until_state(record.id, JobState.SUCCESS)
        with trio.fail_after(2):
            while not answers:
                await trio.lowlevel.checkpoint()
        assert answers[0]["State"] == "Success"


async def until_waiting(rig: Rig, job_id: str) -> None:
    """Wait until somebody waits for the end of a job."""
    while not is_awaited(rig, job_id):
        await trio.lowlevel.checkpoint()


def is_awaited(rig: Rig, job_id: str) -> bool:
    return job_id in rig.engine._ledger._waiters  # nothing else tells


async def test_a_client_waits_no_longer_than_it_says() -> None:
    async with jobs_door(CountKind(Gate())) as door:
        record = await door.submit()
        assert (await door.json(f"/jobs/{record.id}?wait=0"))["State"] in ("Pending", "Running")
        assert (await door.json(f"/jobs/{record.id}?wait=0.05"))["State"] == "Running"
        for wait in ("", "-1", "x", "nan", "1e3"):
            reply = await door.get(f"/jobs/{record.id}?wait={wait}")
            assert (reply.status, json.loads(reply.body)["OrthancStatus"]) == (400, 3)
        assert (await door.get("/jobs/x?wait=60")).status == 404


async def test_a_client_that_leaves_waits_no_more() -> None:
    async with jobs_door(CountKind(Gate())) as door:
        record = await door.submit()
        async with door.server.client() as client:
            await client.send(request_bytes("GET", f"/jobs/{record.id}?wait=60"))
            await until_waiting(door.rig, record.id)
        with trio.fail_after(3):
            while is_awaited(door.rig, record.id):
                await trio.lowlevel.checkpoint()


async def test_a_stop_of_the_server_answers_those_who_wait() -> None:
    async with jobs_door(CountKind(Gate())) as door, door.server.client() as client:
        record = await door.submit()
        await client.send(request_bytes("GET", f"/jobs/{record.id}?wait=60"))
        await until_waiting(door.rig, record.id)
        door.stop_requested.set()
        with trio.fail_after(1):
            assert json.loads((await client.read_reply()).body)["State"] == "Running"


async def test_a_job_that_is_deleted_while_a_client_waits_is_missing() -> None:
    gate = Gate()
    async with jobs_door(CountKind(gate), history_size=0) as door, door.server.client() as client:
        record = await door.submit()
        await gate.arrival()
        await client.send(request_bytes("GET", f"/jobs/{record.id}?wait=60"))
        await until_waiting(door.rig, record.id)
        gate.open()
        reply = await client.read_reply()
        assert reply.status == 404


ARCHIVE = {"Asynchronous": True, "Priority": 1}


def test_requests_with_one_key_make_one_job(tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        server.post("/instances", make_instance())
        (study,) = server.get("/studies").json()

        def ask(**body: Any) -> tuple[int, Any]:
            headers = {"Idempotency-Key": "one"}
            reply = server.request("POST", f"/studies/{study}/archive", json.dumps(ARCHIVE | body), headers)
            return reply.status, reply.json()

        first = ask()
        assert first[0] == 200
        assert ask() == ask(UniqueKey="one") == first
        server.wait_for_job(first[1]["ID"])
        assert ask() == first
        status, error = ask(Priority=2)
        assert (status, error["OrthancStatus"]) == (409, 46)
        assert ask(UniqueKey="two")[0] == 400
        assert server.get("/jobs").json() == [first[1]["ID"]]
