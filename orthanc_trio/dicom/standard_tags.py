"""The data elements of the standard, from the tables of pydicom but without the rest of it.

To import pydicom brings numpy and 60 MB, and takes as long as a start of the server; its dictionary is one
file of plain data, which is read alone. Source: PS3.6.
"""

import importlib
import importlib.util
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Final

_DICTIONARY: Final = "_dicom_dict"
_ANY: Final = "x"

Row = tuple[str, str, str, str, str]
"""VR, multiplicity, name, `Retired` or nothing, keyword."""


def standard_row(tag: int) -> Row | None:
    """Return what the standard says of a tag, also of one in a repeating group; None if nothing."""
    row: Row | None = _tables().DicomDictionary.get(tag)
    if row is None and (tag >> 16) % 2 == 0:
        for value, mask, repeated in _repeaters():
            if (tag ^ value) & mask == 0:
                return repeated
    return row


def tag_of_keyword(keyword: str) -> int | None:
    """Return the tag that has a keyword by the standard."""
    return _keywords().get(keyword)


@cache
def tags_of(*vrs: str) -> frozenset[int]:
    """Return the tags that have one of these VRs by the standard."""
    return frozenset(tag for tag, row in _tables().DicomDictionary.items() if row[0] in vrs)


@cache
def _tables() -> ModuleType:
    package = importlib.util.find_spec("pydicom")  # which does not import it
    assert package is not None, "pydicom is installed"
    assert package.origin is not None, "pydicom is a package of files"
    path = Path(package.origin).with_name(f"{_DICTIONARY}.py")
    spec = importlib.util.spec_from_file_location(f"{__name__}{_DICTIONARY}", path)
    if spec is None or spec.loader is None or not path.exists():
        # A version that keeps its tables elsewhere.
        return importlib.import_module("pydicom.datadict")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@cache
def _keywords() -> dict[str, int]:
    return {row[4]: tag for tag, row in _tables().DicomDictionary.items()}


@cache
def _repeaters() -> tuple[tuple[int, int, Row], ...]:
    """Return the rows of repeating groups: a value, the bits that have to agree with it, and the row."""
    return tuple(
        (
            int(pattern.replace(_ANY, "0"), 16),
            int("".join("0" if digit == _ANY else "f" for digit in pattern), 16),
            row,
        )
        for pattern, row in _tables().RepeatersDictionary.items()
    )
