"""The door over real sockets: order of checks, methods, paths, bodies; handlers are hot or behind Quart."""

import base64
import json
from collections.abc import AsyncIterator, MutableMapping
from contextlib import asynccontextmanager
from typing import Any

import pytest
import quart

from orthanc_trio.model.errors import InexistentItem
from orthanc_trio.rest.app import make_app
from orthanc_trio.rest.auth import AccessOptions, access_policy
from orthanc_trio.rest.front import DoorOptions
from orthanc_trio.rest.requests import BodyLimits
from orthanc_trio.rest.routing import Routes
from orthanc_trio.rest.wire import Answer, AnyAnswer, Request, json_answer, nothing, text_answer
from tests.support.http import RawClient, Reply, Served, door, request_bytes, serving


def make_routes(*, hot: bool) -> Routes:
    routes = Routes()

    @routes.get("/look", hot=hot)
    @routes.post("/look", hot=hot)
    @routes.put("/look", hot=hot)
    @routes.delete("/look", hot=hot)
    async def look(context: Any, request: Request) -> AnyAnswer:
        seen = {
            "Method": request.method,
            "Path": request.path,
            "Query": dict(request.query),
            "Agent": request.headers.get("user-agent"),
            "Client": request.client,
            "User": request.user,
            "Context": context,
            "Body": (await request.body()).decode(),
        }
        return json_answer(seen)

    @routes.get("/items/{id}", hot=hot)
    async def item(context: Any, request: Request, *, id: str) -> AnyAnswer:
        if id == "none":
            return nothing(request)
        if id == "bug":
            raise KeyError(id)
        if id == "missing":
            raise InexistentItem(f"No item {id}")
        return text_answer(id)

    @routes.put("/items/{id}", hot=hot)
    async def put_item(context: Any, request: Request, *, id: str) -> AnyAnswer:
        return Answer(status=201, body=await request.body(), media_type=None, headers=(("ETag", '"1"'),))

    @routes.get("/items/{id}/{rest:path}", hot=hot)
    async def rest(context: Any, request: Request, *, id: str, rest: str) -> AnyAnswer:
        return json_answer([id, rest])

    @routes.post("/count", hot=hot)
    async def count(context: Any, request: Request) -> AnyAnswer:
        sizes = [len(chunk) async for chunk in request.chunks()]
        return json_answer(sum(sizes))

    @routes.add("PROPFIND", "/webdav/{rest:path}", hot=hot)
    async def propfind(context: Any, request: Request, *, rest: str) -> AnyAnswer:
        return Answer(status=207, body=rest.encode())

    return routes


both = pytest.mark.parametrize("hot", [True, False], ids=["hot", "quart"])


@asynccontextmanager
async def opened(hot: bool, **settings: Any) -> AsyncIterator[tuple[Served, RawClient]]:
    app = door(make_routes(hot=hot), context="context", **settings)
    async with serving(app) as server, server.client() as client:
        yield server, client


REQUESTS = [
    request_bytes("GET", "/look?a=1&a=2&b&c=%C3%A9+x&d=a%3Db", "User-Agent: test"),
    request_bytes("GET", "/look/"),
    request_bytes("GET", "//look"),
    request_bytes("GET", "/../look/."),
    request_bytes("GET", "/x/../look"),
    request_bytes("GET", "/l%6Fok"),
    request_bytes("GET", "http://elsewhere/look"),
    request_bytes("POST", "/look?x", body=b"text"),
    request_bytes("POST", "/look"),
    request_bytes("PUT", "/look", body=b""),
    request_bytes("DELETE", "/look"),
    request_bytes("GET", "/look?_method=delete"),
    request_bytes("GET", "/look?_method=PUT", body=b"x"),
    request_bytes("GET", "/look?_method=GET"),
    request_bytes("POST", "/look?_method=PUT", body=b"x"),
    request_bytes("POST", "/look", "X-HTTP-Method-Override: put", body=b"x"),
    request_bytes("POST", "/look", "X-HTTP-Method-Override: PATCH"),
    request_bytes("GET", "/items/a%2Fb"),
    request_bytes("GET", "/items/%C3%A9"),
    request_bytes("GET", "/items/%ff%00"),
    request_bytes("GET", "/items/none"),
    request_bytes("GET", "/items/missing?name=secret"),
    request_bytes("GET", "/items/bug"),
    request_bytes("GET", "/items/1/2/3"),
    request_bytes("PUT", "/items/1", body=b"content"),
    request_bytes("POST", "/items/1", body=b"content"),
    request_bytes("DELETE", "/items/1"),
    request_bytes("GET", "/count"),
    request_bytes("POST", "/count", body=b"x" * 300_000),
    b"POST /count HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    request_bytes("GET", "/nope/%C3%A9?x=y"),
    request_bytes("POST", "/nope", body=b"x"),
    request_bytes("PUT", "/nope"),
    request_bytes("DELETE", "/"),
    request_bytes("PATCH", "/look"),
    request_bytes("TRACE", "/look"),
    request_bytes("OPTIONS", "/look"),
    request_bytes("OPTIONS", "*"),
    request_bytes("PROPFIND", "/look"),
    request_bytes("PROPFIND", "/webdav/a/b"),
    request_bytes("MKCOL", "/webdav/a/b"),
    request_bytes("LOCK", "/webdav"),
]


