"""One connection over memory, under a clock that jumps."""

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from orthanc_trio.httpd.asgi import App, Message, Receive, Scope, Send
from orthanc_trio.httpd.connection import Connection
from orthanc_trio.httpd.options import HttpOptions
from tests.support.http import MemoryTransport, request_bytes

OPTIONS = HttpOptions(
    idle_timeout_s=5, request_timeout_s=30, max_head_bytes=2000, max_target_bytes=1000, max_drained_bytes=100
)
KEPT = b"HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nKeep-Alive: timeout=1\r\n"


class Client:
    """A connection that is served, and its other end."""

    def __init__(self, app: App, options: HttpOptions) -> None:
        self.transport = MemoryTransport()
        self.connection = Connection(
            app, self.transport, options, client=("10.0.0.1", 5000), server=("10.0.0.2", 80)
        )
        self.ended = trio.Event()
        self.handed_over: bytes | None = None
        self.lasted_s = 0.0

    async def serve(self) -> None:
        began = trio.current_time()
        try:
            self.handed_over = await self.connection.serve()
        finally:
            self.lasted_s = trio.current_time() - began
            self.ended.set()

    async def grow_old(self) -> None:
        while True:
            await trio.sleep(0.5)
            self.connection.expire(trio.current_time())

    async def answers(self, data: bytes) -> bytes:
        """Send the last bytes of this client; return all that it got."""
        self.transport.feed(data)
        self.transport.end()
        await self.ended.wait()
        return self.transport.take_sent()


@asynccontextmanager
async def connected(app: App, options: HttpOptions = OPTIONS) -> AsyncIterator[Client]:
    client = Client(app, options)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(client.serve)
        nursery.start_soon(client.grow_old)
        yield client
        nursery.cancel_scope.cancel()


async def read_body(receive: Receive) -> bytes:
    body: bytes = b""
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise EOFError
        body += bytes(message["body"])
        if not message["more_body"]:
            return body


async def reply(send: Send, body: bytes, *headers: tuple[bytes, bytes], status: int = 200) -> None:
    await send({"type": "http.response.start", "status": status, "headers": list(headers)})
    await send({"type": "http.response.body", "body": body})


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    body = await read_body(receive)
    await reply(send, scope["method"].encode() + scope["path"].encode() + body)


async def ignore_body(scope: Scope, receive: Receive, send: Send) -> None:
    await reply(send, b"ok")


def answer_of(body: bytes, kept: bytes = KEPT) -> bytes:
    return kept + b"Content-Length: %d\r\n\r\n" % len(body) + body


async def test_the_scope_tells_what_was_asked_and_by_whom(autojump_clock: MockClock) -> None:
    scopes: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scopes.append(scope)
        await reply(send, b"")

    async with connected(app) as client:
        await client.answers(b"GET /a%20%C3%A9?q=%20 HTTP/1.1\r\nHost: x\r\nX-A: b\r\n\r\n")
    (scope,) = scopes
    assert (scope["method"], scope["path"], scope["query_string"]) == ("GET", "/a é", b"q=%20")
    assert scope["headers"] == [(b"host", b"x"), (b"x-a", b"b")]
    assert (scope["client"], scope["server"]) == (("10.0.0.1", 5000), ("10.0.0.2", 80))
    assert (scope["http_version"], scope["scheme"]) == ("1.1", "http")


@pytest.mark.parametrize(
    ("target", "path"),
    [
        ("http://host:80/a?b", "/a"),
        ("http://host", "/"),
        ("*", "*"),
        ("/%ff", "/\ufffd"),
        ("//a", "//a"),
    ],
)
async def test_targets_become_paths(target: str, path: str, autojump_clock: MockClock) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await reply(send, scope["path"].encode())

    async with connected(app) as client:
        sent = await client.answers(request_bytes("OPTIONS", target))
    assert sent.endswith(b"\r\n\r\n" + path.encode())


