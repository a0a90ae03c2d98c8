"""`upload` against a scripted server: what is sent, what is counted, and the exit codes."""

import io
import json
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
import trio
from rich.console import Console

from orthanc_trio.client.address import parse_address
from orthanc_trio.client.upload import Fate, Upload


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
        listeners = await nursery.start(partial(trio.serve_tcp, handle, 0, host="127.0.0.1"))
        yield f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}"
        nursery.cancel_scope.cancel()


def by_content(post: Post) -> tuple[int, object]:
    match post.body[:3]:
        case b"old":
            return 200, {"Status": "AlreadyStored", "ID": "x"}
        case b"zip":
            return 200, [{"Status": "Success"}, {"Status": "AlreadyStored"}]
        case b"txt":
            return 400, {"OrthancStatus": 15}
        case b"dir":
            return 404, {"OrthancStatus": 21}
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
        self._output = io.StringIO()
        console = Console(file=self._output, width=40)
        self.run = Upload(parse_address(url), console, connections, pauses_s=(0, 0)).run

    @property
    def lines(self) -> list[str]:
        return self._output.getvalue().splitlines()


async def test_folders_are_uploaded_and_counted(tmp_path: Path) -> None:
    async with store(by_content) as url:
        upload = Uploaded(url)
        code = await upload.run([files(tmp_path, "new", "new", "old", "txt", "zip", "new", "dir")])

    assert code == 0
    assert upload.lines == ["4 stored, 2 already stored, 2 not DICOM, 0 failed"]


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
        f"orthanc-trio: '{tmp_path}/0/0.dcm': the server answers 500, error 11",
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
    output = io.StringIO()
    console = Console(file=output, width=100, force_terminal=True, color_system=None)
    async with store(by_content) as url:
        upload = Upload(parse_address(url), console, 2)
        await upload.run([files(tmp_path, "new", "new", "new")])

    assert "3/3" in output.getvalue()
    assert upload.counts == {Fate.STORED: 3}
