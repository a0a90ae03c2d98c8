"""The bytes of one connection: what the HTTP code needs of a socket, and that socket.

Calls that never wait are apart from the waiting, so that the common case (the bytes are there, the buffer of
the kernel has room) costs neither a deadline nor a trip through the scheduler.
"""

import os
import socket
import struct
from collections.abc import Awaitable
from functools import partial
from typing import Protocol

import trio

_RECEIVE_BYTES = 64 * 1024
_FILE_PART_BYTES = 4 * 1024 * 1024
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER for 0 s


class ClientGone(OSError):
    """The client has left, or is so slow that it counts as gone."""


class Transport(Protocol):
    """One connection. Every call may raise ClientGone."""

    def receive_nowait(self) -> bytes | None:
        """Return bytes that are there, `b""` at the end of the stream, None if nothing has come."""
        ...

    def receive_into_nowait(self, room: memoryview) -> int | None:
        """Fill `room` with bytes that are there and return their number; 0 at the end, None if none came."""
        ...

    def send_nowait(self, data: bytes | memoryview, *, more: bool = False) -> int:
        """Send what there is room for and return its size; `more` announces that more follows at once."""
        ...

    def send_file_nowait(self, descriptor: int, offset: int, count: int) -> int | None:
        """Send a part of a file and return its size; None if there is no room, 0 at the end of the file."""
        ...

    def wait_readable(self) -> Awaitable[None]:
        """Return, once awaited, when `receive_nowait` has something to say."""
        ...

    def wait_writable(self) -> Awaitable[None]:
        """Return, once awaited, when there is room."""
        ...

    def shut_down(self) -> None:
        """Tell the client that nothing more will come."""
        ...

    def close(self) -> None:
        """End the connection in good order. Safe to repeat."""
        ...

    def abort(self) -> None:
        """End the connection with a reset, so that what was sent never looks like the whole."""
        ...


class SocketTransport:
    """A non-blocking stream socket, which this owns."""

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        self._file = sock.fileno()
        self.wait_readable = partial(trio.lowlevel.wait_readable, self._file)
        """Return, once awaited, when `receive_nowait` has something to say."""
        self.wait_writable = partial(trio.lowlevel.wait_writable, self._file)
        """Return, once awaited, when there is room."""

    def receive_nowait(self) -> bytes | None:
        """Return bytes that are there, `b""` at the end of the stream, None if nothing has come."""
        try:
            return self.socket.recv(_RECEIVE_BYTES)
        except BlockingIOError:
            return None
        except OSError as error:
            raise ClientGone from error

    def receive_into_nowait(self, room: memoryview) -> int | None:
        """Fill `room` with bytes that are there."""
        try:
            return self.socket.recv_into(room)
        except BlockingIOError:
            return None
        except OSError as error:
            raise ClientGone from error

    def send_nowait(self, data: bytes | memoryview, *, more: bool = False) -> int:
        """Send what there is room for and return its size."""
        try:
            return self.socket.send(data, socket.MSG_MORE if more else 0)
        except BlockingIOError:
            return 0
        except OSError as error:
            raise ClientGone from error

    def send_file_nowait(self, descriptor: int, offset: int, count: int) -> int | None:
        """Send a part of a file without copying it through this process."""
        try:
            return os.sendfile(self._file, descriptor, offset, min(count, _FILE_PART_BYTES))
        except BlockingIOError:
            return None
        except (ConnectionError, TimeoutError) as error:
            raise ClientGone from error

    def shut_down(self) -> None:
        """Send the end of the stream."""
        try:
            self.socket.shutdown(socket.SHUT_WR)
        except OSError as error:
            raise ClientGone from error

    def close(self) -> None:
        """End the connection in good order."""
        if self.socket.fileno() != -1:
            trio.lowlevel.notify_closing(self._file)
            self.socket.close()

    def abort(self) -> None:
        """End the connection with a reset."""
        if self.socket.fileno() != -1:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            self.close()
