"""HEAD and byte ranges over real sockets, plain and TLS."""

import os
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from orthanc_trio.model.errors import InexistentItem
from orthanc_trio.rest.ranges import ranged
from orthanc_trio.rest.routing import Routes
from orthanc_trio.rest.wire import AnyAnswer, FileAnswer, Request, StreamAnswer, text_answer
from tests.support.http import RawClient, Reply, door, make_certificate, request_bytes, server_tls, serving

CONTENT = bytes(range(251)) * 10_000
ETAG = '"v1"'


class Stage:
    """What a test and its handlers share."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "file"
        self.path.write_bytes(CONTENT)
        self.is_stream_closed = False
        self.may_go_on = trio.Event()

    async def chunks(self) -> AsyncIterator[bytes]:
        try:
            await self.may_go_on.wait()
            yield b"chunk"
        finally:
            self.is_stream_closed = True


def make_routes(stage: Stage) -> Routes:
    routes = Routes()

    @routes.get("/files/{name}")
    @routes.head("/files/{name}")
    async def file(context: Any, request: Request, *, name: str) -> AnyAnswer:
        if name != "known":
            raise InexistentItem(f"No file {name}")
        whole = FileAnswer(
            descriptor=os.open(stage.path, os.O_RDONLY),
            offset=0,
            size=len(CONTENT),
            media_type="application/zip",
        )
        return ranged(whole, request, ETAG)

    @routes.head("/text")
    async def text(context: Any, request: Request) -> AnyAnswer:
        return text_answer("four")

    @routes.head("/stream")
    async def stream(context: Any, request: Request) -> AnyAnswer:
        chunks = stage.chunks()
        stage.may_go_on.set()
        assert await anext(chunks) == b"chunk"
        return StreamAnswer(chunks=chunks, media_type="application/zip")

    @routes.get("/waiting", hot=True)
    async def waiting(context: Any, request: Request) -> AnyAnswer:
        return StreamAnswer(chunks=stage.chunks(), media_type="application/zip")

    @routes.get("/got")
    async def got(context: Any, request: Request) -> AnyAnswer:
        return text_answer("got")

    return routes


Opener = Callable[[], AbstractAsyncContextManager[tuple[Stage, RawClient]]]


@pytest.fixture(params=["plain", "tls"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Opener:
    @asynccontextmanager
    async def open_it() -> AsyncIterator[tuple[Stage, RawClient]]:
        stage = Stage(tmp_path)
        app = door(make_routes(stage))
        if request.param == "plain":
            async with serving(app) as server, server.client() as client:
                yield stage, client
            return
        certificate = make_certificate(tmp_path)
        tls = server_tls(certificate)
        async with serving(app, tls=tls) as server, server.tls_client(certificate) as client:
            yield stage, client

    return open_it


async def head(client: RawClient, path: str, *headers: str) -> Reply:
    """Ask, and show with another request that nothing more came."""
    await client.send(request_bytes("HEAD", path, *headers))
    reply = await client.read_reply(has_body=False)
    assert (await client.get("/got")).body == b"got"
    return reply


def is_open(path: Path) -> bool:
    """Whether this process has the file open."""
    return str(path) in {os.path.realpath(entry) for entry in Path("/proc/self/fd").iterdir()}


async def wait_closed(stage: Stage) -> None:
    # The door closes a file after its last byte has left, so the client may be first.
    with trio.fail_after(5):
        while is_open(stage.path):
            await trio.lowlevel.checkpoint()


async def test_head_answers_as_get_without_body(opened: Opener) -> None:
    async with opened() as (stage, client):
        whole = await client.get("/files/known")
        assert (whole.status, whole.body) == (200, CONTENT)
        reply = await head(client, "/files/known", "Range: bytes=0-9")
        assert (reply.status, reply.headers) == (200, whole.headers)
        assert reply.headers["content-length"] == str(len(CONTENT))
        await wait_closed(stage)


async def test_head_of_other_answers_sends_no_body(opened: Opener) -> None:
    async with opened() as (stage, client):
        assert (await head(client, "/text")).headers["content-length"] == "4"
        assert (await head(client, "/stream")).status == 200
        assert stage.is_stream_closed


@pytest.mark.parametrize("path", ["/files/unknown", "/got", "/nope"])
async def test_head_of_what_has_none_is_an_empty_404(opened: Opener, path: str) -> None:
    async with opened() as (_, client):
        reply = await head(client, path)
        assert (reply.status, reply.headers["content-length"]) == (404, "0")
        assert "content-type" not in reply.headers


async def test_the_head_of_a_stream_does_not_wait_for_its_body(opened: Opener) -> None:
    async with opened() as (stage, client):
        await client.send(request_bytes("GET", "/waiting"))
        with trio.fail_after(5):
            reply = await client.read_reply(has_body=False)
        assert (reply.status, reply.headers["content-type"]) == (200, "application/zip")
        stage.may_go_on.set()
        assert await client.read_exactly(15) == b"5\r\nchunk\r\n0\r\n\r\n"


async def test_head_is_among_the_methods_of_its_path(opened: Opener) -> None:
    async with opened() as (_, client):
        reply = await client.post("/files/known", b"")
        assert (reply.status, reply.headers["allow"]) == (405, "GET,HEAD")


async def test_a_download_is_resumed_from_where_it_broke(opened: Opener) -> None:
    async with opened() as (stage, client):
        reply = await client.get("/files/known", "Range: bytes=2000000-", f"If-Range: {ETAG}")
        assert (reply.status, reply.body) == (206, CONTENT[2_000_000:])
        assert reply.headers["content-range"] == f"bytes 2000000-{len(CONTENT) - 1}/{len(CONTENT)}"
        assert reply.headers["content-type"] == "application/zip"
        last = await client.get("/files/known", "Range: bytes=-10")
        assert (last.status, last.body) == (206, CONTENT[-10:])
        await wait_closed(stage)


async def test_what_cannot_or_need_not_be_sent(opened: Opener) -> None:
    async with opened() as (stage, client):
        beyond = await client.get("/files/known", f"Range: bytes={len(CONTENT)}-")
        assert (beyond.status, beyond.headers["content-range"]) == (416, f"bytes */{len(CONTENT)}")
        assert b'"OrthancStatus" : 41' in beyond.body
        await client.send(request_bytes("GET", "/files/known", f"If-None-Match: {ETAG}"))
        known = await client.read_reply(has_body=False)
        assert (known.status, known.headers["etag"]) == (304, ETAG)
        assert "content-length" not in known.headers
        assert (await client.get("/files/known", 'If-Match: "v2"')).status == 412
        await wait_closed(stage)
