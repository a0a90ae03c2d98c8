"""Patient input and output over a transport: buffers what was read too far, and gives slow clients up."""

from collections.abc import Awaitable, Callable

import trio

from .transport import ClientGone, Transport

_BURST = 16
"""Calls that may succeed at once in a row before other tasks get their turn."""


class Channel:
    """One connection as its readers and writers see it; `timeout_s` bounds every wait for the client."""

    def __init__(self, transport: Transport, timeout_s: float) -> None:
        self.transport = transport
        self.held = b""
        """What was read and belongs to nobody yet."""
        self.is_lost = False
        """Whether the client was seen to leave in the middle, or given up."""
        self._timeout_s = timeout_s
        self._burst = 0
        """Calls in a row that had not to wait."""

    async def read(self) -> bytes:
        """Return what was held or what comes next, `b""` at the end of the stream. Raises ClientGone."""
        if self.held:
            data, self.held = self.held, b""
            return data
        try:
            found = await self._receive()
        except ClientGone:
            self.is_lost = True
            raise
        self.is_lost = not found
        return found

    async def read_unhurried(self) -> bytes:
        """Return what comes next, however long that takes; `b""` at the end. Raises ClientGone."""
        # A client on our own processor has often sent its next request as soon as our answer has left.
        while (found := self.transport.receive_nowait()) is None:
            self._burst = 0
            await self.transport.wait_readable()
        self._burst += 1
        if self._burst >= _BURST:
            await self._give_way()
        return found

    async def _receive(self) -> bytes:
        while (found := self.transport.receive_nowait()) is None:
            await self._wait(self.transport.wait_readable)
        self._burst += 1
        if self._burst >= _BURST:
            await self._give_way()
        return found

    async def read_into(self, room: memoryview) -> None:
        """Fill `room` with what was held and what comes next. Raises ClientGone, also at the stream's end."""
        held = self.held[: len(room)]
        self.held = self.held[len(held) :]
        room[: len(held)] = held
        room = room[len(held) :]
        try:
            while room:
                count = self.transport.receive_into_nowait(room)
                if count is None:
                    await self._wait(self.transport.wait_readable)
                    continue
                if count == 0:
                    raise ClientGone
                room = room[count:]
                self._burst += 1
                if self._burst >= _BURST:
                    await self._give_way()
        except ClientGone:
            self.is_lost = True
            raise

    async def send(self, data: bytes | memoryview, *, more: bool = False) -> None:
        """Send all of `data`. Raises ClientGone."""
        try:
            sent = self.transport.send_nowait(data, more=more)
            if sent == len(data):
                self._burst += 1
                if self._burst >= _BURST:
                    await self._give_way()
                return
            rest = memoryview(data)[sent:]
            while rest:
                await self._wait(self.transport.wait_writable)
                rest = rest[self.transport.send_nowait(rest, more=more) :]
        except ClientGone:
            self.is_lost = True
            raise

    async def send_file(self, descriptor: int, offset: int, count: int) -> None:
        """Send a part of a file. Raises ClientGone; EOFError if the file ends before."""
        try:
            while count:
                sent = self.transport.send_file_nowait(descriptor, offset, count)
                if sent is None:
                    await self._wait(self.transport.wait_writable)
                    continue
                if sent == 0:
                    raise EOFError("a file is shorter than the answer that announced it")
                offset += sent
                count -= sent
                self._burst += 1
                if self._burst >= _BURST:
                    await self._give_way()
        except ClientGone:
            self.is_lost = True
            raise

    async def _wait(self, wait: Callable[[], Awaitable[None]]) -> None:
        self._burst = 0
        with trio.move_on_after(self._timeout_s) as scope:
            await wait()
        if scope.cancelled_caught:
            raise ClientGone("the client is too slow")

    async def _give_way(self) -> None:
        self._burst = 0
        await trio.lowlevel.checkpoint()
