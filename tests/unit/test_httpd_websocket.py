"""Websockets over a connection made of memory: handshake, frames, control frames, time limits."""

import base64
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
import trio.testing
from wsproto import ConnectionType
from wsproto.connection import Connection
from wsproto.events import BytesMessage, CloseConnection, Event, Message, Ping, Pong, TextMessage

from orthanc_trio.httpd.asgi import App, Receive, Scope, Send
from orthanc_trio.httpd.options import HttpOptions
from orthanc_trio.httpd.transport import ClientGone
from orthanc_trio.httpd.websocket import WebSocketServer, frames
from tests.support.http import MemoryTransport, request_bytes

KEY = "AAAAAAAAAAAAAAAAAAAAAA=="
HANDSHAKE = (
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Version: 13",
    f"Sec-WebSocket-Key: {KEY}",
)
ACCEPTED = base64.b64encode(hashlib.sha1(KEY.encode() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({**message, "type": "websocket.send"})


class Client:
    """The client of a websocket, which reads and writes by wsproto."""

    def __init__(self, transport: MemoryTransport) -> None:
        self.transport = transport
        self.protocol = Connection(ConnectionType.CLIENT)

    def send(self, event: Event) -> None:
        self.transport.feed(self.protocol.send(event))

    async def events(self) -> list[Any]:
        """Return what has come when the server has nothing more to say."""
        await trio.testing.wait_all_tasks_blocked()
        self.protocol.receive_data(self.transport.take_sent())
        return list(self.protocol.events())


@asynccontextmanager
async def opened(app: App, *, held: bytes = b"", timeout_s: float = 30) -> AsyncIterator[Client]:
    """Open a websocket; at the end the server must have closed it, or is cancelled."""
    transport = MemoryTransport()
    client = Client(transport)
    async with trio.open_nursery() as nursery:
        server = WebSocketServer(app, HttpOptions(request_timeout_s=timeout_s))
        data = request_bytes("GET", "/feed?x=1", *HANDSHAKE) + held
        nursery.start_soon(server.serve, transport, data, ("1.2.3.4", 5), ("5.6.7.8", 80))
        await trio.testing.wait_all_tasks_blocked()
        head, _, rest = transport.take_sent().partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101 Switching Protocols\r\n")
        assert b"Sec-WebSocket-Accept: " + ACCEPTED in head
        client.protocol.receive_data(rest)
        yield client
        nursery.cancel_scope.cancel()
    assert transport.is_closed


async def answer_to(data: bytes, app: App = echo) -> bytes:
    """Return what the server sends on a connection that the client then closes."""
    transport = MemoryTransport()
    transport.end()
    server = WebSocketServer(app, HttpOptions())
    await server.serve(transport, data, ("1.2.3.4", 5), ("5.6.7.8", 80))
    assert transport.is_closed
    return transport.take_sent()


async def test_texts_and_bytes_are_echoed() -> None:
    async with opened(echo) as client:
        client.send(TextMessage("é"))
        client.send(BytesMessage(b"\0\1"))
        assert await client.events() == [TextMessage("é"), BytesMessage(b"\0\1")]


async def test_a_message_may_come_in_parts_and_with_the_handshake() -> None:
    first = Connection(ConnectionType.CLIENT).send(TextMessage("a", message_finished=False))
    async with opened(echo, held=first) as client:
        client.protocol.send(TextMessage("a", message_finished=False))
        client.send(Ping(b"in between"))
        client.send(TextMessage("b"))
        assert await client.events() == [Pong(b"in between"), TextMessage("ab")]


@pytest.mark.parametrize("size", [0, 125, 126, 65535, 65536])
def test_a_frame_of_any_size_is_understood(size: int) -> None:
    protocol = Connection(ConnectionType.CLIENT)
    protocol.receive_data(frames([b"x" * size, b"y"]))
    events = [event for event in protocol.events() if isinstance(event, Message)]
    assert "".join(event.data for event in events) == "x" * size + "y"
    assert sum(event.message_finished for event in events) == 2


async def test_many_texts_leave_in_one_write() -> None:
    async def tell(scope: Scope, receive: Receive, send: Send) -> None:
        assert "websocket.texts" in scope["extensions"]
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.texts", "texts": [b"a", b"b", b"c"]})
        await receive()

    async with opened(tell) as client:
        assert client.transport.sends == 2
        assert [event.data for event in client.protocol.events() if isinstance(event, TextMessage)] == [
            "a",
            "b",
            "c",
        ]


async def test_the_application_sees_the_request() -> None:
    scopes: list[Scope] = []

    async def look(scope: Scope, receive: Receive, send: Send) -> None:
        scopes.append(scope)
        assert await receive() == {"type": "websocket.connect"}
        await send({"type": "websocket.accept", "subprotocol": "two", "headers": [(b"X-More", b"1")]})
        assert await receive() == {"type": "websocket.disconnect", "code": 1006}

    data = request_bytes("GET", "/a%20b?x=1", *HANDSHAKE, "Sec-WebSocket-Protocol: one, two")
    answer = await answer_to(data, look)
    assert b"Sec-WebSocket-Protocol: two\r\n" in answer
    assert b"X-More: 1\r\n" in answer
    (scope,) = scopes
    assert (scope["type"], scope["path"], scope["query_string"]) == ("websocket", "/a b", b"x=1")
    assert (scope["scheme"], scope["client"], scope["subprotocols"]) == ("ws", ("1.2.3.4", 5), ["one", "two"])


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        (("Sec-WebSocket-Version: 13", "Sec-WebSocket-Version: 8"), b"426"),
        (("Sec-WebSocket-Version: 13", "X: y"), b"426"),
        ((f"Sec-WebSocket-Key: {KEY}", "X: y"), b"400"),
        ((f"Sec-WebSocket-Key: {KEY}", "Sec-WebSocket-Key: AAAA"), b"400"),
        ((f"Sec-WebSocket-Key: {KEY}", "Sec-WebSocket-Key: %%"), b"400"),
        (("GET", "POST"), b"400"),
    ],
)
async def test_a_wrong_handshake_is_refused(changed: tuple[str, str], status: bytes) -> None:
    data = request_bytes("GET", "/", *HANDSHAKE).decode().replace(*changed).encode()
    answer = await answer_to(data)
    assert answer.startswith(b"HTTP/1.1 " + status)
    assert answer.endswith(b"Content-Length: 0\r\n\r\n")


