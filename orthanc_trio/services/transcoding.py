"""Transcoding in worker processes, with limits: a file on which a codec loops or dies harms no other."""

import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, Protocol

from ..dicom.transcode import transcode
from ..model.errors import InternalError

MAX_FILE_BYTES: Final = 512 << 20
"""Larger files are not transcoded: a file and what is made of it are in memory as a whole."""
CPU_LIMIT_S: Final = 120.0
"""What the files of one call may take; without trouble a gigabyte is done in that."""


class InWorker(Protocol):
    """Runs a function in a worker process. Raises InternalError if the process dies."""

    async def __call__(self, function: Any, *args: Any) -> Any:
        """Return what `function(*args)` returns."""
        ...


async def transcode_files(
    in_worker: InWorker,
    files: Sequence[bytes],
    syntax: str,
    quality: int,
    cpu_limit_s: float = CPU_LIMIT_S,
    *,
    keeps_uid: bool = False,
) -> list[bytes | None]:
    """Transcode files in one hop to a process: see `transcode`. None for each that cannot be done.

    Also None for a file that takes too long, or kills the process; the others are then tried one by one.
    """
    try:
        results: list[bytes | None] = await in_worker(
            transcode_all, files, syntax, quality, cpu_limit_s, keeps_uid
        )
    except InternalError:
        if len(files) == 1:
            return [None]
        return [
            result
            for file in files
            for result in await transcode_files(
                in_worker, (file,), syntax, quality, cpu_limit_s, keeps_uid=keeps_uid
            )
        ]
    return results


def transcode_all(
    files: Sequence[bytes], syntax: str, quality: int, cpu_limit_s: float, keeps_uid: bool = False
) -> list[bytes | None]:
    """Transcode files; the process dies if that takes more than `cpu_limit_s` of its time. Blocks."""
    with dying_after(cpu_limit_s):
        return [transcode(file, syntax, quality, keeps_uid=keeps_uid) for file in files]


@contextmanager
def dying_after(cpu_limit_s: float) -> Iterator[None]:
    """Kill this process if what is done within takes more than `cpu_limit_s` of its time."""
    # A codec that loops listens to nothing but a signal that has no handler.
    signal.setitimer(signal.ITIMER_VIRTUAL, cpu_limit_s)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
