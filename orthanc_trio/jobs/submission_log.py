"""New jobs on their way to the index: a file in which each is durable after one short wait for the disk.

A commit of the index costs several times as much. The jobs of some tenths of a second are entered in the
index together; what is still here when the process dies is entered at the next start. The file has its room
from the beginning, so that a write changes nothing but bytes. It has two halves: while the jobs of one are
entered, new ones go to the other. Each frame is a checksum, a length and an entry, whose number follows that
of the frame before; what an earlier use of the half has left behind ends it, as does a frame that was torn.
"""

import os
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from struct import Struct as Layout
from typing import Final, Self
from zlib import crc32

import msgspec
from msgspec import Struct

from ..allocation import allocate, sync_folder
from ..model.errors import DatabaseError
from .disk_sync import DiskSync

HALF_BYTES: Final = 8 << 20

_HEAD: Final = Layout("<II")


OutputNews = Mapping[str, float | None]
"""What became of saved outputs: when each was used last, in seconds since 1970; None: it is to be dropped."""


class NewJob(Struct, frozen=True, array_like=True, gc=False):
    """What is saved of a new job. Of one that has ended already also its outputs, by file."""

    id: str
    record: bytes
    outputs: Mapping[str, bytes]
    news: OutputNews = {}
    """Of the outputs of others; known before this job is."""


class Entry(Struct, frozen=True, array_like=True, gc=False):
    """A new job, and its number: they go up by one from the first job that was ever logged."""

    number: int
    job: NewJob


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Entry)


def encode_frame(entry: Entry) -> bytes:
    """Return an entry as it lies in the file."""
    body = _encoder.encode(entry)
    return _HEAD.pack(crc32(body), len(body)) + body


def decode_frames(half: bytes | memoryview) -> Iterator[Entry]:
    """Yield the entries of a half, up to where they end."""
    offset, number = 0, None
    view = memoryview(half)
    while offset + _HEAD.size <= len(view):
        checksum, length = _HEAD.unpack_from(view, offset)
        body = view[offset + _HEAD.size : offset + _HEAD.size + length]
        if not length or len(body) < length or crc32(body) != checksum:
            return
        try:
            entry = _decoder.decode(body)
        except msgspec.MsgspecError:
            return
        if number is not None and entry.number != number + 1:
            return
        yield entry
        number = entry.number
        offset += _HEAD.size + length


class SubmissionLog:
    """Keeps new jobs until they are entered in the index. Used in the event loop; made in a thread.

    Nothing is taken before `begin`.
    """

    def __init__(self, descriptor: int, waiting: Sequence[Entry], *, half_bytes: int, syncs: bool) -> None:
        self._descriptor = descriptor
        self._half_bytes = half_bytes
        self._sync = DiskSync(descriptor) if syncs else None
        self._waiting = deque(waiting)
        self._last = waiting[-1].number if waiting else 0
        self._entered = -1
        self._ends = [self._last, self._last]
        """The number of the last entry in each half; one whose last entry is in the index is free."""
        self._half = 0
        self._offset = half_bytes
        """Where the next frame goes in the half that is written to."""

    @classmethod
    def open(cls, path: Path, *, syncs: bool, half_bytes: int = HALF_BYTES) -> Self:
        """Open the log, and make it if needed. Blocks.

        With `syncs` an entry survives a loss of power; without, only the end of this process. On a small or
        full disk the log takes nothing. Raises DatabaseError.
        """
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                content = memoryview(os.pread(descriptor, 2 * half_bytes, 0))
                halves = content[:half_bytes], content[half_bytes:]
                waiting = sorted((e for half in halves for e in decode_frames(half)), key=lambda e: e.number)
                has_room = len(content) == 2 * half_bytes or _make_room(path, descriptor, 2 * half_bytes)
                room = half_bytes if has_room else 0
            except BaseException:
                os.close(descriptor)
                raise
        except OSError as exc:
            raise DatabaseError(f"Cannot open the log of new jobs, {path}: {exc.strerror}") from exc
        return cls(descriptor, waiting, half_bytes=room, syncs=syncs)

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)

    def begin(self, entered: int) -> None:
        """Take entries from now on; the index knows of those up to the number `entered`."""
        self._last = max(self._last, entered)
        self.note_entered(entered)

    def append(self, job: NewJob) -> bool:
        """Write a job, which `sync` makes durable; False if there is no room until others are entered."""
        entry = Entry(self._last + 1, job)
        frame = encode_frame(entry)
        if self._offset + len(frame) > self._half_bytes:
            self._turn_over()
        if self._offset + len(frame) > self._half_bytes:
            return False
        try:
            written = os.pwrite(self._descriptor, frame, self._half * self._half_bytes + self._offset)
        except OSError:
            written = 0
        if written < len(frame):
            self._retire()
            return False
        self._offset += len(frame)
        self._last = self._ends[self._half] = entry.number
        self._waiting.append(entry)
        return True

    async def sync(self) -> None:
        """Return when all that was appended before is durable. Raises DatabaseError; then the log is done."""
        if self._sync is None:
            return
        try:
            await self._sync.wait()
        except OSError as exc:
            self._retire()
            raise DatabaseError(f"The log of new jobs cannot be written: {exc}") from exc

    def waiting(self) -> Sequence[Entry]:
        """Return what is not known to be entered, in order, to be entered now."""
        self._turn_over()
        return tuple(self._waiting)

    def note_entered(self, number: int) -> None:
        """Forget the entries up to `number`: they are durable in the index."""
        self._entered = max(self._entered, number)
        while self._waiting and self._waiting[0].number <= number:
            self._waiting.popleft()

    def output(self, file: str) -> bytes | None:
        """Return an output of a job that waits."""
        return next((e.job.outputs[file] for e in self._waiting if file in e.job.outputs), None)

    def _turn_over(self) -> None:
        """Go on at the begin of the other half, if that is free."""
        other = 1 - self._half
        if self._ends[other] <= self._entered and self._half_bytes:
            self._half, self._offset = other, 0

    def _retire(self) -> None:
        """Take nothing more."""
        self._half_bytes = 0


def _make_room(path: Path, descriptor: int, size: int) -> bool:
    """Give a new file its room and its name, durably; return whether it has them."""
    if allocate(descriptor, size):
        with suppress(OSError):
            sync_folder(path.parent)
            return True
    return False
