"""`jobs watch` against a scripted feed: what is shown, and the exit codes."""

import io
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest
import trio
from rich.console import Console
from trio_websocket import WebSocketRequest, serve_websocket

from orthanc_trio.client.address import Address, BadAddress, parse_address
from orthanc_trio.client.display import Bars, Lines, make_display
from orthanc_trio.client.feed import JobView
from orthanc_trio.client.watch import watch

JOB = {"ID": "b9c08539", "Type": "Archive", "State": "Running", "Progress": 10, "Content": {"x": [1]}}


def job(**values: object) -> dict[str, object]:
    return {**JOB, **values}


def snapshot(*jobs: dict[str, object]) -> dict[str, object]:
    return {"Type": "Snapshot", "Jobs": list(jobs)}


def event(**values: object) -> dict[str, object]:
    return {"Type": "Job", "Job": job(**values)}


# Addresses


@pytest.mark.parametrize(
    ("url", "base", "authorization"),
    [
        ("http://host:8042/", "http://host:8042", None),
        ("host:8042", "http://host:8042", None),
        ("https://host/orthanc/", "https://host/orthanc", None),
        ("http://[::1]:80", "http://[::1]:80", None),
        ("http://a:b%40c@host", "http://host", "Basic YTpiQGM="),
        ("http://a@host", "http://host", "Basic YTo="),
    ],
)
def test_addresses(url: str, base: str, authorization: str | None) -> None:
    assert parse_address(url) == Address(base, authorization)


@pytest.mark.parametrize("url", ["", "ftp://host", "http://", "http://h:x", "http://h?q", "http://[::1"])
def test_bad_addresses(url: str) -> None:
    with pytest.raises(BadAddress):
        parse_address(url)


def test_a_path_below_the_base_is_quoted() -> None:
    assert Address("https://h/x", None).resource("jobs", "a/b", "events") == "/x/jobs/a%2Fb/events"


@pytest.mark.parametrize(
    ("url", "endpoint"),
    [("https://h", ("h", 443)), ("http://h/x", ("h", 80)), ("http://[::1]:81", ("::1", 81))],
)
def test_an_endpoint_has_the_port_of_its_scheme(url: str, endpoint: tuple[str, int]) -> None:
    assert Address(url, None).endpoint == endpoint


# jobs watch


@asynccontextmanager
async def feed(
    *messages: Any, code: int = 1001, requests: list[WebSocketRequest] | None = None
) -> AsyncIterator[str]:
    """Serve one feed that sends messages (text as it is) and then closes; yield the URL."""

    async def handle(request: WebSocketRequest) -> None:
        if requests is not None:
            requests.append(request)
        if "unknown" in request.path:
            await request.reject(404)
            return
        if "secret" in request.path:
            await request.reject(401)
            return
        socket = await request.accept()
        for message in messages:
            await socket.send_message(message if isinstance(message, str) else json.dumps(message))
        await socket.aclose(code)

    async with trio.open_nursery() as nursery:
        server = await nursery.start(serve_websocket, handle, "127.0.0.1", 0, None)
        yield f"http://127.0.0.1:{server.port}"
        nursery.cancel_scope.cancel()


async def watched(url: str, job_id: str | None, *, timeout_s: float = 5) -> tuple[int, list[str]]:
    console = Console(file=io.StringIO(), width=40)
    code = await watch(parse_address(url), job_id, make_display(console), timeout_s=timeout_s)
    assert isinstance(console.file, io.StringIO)
    return code, console.file.getvalue().splitlines()


async def test_a_job_is_watched_until_it_succeeds() -> None:
    async with feed(snapshot(job()), event(Progress=50), event(State="Success", Progress=100)) as url:
        code, lines = await watched(url, "b9c08539")

    assert code == 0
    assert lines == [
        "b9c08539 Archive Running 10 %",
        "b9c08539 Archive Running 50 %",
        "b9c08539 Archive Success 100 %",
    ]


async def test_a_job_that_fails_is_told_by_the_exit_code() -> None:
    async with feed(
        snapshot(job()), event(State="Failure", ErrorDescription="No", ErrorDetails="Full")
    ) as url:
        code, lines = await watched(url, "b9c08539")

    assert code == 1
    assert lines[-1] == "b9c08539 Archive Failure 10 %: Full"


async def test_a_job_that_has_ended_already_is_told_at_once() -> None:
    async with feed(snapshot(job(State="Success"))) as url:
        assert (await watched(url, "b9c08539"))[0] == 0


