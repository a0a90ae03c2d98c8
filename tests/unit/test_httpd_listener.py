"""The HTTP server over real sockets."""

import logging
import os
import random
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from orthanc_trio.httpd import hypercorn_bridge
from orthanc_trio.httpd.asgi import Receive, Scope, Send
from orthanc_trio.httpd.listener import serve
from orthanc_trio.httpd.options import HttpOptions
from orthanc_trio.httpd.transport import SocketTransport
from orthanc_trio.model.errors import HttpPortInUse, InternalError
from tests.support.http import HOST, RawClient, make_certificate, request_bytes, server_tls, serving


async def reply(send: Send, body: bytes, *headers: tuple[bytes, bytes]) -> None:
    length = (b"Content-Length", b"%d" % len(body))
    await send({"type": "http.response.start", "status": 200, "headers": [*headers, length]})
    await send({"type": "http.response.body", "body": body})


async def count_body(scope: Scope, receive: Receive, send: Send) -> None:
    size = 0
    while (message := await receive())["type"] == "http.request":
        size += len(message["body"])
        if not message["more_body"]:
            break
    await reply(send, b"%b %d" % (scope["path"].encode(), size))


async def test_a_taken_port_is_an_error_that_names_it() -> None:
    async with serving(count_body) as server:
        with pytest.raises(HttpPortInUse, match=str(server.port)):
            await serve(count_body, HttpOptions(addresses=(HOST,), port=server.port), stop=trio.Event())


async def test_an_address_of_another_host_is_an_error() -> None:
    with pytest.raises(HttpPortInUse, match="192"):
        await serve(count_body, HttpOptions(addresses=("192.0.2.1",)), stop=trio.Event())


async def test_several_addresses_are_served() -> None:
    addresses = (HOST, "127.0.0.2", "::1") if socket.has_dualstack_ipv6() else (HOST, "127.0.0.2")
    options = HttpOptions(addresses=addresses)

    async def run(task_status: trio.TaskStatus[Any]) -> None:
        await serve(count_body, options, stop=trio.Event(), task_status=task_status)

    async with trio.open_nursery() as server:
        bound = await server.start(run)
        assert tuple(address for address, _ in bound) == addresses
        for address, port in bound:
            async with await trio.open_tcp_stream(address, port) as stream:
                assert (await RawClient(stream).get("/here")).body == b"/here 0"
        server.cancel_scope.cancel()


async def test_connection_close_gives_the_end_of_the_stream_at_once() -> None:
    async with serving(count_body) as server:
        with trio.fail_after(1):
            answer = await server.ask(request_bytes("GET", "/a", "Connection: close"))
    assert answer.endswith(b"\r\n\r\n/a 0")


async def test_a_client_that_has_said_all_is_answered() -> None:
    async with serving(count_body) as server, server.client() as client:
        await client.send(request_bytes("POST", "/", body=b"abc"))
        assert isinstance(client.stream, trio.SocketStream)
        await client.stream.send_eof()
        assert (await client.read_reply()).body == b"/ 3"


async def test_an_idle_connection_is_closed() -> None:
    options = {"keep_alive_timeout_s": 0, "idle_timeout_s": 0.1}
    async with serving(count_body, **options) as server, server.client() as client:
        await client.get("/")
        assert await client.read_to_end() == b""


async def test_large_bodies_arrive_whole() -> None:
    body = random.Random(1).randbytes(3_000_000)
    async with serving(count_body) as server, server.client() as client:
        for _ in range(3):
            assert (await client.post("/", body)).body == b"/ 3000000"


async def test_a_client_that_resets_in_a_large_answer_disturbs_nobody(
    caplog: pytest.LogCaptureFixture,
) -> None:
    ended = trio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/small":
            await reply(send, b"small")
            return
        try:
            await reply(send, b"x" * 50_000_000)
        finally:
            ended.set()

    async with serving(app) as server:
        async with server.client() as client:
            await client.send(request_bytes("GET", "/large"))
            await client.read_exactly(100)
            _set_reset_on_close(client)
        await ended.wait()
        async with server.client() as client:
            assert (await client.get("/small")).body == b"small"
    assert caplog.records == []


def _set_reset_on_close(client: RawClient) -> None:
    assert isinstance(client.stream, trio.SocketStream)
    client.stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")


async def test_a_broken_answer_is_reset(caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"part", "more_body": True})
        raise ValueError

    caplog.set_level(logging.CRITICAL, "orthanc_trio")
    async with serving(app) as server, server.client() as client:
        await client.send(request_bytes("GET", "/"))
        with pytest.raises(trio.BrokenResourceError):
            await client.read_to_end()


