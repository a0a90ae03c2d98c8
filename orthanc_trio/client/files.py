"""Finding the files to upload."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from msgspec import Struct


class Found(Struct, frozen=True):
    """Regular files, and what could not be read, with the reason."""

    files: tuple[Path, ...]
    unreadable: tuple[tuple[Path, str], ...]


def find_files(paths: Sequence[Path]) -> Found:
    """Return the files that `paths` name, and all in the folders among them. Blocks.

    Links inside a folder are not followed, so nothing outside of it is uploaded, and nothing twice.
    """
    files: list[Path] = []
    unreadable: list[tuple[Path, str]] = []

    def refuse(error: OSError) -> None:
        unreadable.append((Path(error.filename), error.strerror or "unreadable"))

    for path in paths:
        if path.is_dir():
            for folder, folders, names in os.walk(path, onerror=refuse):
                folders.sort()
                files += _regular(Path(folder), sorted(names))
        elif path.is_file():
            files.append(path)
        else:
            unreadable.append((path, "no such file or folder"))
    return Found(tuple(files), tuple(unreadable))


def _regular(folder: Path, names: Sequence[str]) -> Iterator[Path]:
    for name in names:
        path = folder / name
        if path.is_file() and not path.is_symlink():
            yield path