async def test_the_feed_of_a_job_is_asked_for_with_the_user() -> None:
    requests: list[WebSocketRequest] = []
    async with feed(snapshot(job(State="Success")), requests=requests) as url:
        await watched(url.replace("://", "://a:b@"), "b9c08539")

    (request,) = requests
    assert request.path == "/jobs/b9c08539/events"
    assert dict(request.headers)[b"authorization"] == b"Basic YTpi"


async def test_all_jobs_are_watched_until_the_server_goes(capsys: pytest.CaptureFixture[str]) -> None:
    messages = (
        snapshot(),
        event(ID="1"),
        event(ID="1"),
        {"Type": "Change", "Change": {"Seq": 1}},
        {"Type": "News", "Job": 5},
        "no JSON",
        event(ID="2", State="Success"),
        {"Type": "JobForgotten", "ID": "1"},
        {"Type": "JobForgotten", "ID": "never seen"},
    )
    async with feed(*messages) as url:
        code, lines = await watched(url, None)

    assert code == 3
    assert lines == ["1 Archive Running 10 %", "2 Archive Success 10 %", "1 deleted"]
    assert capsys.readouterr().err == f"orthanc-trio: The connection to {url} was lost\n"


async def test_a_deleted_job_ends_the_watch(capsys: pytest.CaptureFixture[str]) -> None:
    async with feed(snapshot(job()), {"Type": "JobForgotten", "ID": "b9c08539"}) as url:
        assert (await watched(url, "b9c08539"))[0] == 1

    assert "deleted" in capsys.readouterr().err


@pytest.mark.parametrize(("job_id", "text"), [("unknown", "no such job"), ("secret", "refuses the user")])
async def test_a_refusal_is_one_line(job_id: str, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    async with feed() as url:
        assert (await watched(url, job_id))[0] == 1

    assert text in capsys.readouterr().err


async def test_a_server_that_is_not_there_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    async with feed() as url:
        pass

    assert (await watched(url, None))[0] == 3
    assert capsys.readouterr().err == f"orthanc-trio: No connection to {url}\n"


async def test_a_server_that_drops_the_connection_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    async def drop(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        await stream.aclose()

    async with trio.open_nursery() as nursery:
        (listener,) = await nursery.start(partial(trio.serve_tcp, drop, 0, host="127.0.0.1"))
        url = f"http://127.0.0.1:{listener.socket.getsockname()[1]}"
        assert (await watched(url, None, timeout_s=0.3))[0] == 3
        nursery.cancel_scope.cancel()

    assert capsys.readouterr().err == f"orthanc-trio: The connection to {url} was lost\n"


# What is shown


def _terminal() -> Console:
    return Console(file=io.StringIO(), width=100, height=20, force_terminal=True, color_system=None)


def _written(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_a_terminal_gets_bars_with_the_time_that_is_left() -> None:
    console = _terminal()
    view = JobView(
        id="1",
        type="Archive",
        state="Running",
        progress=42,
        timestamp="20261121T222611",
        estimated_time_of_arrival="20261121T222717.5",
    )

    with make_display(console) as display:
        display.show(view)
        display.show(JobView(id="2", type="Media", state="Pending"))
        display.forget("2")

    assert isinstance(display, Bars)
    last_frame = _written(console).rpartition("1 Archive Running")[2]
    assert "42 % 1:06 left" in last_frame
    assert "Media" not in last_frame


def test_on_a_terminal_an_ended_job_becomes_one_line_above_the_bars() -> None:
    console = _terminal()
    ended = JobView(id="1", type="Archive", state="Success", progress=100)

    with make_display(console) as display:
        display.show(JobView(id="1", type="Archive", state="Running"))
        display.show(ended)
        display.show(ended)

    assert _written(console).count("1 Archive Success 100 %") == 1


@pytest.mark.parametrize("kind", [Bars, Lines])
def test_a_server_cannot_control_the_terminal(kind: Callable[[Console], Bars | Lines]) -> None:
    console = _terminal()

    with kind(console) as display:
        display.show(JobView(id="\x1b]0;x\x07", type="[bold]t[/bold]", state="a\nb"))

    assert "\x1b]0" not in _written(console)
    assert "?]0;x? [bold]t[/bold] a?b" in _written(console)


@pytest.mark.parametrize("time", ["", "soon", "20261399T000000"])
def test_an_estimate_that_is_no_time_is_none(time: str) -> None:
    view = JobView(id="1", type="t", state="s", timestamp=time, estimated_time_of_arrival=time)

    assert view.seconds_left is None