async def test_pipelined_requests_are_answered_in_order(autojump_clock: MockClock) -> None:
    requests = [
        request_bytes("GET", "/1"),
        request_bytes("POST", "/2", body=b"two"),
        b"PUT /3 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nthr\r\n2\r\nee\r\n0\r\n\r\n",
        b"\r\n" + request_bytes("DELETE", "/4"),
    ]
    async with connected(echo) as client:
        sent = await client.answers(b"".join(requests))
    expected = [b"GET/1", b"POST/2two", b"PUT/3three", b"DELETE/4"]
    assert sent == b"".join(answer_of(body) for body in expected)


async def test_the_same_head_again_is_a_request_of_its_own(autojump_clock: MockClock) -> None:
    seen: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append({**scope, "headers": list(scope["headers"])})
        scope["headers"].append((b"x-own", b"1"))
        scope["own"] = True
        await reply(send, await read_body(receive))

    first, second = (request_bytes("POST", "/", body=body) for body in (b"one", b"two"))
    async with connected(app) as client:
        sent = await client.answers(first + second + request_bytes("GET", "/other"))
    assert sent == answer_of(b"one") + answer_of(b"two") + answer_of(b"")
    assert seen[0] == seen[1]
    assert seen[2]["path"] == "/other"


async def test_a_request_may_come_byte_by_byte(autojump_clock: MockClock) -> None:
    async with connected(echo) as client:
        for byte in request_bytes("POST", "/", body=b"abc"):
            client.transport.feed(bytes([byte]))
            await trio.sleep(0.1)
        assert client.transport.take_sent() == answer_of(b"POST/abc")


async def test_head_and_body_leave_in_one_send(autojump_clock: MockClock) -> None:
    async with connected(ignore_body) as client:
        await client.answers(request_bytes("GET", "/"))
    assert client.transport.sends == 1


async def test_connection_close_ends_after_the_answer(autojump_clock: MockClock) -> None:
    async with connected(echo) as client:
        client.transport.feed(request_bytes("GET", "/", "Connection: close"))
        await client.ended.wait()
    assert client.transport.take_sent() == answer_of(b"GET/", b"HTTP/1.1 200 OK\r\nConnection: close\r\n")
    assert client.transport.is_closed
    assert not client.transport.is_aborted


async def test_without_keep_alive_each_answer_ends_the_connection(autojump_clock: MockClock) -> None:
    async with connected(echo, HttpOptions(keep_alive=False)) as client:
        client.transport.feed(request_bytes("GET", "/"))
        await client.ended.wait()
    assert b"\r\nConnection: close\r\n" in client.transport.take_sent()


async def test_an_answer_may_end_the_connection(autojump_clock: MockClock) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await reply(send, b"", (b"Connection", b"close"))

    async with connected(app) as client:
        client.transport.feed(request_bytes("GET", "/"))
        await client.ended.wait()
    assert client.transport.take_sent().count(b"Connection: close\r\n") == 1


async def test_an_idle_connection_is_closed_after_its_time(autojump_clock: MockClock) -> None:
    async with connected(echo) as client:
        await trio.sleep(3)
        client.transport.feed(request_bytes("GET", "/"))
        await client.ended.wait()
    assert client.lasted_s == 8
    assert client.transport.is_closed


async def test_a_head_that_trickles_in_is_given_up(autojump_clock: MockClock) -> None:
    async with connected(echo) as client, trio.open_nursery() as nursery:
        nursery.start_soon(_trickle, client.transport, b"GET / HTTP/1.1\r\nX: " + b"y" * 1000)
        await client.ended.wait()
        nursery.cancel_scope.cancel()
    assert client.lasted_s == pytest.approx(30)
    assert client.transport.take_sent() == b""


async def _trickle(transport: MemoryTransport, data: bytes) -> None:
    for byte in data:
        transport.feed(bytes([byte]))
        await trio.sleep(1)