async def test_the_application_may_refuse() -> None:
    async def refuse(scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(b"content-length", b"2")]
        await send({"type": "websocket.http.response.start", "status": 404, "headers": headers})
        await send({"type": "websocket.http.response.body", "body": b"no"})

    async def close(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "websocket.close", "code": 1008})

    async def forge(scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(b"X", b"1\r\nSet-Cookie: a")]
        await send({"type": "websocket.http.response.start", "status": 404, "headers": headers})

    data = request_bytes("GET", "/", *HANDSHAKE)
    assert (await answer_to(data, refuse)).endswith(b"content-length: 2\r\n\r\nno")
    assert (await answer_to(data, close)).startswith(b"HTTP/1.1 403 ")
    assert b"Set-Cookie" not in await answer_to(data, forge)


async def test_an_application_that_fails_is_logged_and_closed(caplog: pytest.LogCaptureFixture) -> None:
    async def fail_early(scope: Scope, receive: Receive, send: Send) -> None:
        raise KeyError("early")

    async def fail_late(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "websocket.accept"})
        raise KeyError("late")

    async def say_nonsense(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start"})

    data = request_bytes("GET", "/feed?secret", *HANDSHAKE)
    for app in (fail_early, say_nonsense):
        assert (await answer_to(data, app)).startswith(b"HTTP/1.1 500 ")
    async with opened(fail_late) as client:
        assert await client.events() == [CloseConnection(1011, "")]
    assert "secret" not in caplog.text
    assert caplog.text.count("a websocket was broken off: /feed") == 3


async def test_a_client_may_close() -> None:
    codes: list[int] = []

    async def listen(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        codes.append((await receive())["code"])
        assert (await receive())["type"] == "websocket.disconnect"
        with pytest.raises(ClientGone):
            await send({"type": "websocket.send", "text": "too late"})

    async with opened(listen) as client:
        client.send(CloseConnection(1000, "bye"))
        assert await client.events() == [CloseConnection(1000, "bye")]
    assert codes == [1000]


async def test_the_server_closes_and_waits_for_the_answer() -> None:
    async def close(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.close", "code": 1001, "reason": "bye"})
        await send({"type": "websocket.close"})

    async with opened(close) as client:
        client.send(TextMessage("on the way"))
        (closed,) = await client.events()
        assert closed == CloseConnection(1001, "bye")
        assert [client.transport.is_shut_down] == [False]
        client.send(closed.response())
        await trio.testing.wait_all_tasks_blocked()
        assert client.transport.is_shut_down
        assert [client.transport.is_closed] == [False]
        client.transport.end()
        await trio.testing.wait_all_tasks_blocked()
        assert client.transport.is_closed


async def test_a_client_that_does_not_answer_the_close_is_left(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async def close(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})

    begin = trio.current_time()
    async with opened(close) as client:
        await trio.sleep(3)
        assert client.transport.is_closed
    assert trio.current_time() - begin == 3


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"\x81\x05hello", 1002),  # no mask
        (b"\xf1\x80\0\0\0\0", 1002),  # reserved bits
        (b"\x81\x82\0\0\0\0\xff\xff", 1007),  # not UTF-8
        (b"\x81\xff" + (1 << 21).to_bytes(8, "big") + bytes(4) + b"x" * ((1 << 20) + 1), 1009),
    ],
)
async def test_a_client_that_breaks_the_rules_is_closed(data: bytes, code: int) -> None:
    async with opened(echo) as client:
        client.transport.feed(data)
        (closed,) = await client.events()
        assert (type(closed), closed.code) == (CloseConnection, code)


