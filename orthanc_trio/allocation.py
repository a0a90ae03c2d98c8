"""What a file needs of its file system before it is written to durably: room, and its name in the folder.

A write that makes a file longer waits for the journal of the file system as well as for the bytes, and that
takes twice as long. All of this blocks.
"""

import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Final

_SHARE: Final = 64
"""A file gets its room beforehand where that is at most this part of what is free."""


def allocate(descriptor: int, size: int) -> bool:
    """Make an open file `size` bytes long with zeros, durably; return whether it is that long.

    On a small or full disk nothing is done. Raises OSError if that cannot be told.
    """
    missing = size - os.fstat(descriptor).st_size
    if missing <= 0:
        return True
    if shutil.disk_usage(descriptor).free < _SHARE * size:
        return False
    with suppress(OSError):
        written = os.pwrite(descriptor, bytes(missing), size - missing)
        os.fsync(descriptor)
        return written == missing
    return False


def sync_folder(folder: Path) -> None:
    """Have the names of new files of a folder on the disk. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
