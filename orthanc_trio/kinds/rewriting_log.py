"""What a job has stored, line by line in a file of its own, written before each commit.

A line tells of one source: its result, and whether that is new. A repeated step repeats its lines. What a
crash of the system has cut off or lost is noticed by who counts.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from ..model.errors import CannotWriteFile
from ..services.registration import ResourceIds, StoreResult, StoreStatus
from ..services.rewriting import Source


class Line(Struct, frozen=True, array_like=True):
    """One source, by its identifier, and what came of it."""

    source: str
    result: ResourceIds
    is_new: bool


_END = b"end\n"
_encode = msgspec.json.Encoder().encode
_decoder = msgspec.json.Decoder(Line)


class RewritingLog:
    """The log of one job. All methods block; they raise CannotWriteFile.

    `is_durable` has each line on the disk before the commit that it tells of.
    """

    def __init__(self, path: Path, *, is_durable: bool) -> None:
        self._path = path
        self._is_durable = is_durable

    def note(self, results: Sequence[tuple[Source, StoreResult]]) -> None:
        """Append lines."""
        lines = [
            _encode(Line(source.ids.instance, result.ids, result.status is StoreStatus.SUCCESS)) + b"\n"
            for source, result in results
        ]
        self._append(b"".join(lines), is_durable=self._is_durable)

    def end(self) -> None:
        """Say that all of it stays, whatever comes."""
        self._append(_END, is_durable=True)

    @property
    def has_ended(self) -> bool:
        """Whether all of it stays."""
        return self._content().endswith(_END)

    def doomed(self) -> list[str]:
        """Return the instances that go if nothing is to stay: those that are new, unless all of it stays."""
        if self.has_ended:
            return []
        return [line.result.instance for line in self.lines().values() if line.is_new]

    def lines(self) -> dict[str, Line]:
        """Return what came of each source. One that was new at any time is new."""
        lines: dict[str, Line] = {}
        for line in self._decoded():
            if line.source not in lines or line.is_new:
                lines[line.source] = line
        return lines

    def _decoded(self) -> Iterator[Line]:
        for text in self._content().splitlines():
            try:
                yield _decoder.decode(text)
            except msgspec.DecodeError:
                continue  # a mark, or what a crash has cut off

    def _content(self) -> bytes:
        try:
            return self._path.read_bytes()
        except FileNotFoundError:
            return b""
        except OSError as exc:
            raise CannotWriteFile("The log of a job cannot be read") from exc

    def _append(self, data: bytes, *, is_durable: bool) -> None:
        try:
            fd = os.open(self._path, os.O_CREAT | os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC, 0o600)
            try:
                os.write(fd, data)
                if is_durable:
                    os.fsync(fd)
            finally:
                os.close(fd)
        except OSError as exc:
            raise CannotWriteFile("The log of a job cannot be written") from exc