@pytest.mark.parametrize("data", REQUESTS, ids=[data.splitlines()[0].decode() for data in REQUESTS])
async def test_both_mounts_give_the_same_answer(data: bytes, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("CRITICAL", "orthanc_trio")
    replies = []
    for hot in (True, False):
        async with opened(hot) as (_, client):
            await client.send(data)
            reply = await client.read_reply()
            assert reply.headers["x-content-type-options"] == "nosniff"
            assert reply.headers["connection"] == "keep-alive"
            assert not {"server", "date", "access-control-allow-origin"} & reply.headers.keys()
            replies.append(reply)
    assert replies[0] == replies[1]


async def ask(hot: bool, data: bytes, **settings: Any) -> Reply:
    async with opened(hot, **settings) as (_, client):
        await client.send(data)
        return await client.read_reply(has_body=not data.startswith(b"HEAD"))


@both
async def test_a_handler_sees_the_request(hot: bool) -> None:
    reply = await ask(hot, REQUESTS[0])
    assert reply.headers["content-type"] == "application/json; charset=utf-8"
    assert json.loads(reply.body) == {
        "Method": "GET",
        "Path": "/look",
        "Query": {"a": "2", "b": "", "c": "é x", "d": "a=b"},
        "Agent": "test",
        "Client": "127.0.0.1",
        "User": "",
        "Context": "context",
        "Body": "",
    }


@pytest.mark.parametrize("path", ["/look/", "//look", "/../look/.", "/x/../look", "/l%6Fok", "/.//look//"])
async def test_paths_are_normalised(path: str) -> None:
    assert json.loads((await ask(True, request_bytes("GET", path))).body)["Path"] == "/look"


@pytest.mark.parametrize(
    ("data", "method"),
    [
        (request_bytes("GET", "/look?_method=delete"), "DELETE"),
        (request_bytes("GET", "/look?_method=PUT"), "PUT"),
        (request_bytes("POST", "/look", "X-HTTP-Method-Override: put"), "PUT"),
        (request_bytes("POST", "/look?_method=PUT"), "POST"),
    ],
)
async def test_methods_are_overridden(data: bytes, method: str) -> None:
    assert json.loads((await ask(True, data)).body)["Method"] == method


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("HEAD", "/look", 404),
        ("OPTIONS", "/look", 404),
        ("PROPFIND", "/look", 404),
        ("LOCK", "/webdavish", 404),
        ("LOCK", "/webdav", 404),
        ("PATCH", "/look", 400),
        ("TRACE", "/look", 400),
        ("COPY", "/look", 400),
        ("GET", "/look?_method=GET", 400),
        ("GET", "/look?_method=HEAD", 400),
    ],
)
async def test_other_methods_have_empty_answers(method: str, path: str, status: int) -> None:
    reply = await ask(True, request_bytes(method, path))
    assert (reply.status, reply.body, reply.headers["content-length"]) == (status, b"", "0")
    assert "content-type" not in reply.headers


@both
async def test_a_known_path_under_another_method_names_those_it_has(hot: bool) -> None:
    reply = await ask(hot, request_bytes("POST", "/items/1"))
    assert (reply.status, reply.headers["allow"], reply.body) == (405, "GET,PUT", b"")


@both
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
async def test_an_unknown_path_is_an_error_with_text(hot: bool, method: str) -> None:
    reply = await ask(hot, request_bytes(method, "/no//where?x=y"))
    content = json.loads(reply.body)
    assert (reply.status, content["OrthancStatus"], content["Uri"]) == (404, 17, "/no/where")
    assert content["Method"] == method


