"""`jobs watch` and `upload` against scripted servers: what is shown, what is counted, the exit codes."""

import io
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
from rich.console import Console
from trio_websocket import WebSocketRequest, serve_websocket

from orthanc_trio.client.address import Address, BadAddress, parse_address
from orthanc_trio.client.display import Bars, Lines, make_display
from orthanc_trio.client.feed import JobView
from orthanc_trio.client.upload import Fate, Upload
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
        (listener,) = await nursery.start(_serve, drop)
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


# upload


class Post:
    """One request that a scripted server got."""

    def __init__(self, headers: dict[str, str], body: bytes) -> None:
        self.headers = headers
        self.body = body


Judge = Callable[[Post], tuple[int, object] | None]


async def _read_post(stream: trio.SocketStream, buffer: bytearray) -> Post | None:
    while (end := buffer.find(b"\r\n\r\n")) < 0:
        data = await stream.receive_some()
        if not data:
            return None
        buffer += data
    first, *lines = bytes(buffer[:end]).decode().split("\r\n")
    assert first == "POST /instances HTTP/1.1"
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
    size = int(headers["content-length"])
    del buffer[: end + 4]
    while len(buffer) < size:
        buffer += await stream.receive_some()
    body = bytes(buffer[:size])
    del buffer[:size]
    return Post(headers, body)


@asynccontextmanager
async def store(judge: Judge) -> AsyncIterator[str]:
    """Serve `POST /instances` as `judge` says: (status, JSON), or None to drop the connection."""

    async def handle(stream: trio.SocketStream) -> None:
        buffer = bytearray()
        async with stream:
            while (post := await _read_post(stream, buffer)) is not None:
                answer = judge(post)
                if answer is None:
                    return
                body = json.dumps(answer[1]).encode()
                head = f"HTTP/1.1 {answer[0]} X\r\nContent-Length: {len(body)}\r\n\r\n"
                await stream.send_all(head.encode() + body)

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(_serve, handle)
        yield f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}"
        nursery.cancel_scope.cancel()


async def _serve(
    handle: Callable[[trio.SocketStream], Awaitable[object]], *, task_status: trio.TaskStatus[Any]
) -> None:
    await trio.serve_tcp(handle, 0, host="127.0.0.1", task_status=task_status)


def by_content(post: Post) -> tuple[int, object]:
    match post.body[:3]:
        case b"old":
            return 200, {"Status": "AlreadyStored", "ID": "x"}
        case b"zip":
            return 200, [{"Status": "Success"}, {"Status": "AlreadyStored"}]
        case b"txt":
            return 400, {"OrthancStatus": 15}
        case b"bad":
            return 500, {"OrthancStatus": 11}
        case b"odd":
            return 200, ["?"]
        case _:
            return 200, {"Status": "Success", "ID": "x"}


def files(folder: Path, *contents: str) -> Path:
    for number, content in enumerate(contents):
        path = folder / f"{number // 2}" / f"{number}.dcm"
        path.parent.mkdir(exist_ok=True)
        path.write_text(content)
    return folder


class Uploaded:
    def __init__(self, url: str, connections: int = 4) -> None:
        self.console = Console(file=io.StringIO(), width=40)
        self.run = Upload(parse_address(url), self.console, connections, pauses_s=(0, 0)).run

    @property
    def lines(self) -> list[str]:
        return _written(self.console).splitlines()


async def test_folders_are_uploaded_and_counted(tmp_path: Path) -> None:
    async with store(by_content) as url:
        upload = Uploaded(url)
        code = await upload.run([files(tmp_path, "new", "new", "old", "txt", "zip", "new")])

    assert code == 0
    assert upload.lines == ["4 stored, 2 already stored, 1 not DICOM, 0 failed"]


async def test_a_file_arrives_whole_with_its_length_and_the_user(tmp_path: Path) -> None:
    posts: list[Post] = []
    content = os.urandom(2_500_000)
    (tmp_path / "a").write_bytes(content)

    def judge(post: Post) -> tuple[int, object]:
        posts.append(post)
        return by_content(post)

    async with store(judge) as url:
        await Uploaded(url.replace("://", "://a:b@")).run([tmp_path / "a"])

    (post,) = posts
    assert post.body == content
    assert "transfer-encoding" not in post.headers
    assert post.headers["authorization"] == "Basic YTpi"


async def test_failures_are_named_and_told_by_the_exit_code(tmp_path: Path) -> None:
    async with store(by_content) as url:
        upload = Uploaded(url)
        code = await upload.run([files(tmp_path, "bad", "new", "odd"), tmp_path / "missing"])

    assert code == 1
    assert sorted(upload.lines[:-1]) == [
        f"orthanc-trio: '{tmp_path}/0/0.dcm': the server answers with status 500",
        f"orthanc-trio: '{tmp_path}/1/2.dcm': the server says None",
        f"orthanc-trio: '{tmp_path}/missing': no such file or folder",
    ]
    assert upload.lines[-1] == "1 stored, 0 already stored, 0 not DICOM, 3 failed"


async def test_links_are_not_followed_out_of_a_folder(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    folder = tmp_path / "folder"
    folder.mkdir()
    files(outside, "new", "new")
    (folder / "to_folder").symlink_to(outside)
    (folder / "to_file").symlink_to(outside / "0" / "0.dcm")
    (folder / "to_nothing").symlink_to(tmp_path / "gone")
    os.mkfifo(folder / "pipe")
    (folder / "file").write_text("new")

    async with store(by_content) as url:
        upload = Uploaded(url)
        assert await upload.run([folder]) == 0

    assert upload.lines == ["1 stored, 0 already stored, 0 not DICOM, 0 failed"]


async def test_a_lost_connection_is_tried_again(tmp_path: Path) -> None:
    tries: list[bytes] = []

    def judge(post: Post) -> tuple[int, object] | None:
        tries.append(post.body)
        return None if len(tries) < 3 else by_content(post)

    async with store(judge) as url:
        upload = Uploaded(url)
        code = await upload.run([files(tmp_path, "new")])

    assert code == 0
    assert tries == [b"new"] * 3


async def test_a_server_that_stays_away_ends_the_upload(tmp_path: Path) -> None:
    async with store(by_content) as url:
        pass

    upload = Uploaded(url)
    code = await upload.run([files(tmp_path, *["new"] * 9)])

    assert code == 1
    assert upload.lines == [
        f"orthanc-trio: The server {url} cannot be reached",
        "0 stored, 0 already stored, 0 not DICOM, 9 failed",
    ]


@pytest.mark.parametrize("status", [401, 403])
async def test_a_refused_user_ends_the_upload(status: int, tmp_path: Path) -> None:
    async with store(lambda _: (status, None)) as url:
        upload = Uploaded(url, connections=1)
        code = await upload.run([files(tmp_path, "new", "new", "new")])

    assert code == 1
    assert "refuses the user" in upload.lines[0]
    assert upload.lines[-1].endswith("3 failed")


async def test_a_terminal_gets_a_bar(tmp_path: Path) -> None:
    console = _terminal()
    async with store(by_content) as url:
        upload = Upload(parse_address(url), console, 2)
        await upload.run([files(tmp_path, "new", "new", "new")])

    assert "3/3" in _written(console)
    assert upload.counts == {Fate.STORED: 3}
