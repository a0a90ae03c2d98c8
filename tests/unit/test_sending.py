"""Answers on their way to a server that cannot send files by itself."""

import os
from pathlib import Path
from typing import Any

import trio

from orthanc_trio.extent import Chunk, Extent
from orthanc_trio.rest.asgi import Message
from orthanc_trio.rest.sending import send_stream
from orthanc_trio.rest.wire import StreamAnswer

ZERO_COPY = "http.response.zerocopysend"


async def sent(file: Path, scope: dict[str, Any]) -> list[Message]:
    """Return the messages of a stream with a stretch of a file in it."""
    messages: list[Message] = []

    async def chunks() -> Any:
        extent: Chunk = Extent(os.open(file, os.O_RDONLY), 3, 4, b"head")
        for chunk in (b"begin", extent, b"end"):
            yield chunk

    async def receive() -> Message:
        await trio.sleep_forever()

    async def send(message: Message) -> None:
        messages.append(message)
        await trio.lowlevel.checkpoint()

    answer = StreamAnswer(chunks=chunks(), media_type="text/plain")
    await send_stream(answer, scope, receive, send, trio.CapacityLimiter(1))
    return messages


async def test_a_stretch_of_a_file_is_read_for_a_server_that_sends_bytes_alone(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"0123456789")
    bodies = [message["body"] for message in (await sent(file, {}))[1:]]
    assert b"".join(bodies) == b"beginhead3456end"


async def test_a_stretch_of_a_file_is_left_to_a_server_that_sends_files(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"0123456789")
    [part] = [
        message
        for message in await sent(file, {"extensions": {ZERO_COPY: {}}})
        if message["type"] == ZERO_COPY
    ]
    assert (part["offset"], part["count"], part["prefix"], part["more_body"]) == (3, 4, b"head", True)
