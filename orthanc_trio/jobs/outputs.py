"""The files that jobs leave, such as archives: their names, their limits, their removal.

A file is named by its job (the first 36 characters) and its key. Most lie in a folder; the small ones of jobs
that were done at once are saved with the records. No event depends on a removal, so `doom` only notes it; one
task removes.
"""

import logging
import os
import tempfile
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Final, Protocol, TypeVar

import trio

from ..model.errors import CannotWriteFile
from ..model.job import JobRecord
from .shelf import OutputLimits, Shelf

T = TypeVar("T")

_JOB_ID_LENGTH: Final = 36
_REMOVAL_DELAY_S: Final = 0.05
"""Small jobs that follow each other have their files removed together."""
_MOST_OPENED: Final = 8

_logger = logging.getLogger(__name__)


class SavedOutputs(Protocol):
    """The files that are saved with the records of their jobs."""

    async def output_uses(self) -> dict[str, float | None]:
        """Return when each that is saved was used last, in seconds since 1970; None if never."""
        ...

    async def load_output(self, file: str) -> bytes | None:
        """Return the content of a file."""
        ...

    def drop_outputs(self, files: Iterable[str]) -> None:
        """Remove files soon."""
        ...

    def note_output_use(self, file: str, used_s: float) -> None:
        """Keep soon when a file was used last, in seconds since 1970."""
        ...


def file_of(job_id: str, key: str) -> str:
    """Return the name of an output."""
    return f"{job_id}.{key}"


def job_of(file: str) -> str:
    """Return the id of the job that owns an output file."""
    return file[:_JOB_ID_LENGTH]


def _last_use(record: JobRecord, uses: Mapping[str, float]) -> float:
    return max(uses.get(output.file, record.changed.timestamp()) for output in record.outputs)