@pytest.mark.parametrize(("offset", "count"), [(0, 5_000_000), (4_999_999, 1), (100, 0), (7, 1234)])
async def test_a_part_of_a_file_is_sent_by_the_kernel(offset: int, count: int, tmp_path: Path) -> None:
    content = random.Random(2).randbytes(5_000_000)
    path = tmp_path / "file"
    path.write_bytes(content)
    descriptor = os.open(path, os.O_RDONLY)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert "http.response.zerocopysend" in scope["extensions"]
        await send(
            {"type": "http.response.start", "status": 200, "headers": [(b"Content-Length", b"%d" % count)]}
        )
        part = {"file": descriptor, "offset": offset, "count": count}
        await send({"type": "http.response.zerocopysend", **part})

    async with serving(app) as server, server.client() as client:
        for _ in range(2):
            assert (await client.get("/")).body == content[offset : offset + count]
    os.close(descriptor)


@pytest.mark.parametrize("version", ["1.0", "1.1"])
async def test_parts_of_files_are_sent_within_a_body_without_a_length(version: str, tmp_path: Path) -> None:
    content = random.Random(2).randbytes(3_000_000)
    path = tmp_path / "file"
    path.write_bytes(content)
    descriptor = os.open(path, os.O_RDONLY)
    parts = [(0, 2_000_000, b"head"), (5, 0, b""), (5, 0, b"alone"), (2_999_999, 1, b"")]

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"begin", "more_body": True})
        for offset, count, prefix in parts:
            part = {"file": descriptor, "offset": offset, "count": count, "prefix": prefix}
            await send({"type": "http.response.zerocopysend", **part, "more_body": True})
        await send({"type": "http.response.body", "body": b"end"})

    expected = b"".join(prefix + content[offset : offset + count] for offset, count, prefix in parts)
    async with serving(app) as server:
        url = f"http://{HOST}:{server.port}/"
        command = ["curl", "-sSf", "--http1.0" if version == "1.0" else "--http1.1", url]
        done = await trio.run_process(command, capture_stdout=True)
    assert done.stdout == b"begin" + expected + b"end"
    os.close(descriptor)


async def test_a_file_that_is_shorter_than_announced_resets(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"short")
    descriptor = os.open(path, os.O_RDONLY)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.zerocopysend", "file": descriptor, "count": 100})

    caplog.set_level(logging.CRITICAL, "orthanc_trio")
    async with serving(app) as server, server.client() as client:
        await client.send(request_bytes("GET", "/"))
        with pytest.raises(trio.BrokenResourceError):
            await client.read_to_end()
    os.close(descriptor)


async def test_more_connections_than_allowed_wait_for_their_turn() -> None:
    async with serving(count_body, max_connections=2) as server, server.client() as first:
        await first.get("/")
        async with server.client() as second, server.client() as third:
            await second.get("/")
            await third.send(request_bytes("GET", "/third"))
            with trio.move_on_after(0.2) as waiting:
                await third.read_reply()
            assert waiting.cancelled_caught
            await first.stream.aclose()
            assert (await third.read_reply()).body == b"/third 0"


async def test_a_stop_lets_requests_end_and_takes_no_new_ones() -> None:
    entered, proceed = trio.Event(), trio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        entered.set()
        await proceed.wait()
        await reply(send, b"done")

    async with serving(app, grace_s=5) as server, server.client() as busy, server.client() as idle:
        await busy.send(request_bytes("GET", "/"))
        await entered.wait()
        server.stop.set()
        assert await idle.read_to_end() == b""
        with pytest.raises(OSError, match="connect"):
            await trio.open_tcp_stream(HOST, server.port)
        proceed.set()
        answer = await busy.read_to_end()
        assert b"Connection: close" in answer
        assert answer.endswith(b"done")


async def test_a_request_that_outlasts_the_grace_is_cancelled() -> None:
    entered = trio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        entered.set()
        await trio.sleep_forever()

    async with serving(app, grace_s=0.05) as server, server.client() as client:
        await client.send(request_bytes("GET", "/"))
        await entered.wait()
        server.stop.set()
        with pytest.raises(trio.BrokenResourceError):
            await client.read_to_end()