async def test_raw_letters_beyond_ascii_are_refused_by_the_transport() -> None:
    async with opened(True) as (server, _):
        answer = await server.ask(b"GET /\xc3\xa9 HTTP/1.1\r\nHost: x\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert b"Content-Type: text/plain; charset=utf-8\r\n" in answer
    assert b"Error 400: Bad Request" in answer


@both
async def test_errors_need_no_description(hot: bool) -> None:
    options = DoorOptions(describe_errors=False)
    for path in ("/items/missing", "/nope"):
        reply = await ask(hot, request_bytes("GET", path), options=options)
        assert (reply.status, reply.body) == (404, b"")


@both
async def test_the_keys_are_asked_for_and_then_let_in(hot: bool) -> None:
    access = AccessOptions(authentication_enabled=True, registered_users={"ann": "secret"})
    async with opened(hot, access=access) as (_, client):
        for path in ("/look", "/nope", "/", "/look?_method=FOO"):
            refused = await client.get(path)
            assert (refused.status, refused.body) == (401, b"")
            assert refused.headers["www-authenticate"] == 'Basic realm="Orthanc Secure Area"'
        key = "Authorization: Basic " + base64.b64encode(b"ann:secret").decode()
        reply = await client.get("/look", key)
        assert json.loads(reply.body)["User"] == "ann"


LIMITED = DoorOptions(limits=BodyLimits(total=1000, in_memory=500))


@both
async def test_an_announced_body_beyond_the_limit_is_refused_at_once(hot: bool) -> None:
    async with opened(hot, options=LIMITED) as (server, _):
        answer = await server.ask(b"POST /count HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"\r\nConnection: close\r\n" in answer
    assert answer.endswith(b"Content-Length: 0\r\n\r\n")


@both
async def test_a_body_that_grows_beyond_the_limit_is_refused(hot: bool) -> None:
    async with opened(hot, options=LIMITED) as (_, client):
        head = b"POST /count HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        await client.send(head + b"3e9\r\n" + b"x" * 1001 + b"\r\n0\r\n\r\n")
        reply = await client.read_reply()
        assert (reply.status, reply.body) == (413, b"")
        assert (await client.post("/count", b"x" * 1000)).body == b"1000"
        assert (await client.post("/look", b"x" * 501)).status == 413
        assert (await client.post("/look", b"x" * 500)).status == 200


@both
async def test_a_body_that_ends_early_is_400(hot: bool) -> None:
    async with opened(hot) as (_, client):
        await client.send(b"POST /count HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc")
        await client.stream.send_eof()  # type: ignore[attr-defined]
        reply = await client.read_reply()
    assert (reply.status, json.loads(reply.body)["OrthancStatus"]) == (400, 8)
    assert reply.headers["connection"] == "close"


@both
async def test_connection_close_gives_the_end_at_once(hot: bool) -> None:
    async with opened(hot) as (server, _):
        answer = await server.ask(request_bytes("GET", "/items/1", "Connection: close"))
    assert answer.endswith(b"\r\n\r\n1")


@both
async def test_keep_alive_serves_many_requests(hot: bool) -> None:
    async with opened(hot) as (_, client):
        for number in range(20):
            assert (await client.get(f"/items/{number}")).body == b"%d" % number


def make_pages() -> quart.Blueprint:
    pages = quart.Blueprint("pages", __name__)

    @pages.get("/page")
    async def page() -> str:
        return "<p>page"

    @pages.post("/form")
    async def form() -> str:
        return str(len(await quart.request.get_data()))

    @pages.get("/broken")
    async def broken() -> str:
        raise KeyError("bug")

    @pages.get("/refused")
    async def refused() -> str:
        raise InexistentItem("no page")

    @pages.get("/abort")
    async def abort() -> str:
        quart.abort(403)

    return pages


async def test_pages_are_served_by_quart_with_the_errors_of_the_door(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("CRITICAL")
    async with opened(True, blueprint=make_pages()) as (_, client):
        page = await client.get("/page")
        assert (page.body, page.headers["x-content-type-options"]) == (b"<p>page", "nosniff")
        assert (await client.post("/form", b"x" * 100_000)).body == b"100000"
        wrong = await client.post("/page", b"")
        assert (wrong.status, wrong.headers["allow"], wrong.body) == (405, "GET", b"")
        broken = await client.get("/broken")
        assert (broken.status, json.loads(broken.body)["OrthancStatus"]) == (500, -1)
        assert json.loads((await client.get("/refused")).body)["Details"] == "no page"
        assert (await client.get("/abort")).status == 403
        assert (await client.post("/form", b"x" * 2_000_000)).status == 413


async def call_directly(
    scope: dict[str, Any], messages: list[dict[str, Any]]
) -> list[MutableMapping[str, Any]]:
    """Call the door as a server that offers no extension would."""
    sent: list[MutableMapping[str, Any]] = []
    incoming = iter(messages)

    async def receive() -> MutableMapping[str, Any]:
        return next(incoming)

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    access = AccessOptions(authentication_enabled=True)
    await door(Routes(), access=access)(scope, receive, send)
    return sent


async def test_a_websocket_is_closed_where_a_server_cannot_answer_it() -> None:
    scope: dict[str, Any] = {"type": "websocket", "path": "/", "headers": [], "client": None}
    sent = await call_directly(scope, [{"type": "websocket.connect"}])
    assert sent == [{"type": "websocket.close", "code": 1008}]


async def test_a_server_with_lifespan_is_understood() -> None:
    messages = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]
    sent = await call_directly({"type": "lifespan"}, messages)
    assert [message["type"] for message in sent] == [
        "lifespan.startup.complete",
        "lifespan.shutdown.complete",
    ]


async def test_the_routes_of_the_server_can_be_mounted_together() -> None:
    app = make_app(None, access=access_policy(AccessOptions()), options=DoorOptions())
    async with serving(app) as server, server.client() as client:
        assert (await client.get("/no/such/route")).status == 404
