"""The manifest of an archive: a row of CSV for each member, with the checksum of its file.

The rows wait in a file of their own, beside the archive, which becomes its last member.
"""

from collections.abc import Callable
from pathlib import Path

import trio

from ..model.errors import InexistentFile
from .archive_checksum import Checksum, row
from .archive_files import CHUNK_BYTES, GrowingFile
from .archive_member import Source
from .archive_pack import Part

NAME = "manifest.csv"

_HEAD = row("Path", "SOPInstanceUID", "Size", "SHA256")


class Manifest:
    """One step's hand on the rows. All methods but `enter` block; those with the file raise as GrowingFile.

    `size` is what earlier steps have saved; `checksum` is that of the member that they have left open.
    """

    def __init__(self, path: Callable[[], Path], size: int, checksum: Checksum) -> None:
        self._path = path
        self._size = size
        self._file: GrowingFile | None = None
        self._rows = [] if size else [_HEAD]
        self.checksum = checksum

    def open(self) -> None:
        """Open what earlier steps have left. Raises BytesLost."""
        if self._size:
            self._file = GrowingFile(self._path(), self._size)

    def enter(self, rows: tuple[bytes, ...]) -> None:
        """Take over the rows of whole members."""
        self._rows += rows

    def add_part(self, part: Part, data: bytes | None) -> None:
        """Go on with a streamed member, whose row is made at its end.

        The content of one that is stored as a stream (no `data`) is read then. Raises InexistentFile.
        """
        source = part.source
        if data is not None:
            self._read(source, part.offset)  # the knowledge of the earlier parts may be lost
            self.checksum.add(data)
        elif part.is_last:
            self._read(source, source.size)
        if part.is_last:
            self._rows.append(row(source.path, source.uid, str(source.size), self.checksum.hexdigest()))
            self.checksum = Checksum()

    def _read(self, source: Source, end: int) -> None:
        """Have the first `end` bytes of a member in the checksum."""
        checksum = self.checksum
        while checksum.position < end:
            trio.from_thread.check_cancelled()
            data = source.blob.read(checksum.position, min(CHUNK_BYTES, end - checksum.position))
            if not data:
                raise InexistentFile
            checksum.add(data)

    def save(self) -> int:
        """Have all rows in the file, and return its size."""
        if self._file is None:
            self._file = GrowingFile(self._path(), 0)
        self._file.append(self._rows)
        self._rows = []
        return self._file.size

    def sync(self) -> None:
        """Return when what was saved is on the disk; to be called after `save`."""
        assert self._file is not None
        self._file.sync()

    def close(self) -> None:
        """Close the file. Safe to repeat."""
        if self._file is not None:
            self._file.close()
            self._file = None