async def test_a_silent_client_is_pinged_and_in_the_end_given_up(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with opened(echo) as client:
        await trio.sleep(21)
        (ping,) = await client.events()
        client.send(ping.response())
        await trio.sleep(50)
        assert await client.events() == [Ping(), Ping()]
        assert not client.transport.is_closed
        await trio.sleep(15)
        assert client.transport.is_closed


async def test_a_client_that_takes_nothing_is_given_up(autojump_clock: trio.testing.MockClock) -> None:
    ends: list[float] = []

    async def flood(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "websocket.accept"})
        try:
            while True:
                await send({"type": "websocket.send", "text": "x" * 1000})
        except ClientGone:
            ends.append(trio.current_time())
            raise

    transport = MemoryTransport()
    transport.room = 5000
    begin = trio.current_time()
    server = WebSocketServer(flood, HttpOptions(request_timeout_s=7))
    await server.serve(transport, request_bytes("GET", "/", *HANDSHAKE), ("", 0), ("", 0))
    assert [end - begin for end in ends] == [7]
    assert transport.is_closed


async def test_messages_of_two_tasks_do_not_mix() -> None:
    async def send_twice(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        async with trio.open_nursery() as nursery:
            for letter in "abc":
                nursery.start_soon(send, {"type": "websocket.send", "text": letter * 1000})

    async with opened(send_twice) as client:
        pass
    transport = MemoryTransport()
    transport.room = 300
    async with trio.open_nursery() as nursery:
        server = WebSocketServer(send_twice, HttpOptions())
        data = request_bytes("GET", "/", *HANDSHAKE)
        nursery.start_soon(server.serve, transport, data, ("", 0), ("", 0))
        for _ in range(20):
            await trio.testing.wait_all_tasks_blocked()
            transport.make_room(200)
        client = Client(transport)
        client.protocol.receive_data(transport.take_sent().partition(b"\r\n\r\n")[2])
        events = [event for event in client.protocol.events() if isinstance(event, TextMessage)]
        nursery.cancel_scope.cancel()
    text = "".join(event.data for event in events)
    assert len(text) == 3000
    assert {text[0] * 1000, text[1000] * 1000, text[2000] * 1000} == {"a" * 1000, "b" * 1000, "c" * 1000}
    assert all(len(set(text[start : start + 1000])) == 1 for start in (0, 1000, 2000))


async def test_a_cancel_tells_the_client_that_the_server_goes_away() -> None:
    async with opened(echo) as client:
        pass
    client.protocol.receive_data(client.transport.take_sent())
    assert list(client.protocol.events()) == [CloseConnection(1001, "")]


async def test_a_client_that_vanishes_is_no_error(caplog: pytest.LogCaptureFixture) -> None:
    async def tell(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        assert (await receive())["code"] == 1006
        await send({"type": "websocket.send", "text": "x"})

    async with opened(tell) as client:
        client.transport.reset()
        await trio.testing.wait_all_tasks_blocked()
        assert client.transport.is_closed
    assert caplog.text == ""
