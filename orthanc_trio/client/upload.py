"""`orthanc-trio upload`: files and folders to a server, over a few connections at the same time.

A lost connection is tried again, since storing twice is harmless; whatever the server answers is final.
"""

import os
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import IO, Any, TypeVar

import httpx
import msgspec
import trio
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

from .address import Address, BadAddress, parse_address
from .files import Found, find_files

T = TypeVar("T")

CONNECTIONS = 4
SUCCESS, FAILURE, MISUSE = 0, 1, 2
_PAUSES_S = (0.5, 1.0, 2.0)
_PIECE_BYTES = 1024 * 1024
_MOST_COMPLAINTS = 20
_TIMEOUT = httpx.Timeout(connect=10, read=300, write=60, pool=None)
# A server closes idle connections after a second; one that is closed just then looks lost.
_LIMITS = httpx.Limits(keepalive_expiry=0.5)
# Orthanc's codes for a body that is not DICOM, and for DICOM that is no instance, such as a DICOMDIR.
_NOT_DICOM = (15, 21)


class Fate(StrEnum):
    """What became of a file, in the words of the summary."""

    STORED = "stored"
    ALREADY_STORED = "already stored"
    NOT_DICOM = "not DICOM"
    FAILED = "failed"


class GaveUp(Exception):
    """There is no point in going on: the server is away, or refuses the user."""


def main(url: str, paths: Sequence[Path], connections: int) -> int:
    """Upload, show the progress on the standard error, and return the exit code."""
    try:
        address = parse_address(url)
    except BadAddress as error:
        sys.stderr.write(f"orthanc-trio: {error}\n")
        return MISUSE
    return trio.run(Upload(address, Console(stderr=True), connections).run, paths)


class Upload:
    """One run: what was found, what became of it, and who is told."""

    def __init__(
        self, address: Address, console: Console, connections: int, *, pauses_s: Sequence[float] = _PAUSES_S
    ) -> None:
        self.counts: Counter[Fate] = Counter()
        self._address = address
        self._console = console
        self._connections = connections
        self._limiter = trio.CapacityLimiter(connections)
        self._pauses_s = pauses_s
        self._complaints = 0
        self._files_done = 0

    async def run(self, paths: Sequence[Path]) -> int:
        """Upload all that `paths` name, print the summary, and return the exit code."""
        found = await self._in_thread(partial(find_files, paths))
        for path, reason in found.unreadable:
            self._count(Fate.FAILED, path, reason)
        try:
            await self._send_all(found)
        except* GaveUp as group:
            self._print(f"orthanc-trio: {group.exceptions[0]}")
            self.counts[Fate.FAILED] += len(found.files) - self._files_done
        self._print(", ".join(f"{self.counts[fate]} {fate}" for fate in Fate))
        return FAILURE if self.counts[Fate.FAILED] else SUCCESS

    async def _send_all(self, found: Found) -> None:
        columns = ("Uploading", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        bar = Progress(
            *columns, console=self._console, auto_refresh=False, disable=not self._console.is_terminal
        )
        with bar:
            task = bar.add_task("", total=len(found.files))
            files = iter(found.files)
            async with self._client() as client, trio.open_nursery() as nursery:
                for _ in range(self._connections):
                    nursery.start_soon(self._work, client, files, partial(bar.update, task, advance=1))

    def _client(self) -> httpx.AsyncClient:
        headers = self._address.headers()
        return httpx.AsyncClient(headers=headers, timeout=_TIMEOUT, trust_env=False, limits=_LIMITS)

    async def _work(
        self, client: httpx.AsyncClient, files: Iterator[Path], advance: Callable[..., None]
    ) -> None:
        for path in files:
            try:
                await self._send(client, path)
            except OSError as error:
                self._count(Fate.FAILED, path, error.strerror or "unreadable")
            self._files_done += 1
            advance(refresh=True)

    async def _send(self, client: httpx.AsyncClient, path: Path) -> None:
        for pause_s in (*self._pauses_s, None):
            try:
                answer = await self._post(client, path)
            except httpx.TransportError as error:
                if pause_s is None:
                    raise GaveUp(f"The server {self._address.url} cannot be reached") from error
                await trio.sleep(pause_s)
            else:
                self._judge(path, answer)
                return

    async def _post(self, client: httpx.AsyncClient, path: Path) -> httpx.Response:
        with await self._in_thread(lambda: path.open("rb")) as file:
            size = os.fstat(file.fileno()).st_size
            return await client.post(
                f"{self._address.url}/instances",
                content=self._pieces(file, size),
                headers={"Content-Length": str(size), "Content-Type": "application/dicom"},
            )

    async def _pieces(self, file: IO[bytes], size: int) -> AsyncIterator[bytes]:
        """Yield exactly `size` bytes, also of a file that grows."""
        while size > 0:
            piece = await self._in_thread(partial(file.read, min(size, _PIECE_BYTES)))
            if not piece:
                raise OSError(0, "the file became shorter")
            size -= len(piece)
            yield piece

    def _judge(self, path: Path, answer: httpx.Response) -> None:
        if answer.status_code in (401, 403):
            raise GaveUp("The server refuses the user: give it as http://USER:PASSWORD@HOST")
        content = _json(answer)
        code = content.get("OrthancStatus") if isinstance(content, dict) else None
        if answer.status_code == 200:
            # A ZIP file is answered by a list.
            for instance in content if isinstance(content, list) else [content]:
                status = instance.get("Status") if isinstance(instance, dict) else None
                self._count(_FATES.get(str(status), Fate.FAILED), path, f"the server says {status}")
        elif code in _NOT_DICOM:
            self._count(Fate.NOT_DICOM, path, "")
        else:
            self._count(Fate.FAILED, path, f"the server answers {answer.status_code}, error {code!r}")

    def _count(self, fate: Fate, path: Path, reason: str) -> None:
        self.counts[fate] += 1
        if fate is Fate.FAILED:
            self._complaints += 1
            if self._complaints <= _MOST_COMPLAINTS:
                self._print(f"orthanc-trio: {str(path)!r}: {reason}")

    def _print(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    async def _in_thread(self, function: Callable[[], T]) -> T:
        return await trio.to_thread.run_sync(function, limiter=self._limiter)


_FATES = {"Success": Fate.STORED, "AlreadyStored": Fate.ALREADY_STORED}


def _json(answer: httpx.Response) -> Any:
    try:
        return msgspec.json.decode(answer.content)
    except msgspec.DecodeError:
        return None