async def test_a_body_that_stops_is_given_up_and_told_to_the_application(autojump_clock: MockClock) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        with pytest.raises(EOFError):
            await read_body(receive)
        await reply(send, b"late", status=400)

    async with connected(app) as client:
        client.transport.feed(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc")
        await client.ended.wait()
    assert 30 <= client.lasted_s < 35
    assert client.transport.take_sent().startswith(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n")


async def test_a_body_may_take_long_if_it_keeps_coming(autojump_clock: MockClock) -> None:
    async with connected(echo) as client:
        client.transport.feed(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n")
        for byte in b"abcde":
            await trio.sleep(29)
            client.transport.feed(bytes([byte]))
        await trio.sleep(0.1)
        assert client.transport.take_sent() == answer_of(b"POST/abcde")


async def test_a_client_that_stops_reading_is_reset(autojump_clock: MockClock) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await reply(send, b"x" * 1_000_000)

    async with connected(app) as client:
        client.transport.room = 1000
        client.transport.feed(request_bytes("GET", "/"))
        await trio.sleep(29)
        client.transport.make_room(1000)
        await client.ended.wait()
    assert client.lasted_s == 59
    assert client.transport.is_aborted


async def test_a_body_that_ends_early_is_told_to_the_application(autojump_clock: MockClock) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        with pytest.raises(EOFError):
            await read_body(receive)
        await reply(send, b"", status=400)

    async with connected(app) as client:
        sent = await client.answers(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc")
    assert sent.startswith(b"HTTP/1.1 400 ")


async def test_broken_chunks_end_the_body_and_the_connection(autojump_clock: MockClock) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        with pytest.raises(EOFError):
            await read_body(receive)
        await reply(send, b"", status=400)

    smuggled = request_bytes("GET", "/smuggled")
    async with connected(app) as client:
        head = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        sent = await client.answers(head + b"zz\r\n" + smuggled)
    assert sent.count(b"HTTP/1.1") == 1
    assert b"Connection: close" in sent


async def test_continue_is_sent_when_the_application_reads_the_body(autojump_clock: MockClock) -> None:
    head = b"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n"
    async with connected(echo) as client:
        client.transport.feed(head)
        await client.transport.wait_sent(b"HTTP/1.1 100 Continue\r\n\r\n")
        client.transport.take_sent()
        client.transport.feed(b"abc")
        await client.transport.wait_sent(b"abc")
        assert client.transport.take_sent() == answer_of(b"POST/abc")
    async with connected(ignore_body) as client:
        client.transport.feed(head)
        await client.transport.wait_sent(b"ok")
        assert client.transport.take_sent().startswith(b"HTTP/1.1 200 OK\r\nConnection: close")


async def test_a_short_unread_body_is_read_away_and_a_long_one_ends_the_connection(
    autojump_clock: MockClock,
) -> None:
    follower = request_bytes("GET", "/")
    async with connected(ignore_body) as client:
        sent = await client.answers(request_bytes("POST", "/", body=b"x" * 100) + follower)
    assert sent == answer_of(b"ok") * 2
    async with connected(ignore_body) as client:
        sent = await client.answers(request_bytes("POST", "/", body=b"x" * 101) + follower)
    assert sent == answer_of(b"ok", b"HTTP/1.1 200 OK\r\nConnection: close\r\n")
    assert client.transport.is_shut_down


async def test_a_client_that_still_sends_can_read_the_answer_before_the_end(
    autojump_clock: MockClock,
) -> None:
    async with connected(ignore_body) as client:
        client.transport.feed(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n")
        await client.transport.wait_sent(b"ok")
        await client.ended.wait()
    assert client.transport.is_shut_down
    assert 1 < client.lasted_s < 5


async def test_a_body_waits_until_the_application_asks(autojump_clock: MockClock) -> None:
    proceed = trio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await proceed.wait()
        await reply(send, b"%d" % len(await read_body(receive)))

    async with connected(app) as client:
        client.transport.feed(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n")
        await trio.sleep(0.1)
        client.transport.feed(b"x" * 1_000_000)
        await trio.sleep(1)
        assert len(client.transport._incoming) == 1_000_000
        proceed.set()
        await client.transport.wait_sent(b"1000000")


async def stream(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"Content-Type", b"x/y")]})
    for piece in (b"abc", b"", b"d" * 20):
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body"})


async def test_a_body_without_length_goes_in_chunks_or_until_the_end(autojump_clock: MockClock) -> None:
    async with connected(stream) as client:
        sent = await client.answers(request_bytes("GET", "/"))
    chunks = b"3\r\nabc\r\n14\r\n" + b"d" * 20 + b"\r\n0\r\n\r\n"
    assert sent == KEPT + b"Content-Type: x/y\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks
    async with connected(stream) as client:
        sent = await client.answers(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
    head = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: x/y\r\n\r\n"
    assert sent == head + b"abc" + b"d" * 20


async def test_http_1_0_is_kept_only_if_it_asks(autojump_clock: MockClock) -> None:
    async with connected(echo) as client:
        sent = await client.answers(
            b"GET /1 HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET /2 HTTP/1.0\r\n\r\n"
        )
    assert sent == answer_of(b"GET/1") + answer_of(b"GET/2", b"HTTP/1.1 200 OK\r\nConnection: close\r\n")


@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("GET", 304), ("GET", 204)])
async def test_answers_without_body_have_none(method: str, status: int, autojump_clock: MockClock) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await reply(send, b"body", (b"Content-Length", b"4"), status=status)

    async with connected(app) as client:
        sent = await client.answers(request_bytes(method, "/"))
    assert sent.endswith(b"\r\n\r\n")


async def _fail_at_once(scope: Scope, receive: Receive, send: Send) -> None:
    raise ValueError("at once")


async def _fail_after_start(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    raise ValueError("after start")


async def _forge_header(scope: Scope, receive: Receive, send: Send) -> None:
    await reply(send, b"", (b"X", b"a\r\nForged: yes"))


async def _answer_nothing(scope: Scope, receive: Receive, send: Send) -> None:
    return


@pytest.mark.parametrize("app", [_fail_at_once, _fail_after_start, _forge_header, _answer_nothing])
async def test_an_application_that_fails_before_it_answers_gives_500(
    app: App, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL, "orthanc_trio")
    async with connected(app) as client:
        sent = await client.answers(request_bytes("GET", "/"))
    assert sent.startswith(b"HTTP/1.1 500 Internal Server Error\r\nConnection: close\r\n")
    assert b"Forged" not in sent


async def _fail_in_chunks(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"part", "more_body": True})
    raise ValueError("in the middle")


async def _stop_in_length(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"Content-Length", b"10")]})
    await send({"type": "http.response.body", "body": b"part", "more_body": True})


