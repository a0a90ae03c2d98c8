"""How answers leave: files, streams, compression, XML; over plain HTTP and TLS."""

import base64
import gzip
import json
import os
import random
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import quart
import trio
from trio_websocket import open_websocket_url

from orthanc_trio.rest.auth import AccessOptions
from orthanc_trio.rest.encoding import to_xml, wants_xml
from orthanc_trio.rest.front import DoorOptions
from orthanc_trio.rest.routing import Routes
from orthanc_trio.rest.sending import discard
from orthanc_trio.rest.wire import (
    Answer,
    AnyAnswer,
    FileAnswer,
    Request,
    StreamAnswer,
    json_answer,
    text_answer,
)
from tests.support.http import (
    HOST,
    RawClient,
    Served,
    door,
    make_certificate,
    request_bytes,
    server_tls,
    serving,
    trusting,
)

CONTENT = random.Random(5).randbytes(3_000_000)
DATA = {"Name": "é & <b>", "List": [1, True, None, {"x": 1.5}], "Empty": {}, "None": [], "Text": "x" * 3000}


class Stage:
    """What a test and its handlers share."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "file"
        self.path.write_bytes(CONTENT)
        self.descriptor = -1
        self.produced = 0
        self.waiting = trio.Event()
        self.closed = trio.Event()

    async def chunks(self, count: int, *, fails: bool = False, waits: bool = False) -> AsyncIterator[bytes]:
        try:
            for _ in range(count):
                self.produced += 1
                yield b"chunk" * 1000
            if fails:
                raise KeyError("in the middle")
            if waits:
                self.waiting.set()
                await trio.sleep_forever()
        finally:
            self.closed.set()


def make_routes(stage: Stage, *, hot: bool) -> Routes:
    routes = Routes()

    @routes.get("/file/{offset}/{size}", hot=hot)
    async def file(context: Any, request: Request, *, offset: str, size: str) -> AnyAnswer:
        stage.descriptor = os.open(stage.path, os.O_RDONLY)
        return FileAnswer(
            descriptor=stage.descriptor,
            offset=int(offset),
            size=int(size),
            media_type="application/dicom",
            headers=(("Content-Disposition", 'filename="é.dcm"'),),
        )

    @routes.get("/stream/{kind}", hot=hot)
    async def stream(context: Any, request: Request, *, kind: str) -> AnyAnswer:
        count = 100_000 if kind == "endless" else 3
        chunks = stage.chunks(count, fails=kind == "fails", waits=kind == "waits")
        return StreamAnswer(chunks=chunks, media_type="application/zip")

    @routes.get("/json", hot=hot)
    async def data(context: Any, request: Request) -> AnyAnswer:
        return json_answer(DATA)

    @routes.get("/text/{size}", hot=hot)
    async def text(context: Any, request: Request, *, size: str) -> AnyAnswer:
        return text_answer("x" * int(size))

    @routes.get("/image", hot=hot)
    async def image(context: Any, request: Request) -> AnyAnswer:
        return Answer(body=b"x" * 5000, media_type="image/png")

    return routes


Opener = Callable[..., AbstractAsyncContextManager[tuple[Stage, RawClient]]]


@pytest.fixture(params=["hot", "quart", "hot-tls", "quart-tls"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Opener:
    """Open a server with both mounts over both transports."""
    mount, _, tls = request.param.partition("-")

    @asynccontextmanager
    async def open_it(**settings: Any) -> AsyncIterator[tuple[Stage, RawClient]]:
        stage = Stage(tmp_path)
        app = door(make_routes(stage, hot=mount == "hot"), **settings)
        if not tls:
            async with serving(app) as server, server.client() as client:
                yield stage, client
            return
        certificate = make_certificate(tmp_path)
        async with (
            serving(app, tls=server_tls(certificate)) as server,
            server.tls_client(certificate) as client,
        ):
            yield stage, client

    return open_it


async def wait_closed(stage: Stage) -> None:
    # The door closes a file after its last byte has left, so the client may be first.
    with trio.fail_after(5):
        while is_open(stage.descriptor):
            await trio.lowlevel.checkpoint()


def is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


@pytest.mark.parametrize(("offset", "size"), [(0, len(CONTENT)), (7, 1000), (100, 0)])
async def test_a_file_is_sent_and_closed(opened: Opener, offset: int, size: int) -> None:
    async with opened() as (stage, client):
        reply = await client.get(f"/file/{offset}/{size}")
        assert reply.body == CONTENT[offset : offset + size]
        assert reply.headers["content-type"] == "application/dicom"
        assert reply.headers["content-disposition"].encode("latin-1").decode() == 'filename="é.dcm"'
        await wait_closed(stage)
        assert (await client.get("/text/3")).body == b"xxx"


async def test_a_file_whose_client_leaves_is_closed(opened: Opener) -> None:
    async with opened() as (stage, client):
        await client.send(request_bytes("GET", f"/file/0/{len(CONTENT)}"))
        await client.read_exactly(100)
        await trio.aclose_forcefully(client.stream)
        await wait_closed(stage)


async def test_an_answer_that_is_never_sent_releases_what_it_holds(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.descriptor = os.open(stage.path, os.O_RDONLY)
    await discard(FileAnswer(descriptor=stage.descriptor, offset=0, size=1, media_type="x/y"))
    assert not is_open(stage.descriptor)
    chunks = stage.chunks(3)
    await anext(chunks)
    await discard(StreamAnswer(chunks=chunks, media_type="x/y"))
    assert stage.closed.is_set()
    await discard(text_answer())


async def test_a_stream_goes_in_chunks(opened: Opener) -> None:
    async with opened() as (stage, client):
        reply = await client.get("/stream/whole")
        assert reply.body == b"chunk" * 3000
        assert "content-length" not in reply.headers
        assert "x-content-type-options" not in reply.headers
        assert stage.closed.is_set()
        assert (await client.get("/text/3")).body == b"xxx"


async def test_a_stream_that_fails_never_looks_complete(
    opened: Opener, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("CRITICAL", "orthanc_trio")
    async with opened() as (stage, client):
        with pytest.raises((EOFError, trio.BrokenResourceError)):
            await client.get("/stream/fails")
        assert stage.closed.is_set()


@pytest.mark.parametrize("kind", ["waits", "endless"])
async def test_a_stream_ends_within_a_second_when_its_client_leaves(
    opened: Opener, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with opened() as (stage, client):
        await client.send(request_bytes("GET", f"/stream/{kind}"))
        await client.read_exactly(15_000)
        if kind == "waits":
            await stage.waiting.wait()
        await trio.aclose_forcefully(client.stream)
        with trio.fail_after(1):
            await stage.closed.wait()
        assert stage.produced < 100_000
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


COMPRESSING = DoorOptions(compress=True)


@pytest.mark.parametrize(
    ("accept", "coding"),
    [
        ("gzip", "gzip"),
        ("deflate", "deflate"),
        ("deflate, gzip;q=0.5", "gzip"),
        ("br, deflate", "deflate"),
        ("gzip;q=0, deflate", "deflate"),
        ("br", None),
        ("", None),
    ],
)
async def test_answers_are_compressed_as_accepted(opened: Opener, accept: str, coding: str | None) -> None:
    async with opened(options=COMPRESSING) as (_, client):
        reply = await client.get("/json", f"Accept-Encoding: {accept}")
        assert reply.headers.get("content-encoding") == coding
        body = reply.body
        if coding is not None:
            body = gzip.decompress(body) if coding == "gzip" else zlib.decompress(body)
        assert json.loads(body) == DATA
        assert len(reply.body) < 500 or coding is None


@pytest.mark.parametrize(
    ("path", "is_compressed"),
    [("/text/2047", False), ("/text/2048", True), ("/text/1000000", True), ("/image", False)],
)
async def test_only_long_texts_are_worth_compressing(opened: Opener, path: str, is_compressed: bool) -> None:
    async with opened(options=COMPRESSING) as (_, client):
        reply = await client.get(path, "Accept-Encoding: gzip")
        assert ("content-encoding" in reply.headers) is is_compressed


async def test_nothing_is_compressed_unless_configured(opened: Opener) -> None:
    async with opened() as (_, client):
        assert "content-encoding" not in (await client.get("/json", "Accept-Encoding: gzip")).headers


async def test_json_becomes_xml_for_those_who_ask(opened: Opener) -> None:
    async with opened() as (_, client):
        reply = await client.get("/json", "Accept: application/xml")
        assert reply.headers["content-type"] == "application/xml; charset=utf-8"
        assert "<Name>é &amp; &lt;b&gt;</Name>" in reply.body.decode()
        assert (await client.get("/text/3", "Accept: application/xml")).body == b"xxx"


def test_the_form_of_xml() -> None:
    value = {"ID": "b9", "Labels": ["a", True, None, 1.5], "E": {}, "S": "", "O": {"z": 1, "a": 2}}
    expected = """<?xml version="1.0" encoding="utf-8"?>
