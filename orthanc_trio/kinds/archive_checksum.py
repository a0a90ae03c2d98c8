"""The checksums of the members of an archive, and the rows that tell of them.

Source: FIPS 180-4; RFC 4180.
"""

import hashlib
from collections import OrderedDict

_REMEMBERED_JOBS = 256


def row(*fields: str) -> bytes:
    """Return a row of CSV in UTF-8."""
    return (",".join(map(_quoted, fields)) + "\r\n").encode()


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"' if set(text) & set(',"\r\n') else text


def member_row(path: str, uid: str, data: bytes | memoryview) -> bytes:
    """Return the row of a whole member. Releases the GIL while it reads `data`."""
    return row(path, uid, str(len(data)), hashlib.sha256(data).hexdigest())


class Checksum:
    """The SHA-256 of the first `position` bytes of a member."""

    def __init__(self) -> None:
        self.position = 0
        self._hash = hashlib.sha256()

    def add(self, data: bytes) -> None:
        """Go on with what follows. Releases the GIL."""
        self._hash.update(data)
        self.position += len(data)

    def copy(self) -> "Checksum":
        """Return one that goes on by itself."""
        copied = Checksum()
        copied.position, copied._hash = self.position, self._hash.copy()
        return copied

    def hexdigest(self) -> str:
        """Return the checksum of what was added."""
        return self._hash.hexdigest()


class Checksums:
    """The checksums of streamed members between two steps of their jobs.

    No cursor can hold one. Of the jobs that were at work last they are remembered; what was forgotten, also
    in a crash, is made anew from the file.
    """

    def __init__(self) -> None:
        self._known: OrderedDict[str, tuple[int, Checksum]] = OrderedDict()

    def keep(self, job_id: str, member: int, checksum: Checksum) -> None:
        """Remember how far the checksum of a job's open member is."""
        self._known[job_id] = (member, checksum.copy())
        self._known.move_to_end(job_id)
        if len(self._known) > _REMEMBERED_JOBS:
            self._known.popitem(last=False)

    def find(self, job_id: str, member: int, position: int) -> Checksum:
        """Return the checksum of the first `position` bytes of a member, or one of nothing."""
        known, checksum = self._known.get(job_id, (-1, Checksum()))
        # A copy, since a step may be repeated.
        return checksum.copy() if (known, checksum.position) == (member, position) else Checksum()