async def _send_too_little(scope: Scope, receive: Receive, send: Send) -> None:
    await _stop_in_length(scope, receive, send)
    await send({"type": "http.response.body", "body": b"part"})


async def _send_too_much(scope: Scope, receive: Receive, send: Send) -> None:
    await _stop_in_length(scope, receive, send)
    await send({"type": "http.response.body", "body": b"parts and more"})


@pytest.mark.parametrize("app", [_fail_in_chunks, _stop_in_length, _send_too_little, _send_too_much])
async def test_a_broken_body_never_looks_complete(
    app: App, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL, "orthanc_trio")
    async with connected(app) as client:
        sent = await client.answers(request_bytes("GET", "/"))
    assert client.transport.is_aborted
    assert sent.partition(b"\r\n\r\n")[2] in (b"4\r\npart\r\n", b"part")


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"FOO / HTTP/1.1\r\nHost: x\r\n\r\n", b"400 Bad Request"),
        (b"GET /" + b"x" * 3000, b"414 "),
        (b"GET / HTTP/1.1\r\nX: " + b"x" * 3000, b"431 "),
        (b"GET / HTTP/3.0\r\nHost: x\r\n\r\n", b"505 "),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", b"400 Bad Request"),
    ],
)
async def test_what_is_no_request_is_refused_and_ends_the_connection(
    data: bytes, status: bytes, autojump_clock: MockClock
) -> None:
    async with connected(echo) as client:
        sent = await client.answers(data + request_bytes("GET", "/"))
    assert sent.startswith(b"HTTP/1.1 " + status)
    assert sent.count(b"HTTP/1.1") == 1
    assert b"\r\nContent-Type: text/plain; charset=utf-8\r\n" in sent
    assert client.transport.is_shut_down
    assert client.transport.is_closed