class Outputs:
    """All outputs. Of the finished ones as many are kept as the limits allow. `run` must run.

    `max_bytes` and `max_age_s` are no limits if they are 0; see `shelf` for the rules. `saved` is to be set
    before all else.
    """

    saved: SavedOutputs

    def __init__(self, folder: Path, *, max_files: int, max_bytes: int = 0, max_age_s: float = 0) -> None:
        self._folder = folder
        self._max_files = max_files
        self._kept = Shelf(OutputLimits(files=max_files, bytes=max_bytes, age_s=max_age_s))
        self._begun: dict[str, set[str]] = {}
        """Files that steps were given, by job; they are removed if the job does not finish them."""
        self._doomed: list[str] = []
        self._in_store: set[str] = set()
        """Those of the finished files that are saved with the records."""
        self._opened: OrderedDict[str, int] = OrderedDict()
        """Files that were fetched lately and stay open: one is often fetched part by part."""
        self._used: set[str] = set()
        """Files that were fetched and do not say so yet."""
        self._has_work = trio.Event()
        self._has_finished = trio.Event()
        self._limiter = trio.CapacityLimiter(1)

    def path(self, job_id: str, key: str) -> Path:
        """Return the file of an output that a step is about to write."""
        file = file_of(job_id, key)
        self._begun.setdefault(job_id, set()).add(file)
        return self._folder / file

    def keep(self, record: JobRecord, saved: Iterable[str] = ()) -> list[str]:
        """Take over the outputs of a job that succeeded, and doom what else it has begun.

        Those of `saved` are saved with the record. Returns the files that had to make place and are doomed
        too.
        """
        self._in_store.update(saved)
        begun = self._begun.pop(record.id, None)
        if begun is not None:
            self.doom(begun.difference(output.file for output in record.outputs))
        self._put(record)
        if self._kept.has_expiry:
            self._has_finished.set()
        return self._evict()

    def expire(self, now: datetime) -> list[str]:
        """Doom the finished files that are too old, and return them."""
        expired = self._kept.take_expired(now)
        self._remove(expired)
        return expired

    async def wait_expiry(self, now: datetime) -> None:
        """Return when the first finished file gets too old, or is perhaps another one than before."""
        expiry = self._kept.next_expiry()
        if expiry is None:
            self._has_finished = trio.Event()
            await self._has_finished.wait()
        else:
            await trio.sleep(max((expiry - now).total_seconds(), 0))

    def doom(self, files: Iterable[str]) -> None:
        """Remove files soon. Those that do not exist are passed over."""
        files = tuple(files)
        for file in files:
            self._kept.discard(file)
        self._remove(files)

    def doom_all(self, record: JobRecord) -> None:
        """Remove soon all that a job has left or begun."""
        if record.outputs:
            self.doom(output.file for output in record.outputs)
        begun = self._begun.pop(record.id, None)
        if begun is not None:
            self.doom(begun)

    async def discard_begun(self, job_id: str) -> None:
        """Return when the files that a job has begun are removed; it may then begin anew."""
        files = self._begun.pop(job_id, None)
        if files:
            await self._in_thread(partial(self._unlink, files))

    async def open(self, file: str) -> int | None:
        """Open a finished file for reading; None if it is not there. The caller closes the descriptor.

        Raises what the store raises.
        """
        if file not in self._kept:
            return None
        self._kept.touch(file)
        if file not in self._in_store:
            return await self._open_kept(file)
        # Before the wait: whoever removes it meanwhile has the last word.
        self.saved.note_output_use(file, time.time())
        data = await self.saved.load_output(file)
        return None if data is None else await self._in_thread(partial(_nameless_file, data))

    async def _open_kept(self, file: str) -> int | None:
        if file not in self._opened:
            descriptor = await self._in_thread(partial(self._open, file))
            if descriptor is None or file not in self._kept:
                return descriptor
            self._close(file)
            self._opened[file] = descriptor
            if len(self._opened) > _MOST_OPENED:
                self._close(next(iter(self._opened)))
        self._opened.move_to_end(file)
        self._used.add(file)
        self._has_work.set()
        return os.dup(self._opened[file])

    def _close(self, file: str) -> None:
        descriptor = self._opened.pop(file, None)
        if descriptor is not None:
            os.close(descriptor)

    def close(self) -> None:
        """Close the files that are open. Safe to repeat."""
        for file in tuple(self._opened):
            self._close(file)

    async def restore(self, records: Iterable[JobRecord]) -> set[str]:
        """Take over what an earlier process left; the folder is made if it is not there.

        Dooms what belongs to no job that can go on or has finished it. Returns the files that records name
        and that are not there any more. Raises CannotWriteFile.
        """
        uses = await self._in_thread(self._list)
        saved = await self.saved.output_uses()
        self._in_store.update(saved)
        uses |= {file: used_s for file, used_s in saved.items() if used_s is not None}
        present = uses.keys() | self._in_store
        unfinished: set[str] = set()
        finished: list[JobRecord] = []
        for record in records:
            if not record.state.is_completed:
                unfinished.add(record.id)
            elif record.outputs:
                finished.append(record)
        finished.sort(key=lambda record: _last_use(record, uses))
        named = [output.file for record in finished for output in record.outputs]
        for record in finished:
            self._put(record)
        for file in set(named) - present:
            self._kept.discard(file)
        for file in present.difference(named):
            if job_of(file) in unfinished:
                self._begun.setdefault(job_of(file), set()).add(file)
            else:
                self.doom([file])
        return set(named) - present | set(self._evict())

    async def run(self) -> None:
        """Remove what is doomed, and note in files that they were used, forever."""
        while True:
            await self._has_work.wait()
            self._has_work = trio.Event()
            await trio.sleep(_REMOVAL_DELAY_S)
            await self.drain()

    async def drain(self) -> None:
        """Remove what is doomed, and note in files that they were used."""
        files, self._doomed = self._doomed, []
        used, self._used = [file for file in self._used if file in self._kept], set()
        if used:
            await self._in_thread(partial(self._note_use, used))
        if files:
            await self._in_thread(partial(self._unlink, files))

    def _put(self, record: JobRecord) -> None:
        for output in record.outputs:
            self._kept.put(output.file, output.size_bytes, record.changed)

    def _evict(self) -> list[str]:
        evicted = self._kept.take_surplus()
        if evicted:
            self._remove(evicted)
        return evicted

    def _remove(self, files: Collection[str]) -> None:
        """Remove files soon, which are on the shelf no more."""
        for file in self._opened.keys() & files:
            self._close(file)
        in_store = self._in_store.intersection(files)
        if in_store:
            self._in_store -= in_store
            self.saved.drop_outputs(in_store)
        elsewhere = set(files) - in_store
        if elsewhere:
            self._doomed += elsewhere
            self._has_work.set()

    async def _in_thread(self, function: Callable[[], T]) -> T:
        return await trio.to_thread.run_sync(function, limiter=self._limiter)

    def _list(self) -> dict[str, float]:
        """Return when each file of the folder was written or used last, in seconds since 1970."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            return {entry.name: entry.stat().st_mtime for entry in os.scandir(self._folder)}
        except OSError as exc:
            raise CannotWriteFile("The folder of the outputs of jobs cannot be used") from exc

    def _open(self, file: str) -> int | None:
        try:
            return os.open(self._folder / file, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return None

    def _note_use(self, files: Iterable[str]) -> None:
        """Note in files that they were used now, so that the next process knows which one was used last.

        It may wait for the journal of the file system, so the one who fetches does not wait for it.
        """
        for file in files:
            with suppress(OSError):
                os.utime(self._folder / file)

    def _unlink(self, files: Iterable[str]) -> None:
        for file in files:
            try:
                (self._folder / file).unlink(missing_ok=True)
            except OSError as exc:
                # Not lost: the next start finds it again.
                _logger.warning("An output of a job cannot be removed: %s", exc.strerror)


def _nameless_file(data: bytes) -> int:
    """Return the descriptor of a file that holds `data` and vanishes when it is closed."""
    with tempfile.TemporaryFile(buffering=0) as file:
        file.write(data)
        return os.dup(file.fileno())
