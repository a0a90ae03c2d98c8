"""The DICOMDIR of a media, out of a file of leaves; what a worker process does, free of Trio.

The leaves lie in a file between the steps: each is its length in 4 bytes, then msgpack.
"""

from collections.abc import Iterator
from pathlib import Path

from msgspec import msgpack

from ..dicom.media import Directory, Leaf
from ..model.errors import CannotWriteFile, CorruptedFile

_LENGTH_BYTES = 4


def frame(leaf: Leaf) -> bytes:
    """Return a leaf as it lies in the file of leaves."""
    body = msgpack.encode(leaf)
    return len(body).to_bytes(_LENGTH_BYTES, "little") + body


def write_directory(leaves: Path, size: int, target: Path, uid: str) -> int:
    """Write the DICOMDIR of the leaves in the first `size` bytes of a file to `target`; return its size.

    Raises CannotWriteFile, and CorruptedFile if the leaves cannot be read.
    """
    directory = Directory(uid)
    for leaf in _read_leaves(leaves, size):
        directory.add(leaf)
    try:
        return target.write_bytes(directory.finish())
    except OSError as exc:
        raise CannotWriteFile(exc.strerror or "") from exc


def _read_leaves(path: Path, size: int) -> Iterator[Leaf]:
    if not size:
        return
    decoder = msgpack.Decoder(Leaf)
    try:
        with path.open("rb") as file:
            while file.tell() < size:
                length = int.from_bytes(file.read(_LENGTH_BYTES), "little")
                yield decoder.decode(file.read(length))
    except (OSError, ValueError) as exc:
        raise CorruptedFile("The records of the media cannot be read") from exc
