"""`orthanc-trio jobs watch`: the progress of jobs, live, from the websocket feed."""

import sys

import msgspec
import trio
from rich.console import Console
from trio_websocket import (
    ConnectionClosed,
    ConnectionRejected,
    HandshakeError,
    WebSocketConnection,
    wrap_client_stream,
)

from .address import Address, BadAddress, parse_address
from .display import Display, make_display
from .feed import Message

SUCCESS, FAILURE, MISUSE, CONNECTION_LOST = 0, 1, 2, 3
_LARGEST_MESSAGE_BYTES = 256 * 1024 * 1024  # a snapshot of 100,000 jobs
_TIMEOUT_S = 10.0
_decoder = msgspec.json.Decoder(Message)


def main(url: str, job_id: str | None) -> int:
    """Show all jobs, or one until it ends, on the standard output; return the exit code."""
    try:
        address = parse_address(url)
    except BadAddress as error:
        return _say(str(error), MISUSE)
    return trio.run(watch, address, job_id, make_display(Console()))


async def watch(
    address: Address, job_id: str | None, display: Display, *, timeout_s: float = _TIMEOUT_S
) -> int:
    """Show jobs until the watched one ends or the connection does; return the exit code.

    `timeout_s` bounds each of connecting and the handshake.
    """
    try:
        with trio.fail_after(timeout_s):
            stream = await _connect(address)
    except (OSError, trio.TooSlowError):
        return _say(f"No connection to {address.url}", CONNECTION_LOST)
    code = SUCCESS
    try:
        async with stream, trio.open_nursery() as nursery:
            # trio-websocket does not tell of a connection that is lost in the handshake: only time does.
            with trio.fail_after(timeout_s):
                socket = await _shake_hands(nursery, stream, address, job_id)
            with display:
                code = await _follow(socket, job_id, display)
            # No closing handshake: trio-websocket fails if the server pings during it.
            nursery.cancel_scope.cancel()
    except* ConnectionRejected as group:
        code = _say(_refusal(group), FAILURE)
    except* (ConnectionClosed, HandshakeError, OSError, trio.BrokenResourceError, trio.TooSlowError):
        code = _say(f"The connection to {address.url} was lost", CONNECTION_LOST)
    return code


async def _connect(address: Address) -> trio.SocketStream | trio.SSLStream[trio.SocketStream]:
    # Not open_websocket: it leaves the socket of a refused handshake open.
    if address.is_secure:
        return await trio.open_ssl_over_tcp_stream(*address.endpoint, https_compatible=True)
    return await trio.open_tcp_stream(*address.endpoint)


async def _shake_hands(
    nursery: trio.Nursery,
    stream: trio.SocketStream | trio.SSLStream[trio.SocketStream],
    address: Address,
    job_id: str | None,
) -> WebSocketConnection:
    path = ("jobs", job_id, "events") if job_id else ("events",)
    return await wrap_client_stream(
        nursery,
        stream,
        address.place,
        address.resource(*path),
        extra_headers=[(name.encode(), value.encode()) for name, value in address.headers().items()],
        max_message_size=_LARGEST_MESSAGE_BYTES,
    )


async def _follow(socket: WebSocketConnection, job_id: str | None, display: Display) -> int:
    while True:
        message = _decode(await socket.get_message())
        for job in (*message.jobs, *((message.job,) if message.job else ())):
            display.show(job)
            if job.id == job_id and job.has_ended:
                return SUCCESS if job.has_succeeded else FAILURE
        if message.type == "JobForgotten" and message.id is not None:
            display.forget(message.id)
            if message.id == job_id:
                return _say("The job was deleted", FAILURE)


def _decode(text: str | bytes) -> Message:
    try:
        return _decoder.decode(text)
    except msgspec.MsgspecError:
        # A newer server may say what this client does not know.
        return Message(type="")


def _refusal(group: BaseExceptionGroup[ConnectionRejected]) -> str:
    first = next(error for error in group.exceptions if isinstance(error, ConnectionRejected))
    status = first.status_code
    if status in (401, 403):
        return "The server refuses the user: give it as http://USER:PASSWORD@HOST"
    return "The server knows no such job" if status == 404 else f"The server answers with status {status}"


def _say(text: str, code: int) -> int:
    sys.stderr.write(f"orthanc-trio: {text}\n")
    return code