async def test_random_bytes_never_end_the_server(caplog: pytest.LogCaptureFixture) -> None:
    generator = random.Random(3)
    words = [b"GET ", b"/", b" HTTP/1.1", b"\r\n", b"\r\n\r\n", b"Host: x", b"Content-Length: 5", b":", b"0"]
    words += [b"Transfer-Encoding: chunked", b"POST ", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\0", b"%ff"]
    words += [b"Upgrade: websocket\r\nConnection: upgrade", b"Sec-WebSocket-Key: x"]
    async with serving(count_body, request_timeout_s=0.2, idle_timeout_s=0.2) as server:
        for _ in range(150):
            pieces = [
                generator.choice([*words, generator.randbytes(8)]) for _ in range(generator.randrange(12))
            ]
            await _send_and_forget(server.port, b"".join(pieces))
        async with server.client() as client:
            assert (await client.get("/alive")).body == b"/alive 0"
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == []


async def _send_and_forget(port: int, data: bytes) -> None:
    stream = await trio.open_tcp_stream(HOST, port)
    with trio.move_on_after(0.01):
        try:
            await stream.send_all(data)
            await stream.receive_some(1000)
        except trio.BrokenResourceError:
            pass
    await trio.aclose_forcefully(stream)


async def websocket_echo(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] != "websocket":
        await count_body(scope, receive, send)
        return
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": message["text"]})


async def test_a_websocket_is_served_on_the_same_port() -> None:
    from trio_websocket import open_websocket_url

    async with serving(websocket_echo) as server:
        async with open_websocket_url(f"ws://{HOST}:{server.port}/feed") as websocket:
            for text in ("one", "two"):
                await websocket.send_message(text)
                assert await websocket.get_message() == text
        async with server.client() as client:
            assert (await client.get("/still")).status == 200


async def test_http_2_is_served_to_those_who_know_it() -> None:
    async with serving(count_body) as server, server.client() as client:
        await client.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0")
        settings = await client.read_exactly(9)
    assert settings[3] == 4  # a SETTINGS frame


async def test_an_unknown_hypercorn_is_refused_at_the_start(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class OtherServer:
        def __init__(self, app: Any, config: Any) -> None: ...

    monkeypatch.setattr(hypercorn_bridge, "TCPServer", OtherServer)
    options = HttpOptions(addresses=(HOST,), tls=server_tls(make_certificate(tmp_path)))
    with pytest.raises(InternalError, match="Hypercorn"):
        await serve(count_body, options, stop=trio.Event())


@asynccontextmanager
async def tls_client(app: Any, folder: Path, **options: Any) -> AsyncIterator[RawClient]:
    certificate = make_certificate(folder)
    async with (
        serving(app, tls=server_tls(certificate), **options) as server,
        server.tls_client(certificate) as client,
    ):
        yield client


async def test_tls_keeps_connections_and_closes_them_on_demand(tmp_path: Path) -> None:
    async with tls_client(count_body, tmp_path) as client:
        for body in (b"", b"abc", b"x" * 1_000_000):
            reply = await client.post("/a", body)
            assert (reply.body, reply.reason) == (b"/a %d" % len(body), "")
            assert (reply.headers["connection"], reply.headers["keep-alive"]) == ("keep-alive", "timeout=1")
        await client.send(request_bytes("GET", "/b", "Connection: close"))
        with trio.fail_after(1):
            answer = await client.read_to_end()
    assert answer.endswith(b"/b 0")
    assert b"server" not in answer.lower()
    assert b"date:" not in answer.lower()


async def test_plain_http_on_a_tls_port_gets_no_answer(tmp_path: Path) -> None:
    certificate = make_certificate(tmp_path)
    async with serving(count_body, tls=server_tls(certificate)) as server:
        answer = await server.ask(request_bytes("GET", "/"))
        assert b"HTTP" not in answer
        async with server.tls_client(certificate) as client:
            assert (await client.get("/")).status == 200


async def test_a_slow_body_over_tls_is_given_up(tmp_path: Path) -> None:
    async with tls_client(count_body, tmp_path, request_timeout_s=0.1) as client:
        await client.send(b"POST /slow HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc")
        assert (await client.read_reply()).body == b"/slow 3"


async def test_an_application_learns_that_a_client_over_tls_has_left(tmp_path: Path) -> None:
    learned = trio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        try:
            while True:
                await send({"type": "http.response.body", "body": b"x" * 100_000, "more_body": True})
        except OSError:
            learned.set()
            raise

    async with tls_client(app, tmp_path) as client:
        await client.send(request_bytes("GET", "/"))
        await client.read_exactly(10)
        assert isinstance(client.stream, trio.SSLStream)
        await trio.aclose_forcefully(client.stream)
        await learned.wait()


async def test_a_wrong_certificate_ends_only_the_handshake(tmp_path: Path) -> None:
    certificate = make_certificate(tmp_path)
    async with serving(count_body, tls=server_tls(certificate)) as server:
        async with await trio.open_tcp_stream(HOST, server.port) as stream:
            tls = trio.SSLStream(stream, ssl.create_default_context(), server_hostname="x")
            with pytest.raises(trio.BrokenResourceError):
                await tls.do_handshake()
        async with server.tls_client(certificate) as client:
            assert (await client.get("/")).status == 200


async def test_a_socket_that_is_closed_twice_stays_closed() -> None:
    left, right = socket.socketpair()
    with left, right:
        transport = SocketTransport(left)
        transport.close()
        transport.close()
        transport.abort()
        assert right.recv(1) == b""
