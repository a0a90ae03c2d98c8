"""Names and usual VRs of data elements, as DCMTK 3.7 knows them: what the API shows.

Public elements come from pydicom's dictionary, which is imported at the first use because that is slow;
private ones from `private_tags.txt`. Source: PS3.6; the Orthanc Book, "DICOM-as-JSON".
"""

import re
from functools import cache, lru_cache
from importlib import resources
from typing import NamedTuple

from ..model.errors import UnknownDicomTag

UNKNOWN_NAME = "Unknown Tag & Data"
RETIRED = "RETIRED_"

_NUMBER = re.compile(r"([0-9a-fA-F]{4})[,-]?([0-9a-fA-F]{4})")
# Where DCMTK says something else of retirement.
_NOT_RETIRED = frozenset((0x00101000, 0x30040012))
_ALSO_RETIRED = frozenset((0x00102160,))


class Entry(NamedTuple):
    """What a dictionary says of an element; a VR is two letters."""

    name: str
    vr: bytes


UNKNOWN = Entry(UNKNOWN_NAME, b"UN")
_GROUP_LENGTH = Entry("GenericGroupLength", b"UL")
_PRIVATE_GROUP_LENGTH = Entry("PrivateGroupLength", b"UL")
_CREATOR = Entry("PrivateCreator", b"LO")


def is_private(tag: int) -> bool:
    """Tell whether a tag belongs to a vendor: its group is odd (PS3.5 §7.8)."""
    return bool(tag & 0x10000)


def is_creator(tag: int) -> bool:
    """Tell whether a tag reserves a block of private elements, which its value names."""
    return bool(tag & 0x10000) and 0x10 <= tag & 0xFFFF <= 0xFF


@lru_cache(maxsize=16384)
def entry_of(tag: int, creator: str = "") -> Entry:
    """Return what is known of a tag; of a private one with the creator of its block."""
    if tag & 0xFFFF == 0 and tag >> 16 not in (0, 2):
        return _PRIVATE_GROUP_LENGTH if is_private(tag) else _GROUP_LENGTH
    if is_creator(tag):
        return _CREATOR
    if is_private(tag):
        return _private_entries().get((creator, tag >> 16, tag & 0xFF), UNKNOWN)
    from pydicom.datadict import get_entry

    try:
        vr, _, _, retired, keyword = get_entry(tag)
    except KeyError:
        return UNKNOWN
    is_retired = (bool(retired) or tag in _ALSO_RETIRED) and tag not in _NOT_RETIRED
    # Where the dictionary leaves a choice, such as "US or SS", the first one is usual.
    return Entry((RETIRED if is_retired else "") + keyword, vr[:2].encode())


def tag_number(text: str) -> int:
    """Return the tag that is written as keyword, `gggg,eeee`, `gggg-eeee` or `ggggeeee`.

    Raises UnknownDicomTag.
    """
    number = _NUMBER.fullmatch(text)
    if number:
        return int(number[1] + number[2], 16)
    tag = _public_tag(text.removeprefix(RETIRED))
    if tag is None:
        raise UnknownDicomTag(text)
    return tag


def tag_text(tag: int) -> str:
    """Return a tag as the API writes it: `gggg,eeee`."""
    return f"{tag >> 16:04x},{tag & 0xFFFF:04x}"


@lru_cache(maxsize=1024)
def _public_tag(keyword: str) -> int | None:
    from pydicom.datadict import tag_for_keyword

    return tag_for_keyword(keyword) if keyword else None


@cache
def _private_entries() -> dict[tuple[str, int, int], Entry]:
    entries = {}
    creator = ""
    text = (resources.files(__package__) / "private_tags.txt").read_text("ascii")
    for line in text.splitlines():
        if line.startswith("["):
            creator = line[1:-1]
        elif not line.startswith("#"):
            group, element, vr, name = line.split()
            entries[creator, int(group, 16), int(element, 16)] = Entry(name, vr.encode())
    return entries