async def test_a_length_that_is_no_number_is_refused_without_text(autojump_clock: MockClock) -> None:
    async with connected(echo) as client:
        sent = await client.answers(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: abc\r\n\r\n")
    assert sent == b"HTTP/1.1 411 Length Required\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


async def test_the_end_of_a_client_is_told_to_an_application_that_listens(autojump_clock: MockClock) -> None:
    messages: list[Message] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        messages.append(await receive())
        messages.append(await receive())

    async with connected(app) as client:
        client.transport.feed(request_bytes("GET", "/"))
        await trio.sleep(100)
        client.transport.feed(b"pipelined")
        assert len(messages) == 1
        client.transport.end()
        await client.ended.wait()
    assert [message["type"] for message in messages] == ["http.request", "http.disconnect"]
    assert client.lasted_s < 101


async def test_what_comes_while_an_application_listens_is_kept_for_later(autojump_clock: MockClock) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        with trio.move_on_after(1):
            await receive()
        await reply(send, scope["path"].encode())

    async with connected(app) as client:
        client.transport.feed(request_bytes("GET", "/1"))
        await trio.sleep(0.5)
        client.transport.feed(request_bytes("GET", "/2"))
        await client.transport.wait_sent(b"/2")
        assert client.transport.take_sent() == answer_of(b"/1") + answer_of(b"/2")


@pytest.mark.parametrize("leave", [MemoryTransport.end, MemoryTransport.reset])
async def test_a_client_that_leaves_is_no_error(
    leave: Callable[[MemoryTransport], None], autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await receive()
        raise ConnectionError("who listens?")

    async with connected(app) as client:
        client.transport.feed(request_bytes("GET", "/"))
        await trio.sleep(1)
        leave(client.transport)
        await client.ended.wait()
    assert caplog.records == []


async def test_a_stop_closes_idle_connections_and_lets_requests_end(autojump_clock: MockClock) -> None:
    proceed = trio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await proceed.wait()
        await reply(send, b"done")

    async with connected(app) as idle, connected(app) as busy:
        busy.transport.feed(request_bytes("GET", "/"))
        await trio.sleep(1)
        idle.connection.stop()
        busy.connection.stop()
        await idle.ended.wait()
        assert idle.transport.is_closed
        proceed.set()
        await busy.ended.wait()
    assert busy.transport.take_sent().endswith(b"done")
    assert busy.transport.is_closed
    assert not busy.transport.is_aborted


async def test_a_cancel_in_the_middle_of_an_answer_resets(autojump_clock: MockClock) -> None:
    async with connected(_wait_in_body) as client:
        client.transport.feed(request_bytes("GET", "/"))
        await client.transport.wait_sent(b"\r\n")
    assert client.transport.is_aborted


async def _wait_in_body(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"x", "more_body": True})
    await trio.sleep_forever()


@pytest.mark.parametrize(
    "data",
    [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        request_bytes("GET", "/", "Upgrade: websocket", "Connection: Upgrade") + b"frames",
    ],
)
async def test_other_protocols_are_handed_over_with_all_that_was_read(
    data: bytes, autojump_clock: MockClock
) -> None:
    async with connected(echo) as client:
        client.transport.feed(request_bytes("GET", "/"))
        await client.transport.wait_sent(b"GET/")
        client.transport.feed(data)
        await client.ended.wait()
    assert client.handed_over == data
    assert client.transport.take_sent() == answer_of(b"GET/")
    assert not client.transport.is_closed


async def test_misuse_by_the_application_is_an_error(autojump_clock: MockClock) -> None:
    errors: list[Any] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        start = {"type": "http.response.start", "status": 200, "headers": []}
        for message in ({"type": "http.response.body"}, {"type": "unknown"}, start, start):
            try:
                await send(message)
            except RuntimeError as error:
                errors.append(error)
        await send({"type": "http.response.body"})
        try:
            await send({"type": "http.response.body"})
        except RuntimeError as error:
            errors.append(error)

    async with connected(app) as client:
        await client.answers(request_bytes("GET", "/"))
    assert len(errors) == 4


async def test_a_client_that_always_has_sent_more_keeps_nobody_waiting(autojump_clock: MockClock) -> None:
    many = 1000
    answered = 0

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal answered
        answered += 1
        if answered < many:
            client.transport.feed(request_bytes("GET", "/"))
        await reply(send, b"")

    async with connected(app) as client:
        client.transport.feed(request_bytes("GET", "/"))
        for _ in range(3):
            await trio.lowlevel.checkpoint()
        assert 0 < answered < many