<root>
  <E />
  <ID>b9</ID>
  <Labels>
    <item>a</item>
    <item>true</item>
    <item>null</item>
    <item>1.5</item>
  </Labels>
  <O>
    <a>2</a>
    <z>1</z>
  </O>
  <S></S>
</root>
"""
    assert to_xml(json_answer(value)).body.decode() == expected


@pytest.mark.parametrize(
    ("accept", "is_xml"),
    [
        (None, False),
        (b"application/xml", True),
        (b"application/json; application/xml", True),
        (b"application/xml; application/json", False),
        (b"text/html,application/xml;q=0.9", False),
        (b"application/xml;q=0.9", True),
        (b"*/*", False),
    ],
)
def test_xml_is_asked_for_by_a_token_of_its_own(accept: bytes | None, is_xml: bool) -> None:
    assert wants_xml(accept) is is_xml


async def test_connection_close_gives_the_end_at_once(opened: Opener) -> None:
    async with opened() as (_, client):
        assert (await client.get("/text/1")).body == b"x"
        await client.send(request_bytes("GET", "/text/3", "Connection: close"))
        with trio.fail_after(1):
            answer = await client.read_to_end()
    assert answer.endswith(b"xxx")
    assert b"onnection: close\r\n" in answer


@asynccontextmanager
async def feeding(access: AccessOptions | None = None, **settings: Any) -> AsyncIterator[Served]:
    feed = quart.Blueprint("feed", __name__)

    @feed.websocket("/feed/<name>")
    async def push(name: str) -> None:
        if name == "unknown":
            quart.abort(404)
        await quart.websocket.accept()
        while True:
            await quart.websocket.send(f"{name}{await quart.websocket.receive()!s}")

    async with serving(door(Routes(), blueprint=feed, access=access), **settings) as server:
        yield server


async def test_a_websocket_goes_through_the_door() -> None:
    async with feeding() as server:
        for path in ("/feed/a", "//feed/./a"):
            async with open_websocket_url(f"ws://{HOST}:{server.port}{path}") as websocket:
                await websocket.send_message("b")
                assert await websocket.get_message() == "ab"


HANDSHAKE = (
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)


@pytest.mark.parametrize(("path", "status"), [("/feed/a", 101), ("/feed/unknown", 404), ("/nope", 404)])
async def test_a_websocket_may_be_refused(path: str, status: int) -> None:
    async with feeding() as server, server.client() as client:
        await client.send(request_bytes("GET", path, *HANDSHAKE))
        assert (await client.read_reply(has_body=False)).status == status


async def test_a_websocket_needs_the_keys() -> None:
    access = AccessOptions(authentication_enabled=True, registered_users={"ann": "secret"})
    async with feeding(access) as server:
        async with server.client() as client:
            await client.send(request_bytes("GET", "/feed/a", *HANDSHAKE))
            refused = await client.read_reply()
            assert (refused.status, refused.headers["content-length"]) == (401, "0")
            assert refused.headers["www-authenticate"].startswith("Basic ")
        key = [(b"Authorization", b"Basic " + base64.b64encode(b"ann:secret"))]
        url = f"ws://{HOST}:{server.port}/feed/a"
        async with open_websocket_url(url, extra_headers=key) as websocket:
            await websocket.send_message("b")
            assert await websocket.get_message() == "ab"


async def test_a_websocket_goes_over_tls(tmp_path: Path) -> None:
    certificate = make_certificate(tmp_path)
    async with feeding(tls=server_tls(certificate)) as server:
        url = f"wss://localhost:{server.port}/feed/a"
        async with open_websocket_url(url, ssl_context=trusting(certificate)) as websocket:
            await websocket.send_message("b")
            assert await websocket.get_message() == "ab"


async def test_a_stop_ends_open_websockets() -> None:
    async with feeding(grace_s=0.05) as server, server.client() as client:
        await client.send(request_bytes("GET", "/feed/a", *HANDSHAKE))
        assert (await client.read_reply(has_body=False)).status == 101
        server.stop.set()
        await client.read_to_end()


async def test_an_ordinary_client_is_content(tmp_path: Path) -> None:
    certificate = make_certificate(tmp_path)
    stage = Stage(tmp_path)
    access = AccessOptions(authentication_enabled=True, registered_users={"ann": "secret"})
    app = door(make_routes(stage, hot=True), access=access)
    async with serving(app, tls=server_tls(certificate)) as server:
        url = f"https://localhost:{server.port}"
        async with httpx.AsyncClient(base_url=url, verify=trusting(certificate)) as client:
            assert (await client.get("/json")).status_code == 401
            auth = ("ann", "secret")
            assert (await client.get("/json", auth=auth)).json() == DATA
            assert (await client.get(f"/file/0/{len(CONTENT)}", auth=auth)).content == CONTENT
            assert (await client.get("/stream/whole", auth=auth)).content == b"chunk" * 3000
