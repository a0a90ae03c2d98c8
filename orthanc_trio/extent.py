"""Stretches of open files that the kernel copies or sends by itself: none of their bytes pass through Python.

Source: copy_file_range(2), sendfile(2).
"""

import errno
import os

_STEP_BYTES = 1 << 20
_CANNOT_COPY = {errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP}


class Extent:
    """`prefix`, then `size` bytes from `offset` of an open file.

    The file is closed when nobody holds the extent any more: it may be dropped anywhere, also where a task
    is cancelled and nobody is left who could close it.
    """

    __slots__ = ("descriptor", "offset", "prefix", "size")

    def __init__(self, descriptor: int, offset: int, size: int, prefix: bytes = b"") -> None:
        self.descriptor = descriptor
        self.offset = offset
        self.size = size
        self.prefix = prefix

    def __del__(self) -> None:
        os.close(self.descriptor)

    def __len__(self) -> int:
        return len(self.prefix) + self.size

    def __bytes__(self) -> bytes:
        """Return the whole. Blocks; raises EOFError if the file is too short."""
        return self.prefix + self.read(0, self.size)

    def read(self, position: int, size: int) -> bytes:
        """Return `size` bytes from `position` of the stretch. Blocks; raises EOFError."""
        data = os.pread(self.descriptor, size, self.offset + position)
        if len(data) < size:
            raise EOFError("a file is shorter than it was")
        return data

    def load(self) -> None:
        """Have the stretch in the memory of the kernel, so that who sends it need not wait for the disk.

        Blocks; raises EOFError if the file is too short.
        """
        offset, end = self.offset, self.offset + self.size
        null = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
        try:
            while offset < end:
                # The pages are brought in, and copied nowhere.
                count = os.sendfile(null, self.descriptor, offset, end - offset)
                if count == 0:
                    raise EOFError("a file is shorter than it was")
                offset += count
        finally:
            os.close(null)

    def copy(self, target: int, position: int) -> None:
        """Write the whole to `position` of an open file. Blocks; raises OSError, EOFError."""
        position += _write_all(target, self.prefix, position)
        done = self._copy_in_kernel(target, position)
        while done < self.size:
            piece = self.read(done, min(_STEP_BYTES, self.size - done))
            done += _write_all(target, piece, position + done)

    def _copy_in_kernel(self, target: int, position: int) -> int:
        """Write as much of the stretch as the kernel can copy, and return how much that is."""
        done = 0
        try:
            while done < self.size:
                rest, source = self.size - done, self.offset + done
                count = os.copy_file_range(self.descriptor, target, rest, source, position + done)
                if count == 0:
                    break  # reading tells why
                done += count
        except OSError as exc:
            if exc.errno not in _CANNOT_COPY:
                raise
        return done


Chunk = bytes | Extent
"""A piece of what is written or sent."""


def write(target: int, chunk: Chunk, position: int) -> None:
    """Write all of `chunk` to `position` of an open file. Blocks; raises OSError, EOFError."""
    if isinstance(chunk, Extent):
        chunk.copy(target, position)
    else:
        _write_all(target, chunk, position)


def _write_all(target: int, data: bytes, position: int) -> int:
    rest = memoryview(data)
    while rest:
        written = os.pwrite(target, rest, position)
        rest, position = rest[written:], position + written
    return len(data)
