"""The feed over real sockets: websockets and Server-Sent Events."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio.testing
from trio_websocket import open_websocket_url

from orthanc_trio.model.job import JobState
from orthanc_trio.rest.websockets import WebSocket
from tests.support.http import HOST, RawClient, request_bytes
from tests.support.jobs import CountKind, Gate
from tests.support.jobs_door import JobsDoor, jobs_door, read_chunk
from tests.support.server import running_server

STREAM = "Accept: text/event-stream"


class Event:
    """One Server-Sent Event."""

    def __init__(self, text: str) -> None:
        fields = dict(line.split(": ", 1) for line in text.splitlines())
        self.id = int(fields["id"]) if "id" in fields else None
        self.data: dict[str, Any] = json.loads(fields["data"])
        self.type: str = self.data["Type"]


class Stream:
    """The events of one answer."""

    def __init__(self, client: RawClient) -> None:
        self.client = client
        self.comments = 0
        self._held: list[Event] = []

    async def next(self) -> Event:
        while not self._held:
            chunk = await read_chunk(self.client)
            if not chunk:
                raise EOFError
            for text in chunk.decode().split("\n\n")[:-1]:
                if text.startswith((":", "retry:")):
                    self.comments += 1
                else:
                    self._held.append(Event(text))
        return self._held.pop(0)


@asynccontextmanager
async def streaming(door: JobsDoor, path: str, *headers: str) -> AsyncIterator[Stream]:
    async with door.server.client() as client:
        await client.send(request_bytes("GET", path, STREAM, *headers))
        head = await client.read_head()
        assert head.startswith("HTTP/1.1 200 OK")
        assert "Content-Type: text/event-stream\r\n" in head
        assert "Cache-Control: no-store\r\n" in head
        yield Stream(client)


async def test_a_stream_begins_with_a_snapshot_and_tells_what_happens() -> None:
    gate = Gate()
    async with jobs_door(CountKind(gate)) as door:
        first = await door.submit()
        async with streaming(door, "/events") as stream:
            snapshot = await stream.next()
            assert snapshot.type == "Snapshot"
            assert [job["ID"] for job in snapshot.data["Jobs"]] == [first.id]
            second = await door.submit()
            event = await stream.next()
            assert (event.type, event.data["Job"]["ID"], event.id) == ("Job", second.id, None)


async def test_the_stream_of_a_job_tells_of_this_job_until_it_is_gone() -> None:
    gate = Gate()
    async with jobs_door(CountKind(gate)) as door:
        record, other = await door.submit(), await door.submit()
        async with streaming(door, f"/jobs/{record.id}/events") as stream:
            assert [job["ID"] for job in (await stream.next()).data["Jobs"]] == [record.id]
            gate.open(2)
            await door.rig.until_state(record.id, JobState.SUCCESS)
            await door.rig.until_state(other.id, JobState.SUCCESS)
            seen: list[str] = []
            while not seen or seen[-1] != "Success":
                event = await stream.next()
                assert event.data["Job"]["ID"] == record.id
                seen.append(event.data["Job"]["State"])
            await door.rig.engine.delete(record.id)
            assert (await stream.next()).type == "JobForgotten"
            with pytest.raises(EOFError):
                await stream.next()


async def test_only_who_asks_for_a_stream_gets_one() -> None:
    async with jobs_door() as door:
        record = await door.submit()
        for path, code in (("/events", 17), (f"/jobs/{record.id}/events", 7)):
            reply = await door.get(path)
            assert (reply.status, json.loads(reply.body)["OrthancStatus"]) == (404, code)
        assert (await door.get("/jobs/unknown/events", STREAM)).status == 404


async def changes_of(stream: Stream, count: int) -> list[int]:
    """Return the numbers of the next changes, which are also their ids."""
    numbers: list[int] = []
    while len(numbers) < count:
        event = await stream.next()
        if event.type == "Change":
            assert event.id == event.data["Change"]["Seq"]
            numbers.append(event.data["Change"]["Seq"])
    return numbers


async def test_a_client_that_comes_back_gets_what_it_missed() -> None:
    async with jobs_door() as door:
        for event in await door.store(1):
            door.feed.notice(event)
        async with streaming(door, "/events") as stream:
            last_id = (await stream.next()).id
            assert last_id == 4
        await door.store(2)
        async with streaming(door, "/events", f"Last-Event-ID: {last_id}") as stream:
            assert (await stream.next()).id == last_id
            assert await changes_of(stream, 2) == [5, 6]
            for event in await door.store(3):
                door.feed.notice(event)
            assert await changes_of(stream, 2) == [7, 8]


@pytest.mark.parametrize("last_id", ["x", "-1", "999999", "1" * 40])
async def test_an_id_that_never_was_is_as_none(last_id: str) -> None:
    async with jobs_door() as door:
        await door.store(1)
        async with streaming(door, "/events", f"Last-Event-ID: {last_id}") as stream:
            assert (await stream.next()).id == 4
            for event in await door.store(2):
                door.feed.notice(event)
            assert await changes_of(stream, 2) == [5, 6]


async def test_changes_are_streamed_in_order_whatever_the_order_of_the_news() -> None:
    async with jobs_door() as door, streaming(door, "/events") as stream:
        await stream.next()
        events = [*await door.store(1), *await door.store(2)]
        for event in reversed(events):
            door.feed.notice(event)
            await trio.testing.wait_all_tasks_blocked(0.01)
        assert await changes_of(stream, 6) == [1, 2, 3, 4, 5, 6]


async def test_a_slow_stream_loses_no_change() -> None:
    async with jobs_door() as door, streaming(door, "/events") as stream:
        await stream.next()
        (first, *others) = await door.store(1)
        for _ in range(1100):  # more than are queued
            door.feed.notice(first)
        for event in others:
            door.feed.notice(event)
        assert await changes_of(stream, 4) == [1, 2, 3, 4]


async def test_a_stream_ends_when_the_server_stops() -> None:
    async with jobs_door() as door, streaming(door, "/events") as stream:
        await stream.next()
        door.feed.close()
        with pytest.raises(EOFError):
            await stream.next()


@pytest.mark.parametrize("path", ["/events", "/jobs/{id}/events"])
async def test_a_websocket_gets_the_same_messages(path: str) -> None:
    gate = Gate()
    async with jobs_door(CountKind(gate)) as door:
        record = await door.submit()
        url = f"ws://{HOST}:{door.server.port}" + path.format(id=record.id)
        async with open_websocket_url(url) as websocket:
            snapshot = json.loads(await websocket.get_message())
            assert [job["ID"] for job in snapshot["Jobs"]] == [record.id]
            gate.open()
            message: dict[str, Any] = {}
            while message.get("Job", {}).get("State") != "Success":
                message = json.loads(await websocket.get_message())
                assert message["Type"] == "Job"


HANDSHAKE = (
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
)


@asynccontextmanager
async def watching(door: JobsDoor, path: str) -> AsyncIterator[RawClient]:
    """Open a websocket and read its first message."""
    async with door.server.client() as client:
        await client.send(request_bytes("GET", path, *HANDSHAKE))
        assert (await client.read_reply(has_body=False)).status == 101
        assert json.loads((await client.read_frame())[1])["Type"] == "Snapshot"
        yield client


async def close_code(client: RawClient) -> int:
    opcode, payload = await client.read_frame()
    while opcode != 8:
        opcode, payload = await client.read_frame()
    return int.from_bytes(payload[:2], "big")


async def test_a_websocket_is_closed_when_its_job_is_gone_or_the_server_stops() -> None:
    async with jobs_door() as door:
        record = await door.submit()
        await door.rig.until_state(record.id, JobState.SUCCESS)
        async with watching(door, f"/jobs/{record.id}/events") as one, watching(door, "/events") as every:
            await door.rig.engine.delete(record.id)
            assert await close_code(one) == 1000
            door.feed.close()
            assert await close_code(every) == 1001
        async with watching(door, "/events") as late:
            assert await close_code(late) == 1001


async def test_a_websocket_of_an_unknown_job_is_refused() -> None:
    async with jobs_door() as door:
        reply = await door.get("/jobs/unknown/events", *HANDSHAKE)
        assert (reply.status, reply.body, reply.headers["connection"]) == (404, b"", "close")


async def test_a_subscriber_that_reads_nothing_slows_nobody() -> None:
    gate = Gate()
    async with (
        jobs_door(CountKind(gate)) as door,
        watching(door, "/events"),
        watching(door, "/events") as attentive,
    ):
        for _ in range(50):
            record = await door.submit(label="x" * 100_000)
            seen = ""
            while seen != record.id:
                seen = json.loads((await attentive.read_frame())[1])["Job"]["ID"]


def test_the_server_takes_as_many_connections_as_the_system_lets_it(tmp_path: Path) -> None:
    with running_server(tmp_path, prefix=("prlimit", "--nofile=300:3000")) as server:
        limits = Path(f"/proc/{server.process.pid}/limits").read_text()
    (line,) = [line for line in limits.splitlines() if line.startswith("Max open files")]
    assert line.split()[3:5] == ["3000", "3000"]


async def test_a_server_that_knows_no_extension_gets_plain_messages() -> None:
    sent: list[Any] = []

    async def receive() -> Any:
        await trio.lowlevel.checkpoint()
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        await trio.lowlevel.checkpoint()
        sent.append(message)

    websocket = WebSocket({}, receive, send)
    await websocket.accept()
    await websocket.send([b"a", b"b"])
    await websocket.refuse(404)
    assert sent == [
        {"type": "websocket.accept"},
        {"type": "websocket.send", "text": "a"},
        {"type": "websocket.send", "text": "b"},
        {"type": "websocket.close", "code": 1008},
    ]
