"""Names and usual VRs of data elements, as DCMTK 3.7 knows them: what the API shows.

Public elements come from pydicom's dictionary, which is read at the first use; private ones from
`private_tags.txt`; the configuration adds its own. Whoever names or reads a tag is handed a `Dictionary`.
Source: PS3.6; the Orthanc Book, "DICOM-as-JSON", and the option `Dictionary`.
"""

import re
from collections.abc import Callable
from functools import cache, lru_cache
from importlib import resources
from typing import NamedTuple

from ..model.errors import AlreadyExistingTag, UnknownDicomTag
from ..model.tags import OwnTag
from .standard_tags import standard_row, tag_of_keyword

UNKNOWN_NAME = "Unknown Tag & Data"
RETIRED = "RETIRED_"

_NUMBER = re.compile(r"([0-9a-fA-F]{4})[,-]?([0-9a-fA-F]{4})")
_KEPT_ENTRIES, _KEPT_NAMES = 16384, 1024
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


class Dictionary:
    """What is known of tags. Immutable, safe in any thread, and cheap to send to a worker process."""

    def __init__(self, own: tuple[OwnTag, ...] = (), *, knows_vendors: bool = True) -> None:
        """Add the tags of the configuration to those of the standard and, if `knows_vendors`, of the vendors.

        Raises AlreadyExistingTag for a tag that is known already.
        """
        self._arguments = own, knows_vendors
        self._vendors = _vendors_entries if knows_vendors else _no_entries
        self._own: set[tuple[str, int]] = set()
        self._numbers: dict[str, int] = {}
        self._by_number: dict[int, Entry] = {}
        self._blocks: dict[tuple[str, int, int], Entry] = {}
        self._plain: dict[int, Entry] = {}
        for tag in own:
            self._add(tag)
        self.entry_of: Callable[..., Entry] = lru_cache(maxsize=_KEPT_ENTRIES)(self._entry_of)

    def __reduce__(self) -> tuple[Callable[..., "Dictionary"], tuple[tuple[OwnTag, ...], bool]]:
        return _shared_dictionary, self._arguments

    def tag_number(self, text: str) -> int:
        """Return the tag that is written as name, `gggg,eeee`, `gggg-eeee` or `ggggeeee`.

        Raises UnknownDicomTag.
        """
        number = _NUMBER.fullmatch(text)
        if number:
            return int(number[1] + number[2], 16)
        own = self._numbers.get(text)
        if own is not None:
            return own
        tag = _public_tag(text.removeprefix(RETIRED))
        if tag is None:
            raise UnknownDicomTag(text)
        return tag

    def likely_entry(self, tag: int) -> Entry:
        """Return what is known of a tag where nobody knows its creator: the configuration has one for it."""
        entry: Entry = self.entry_of(tag)
        return self._by_number.get(tag, entry) if entry is UNKNOWN else entry

    def _add(self, tag: OwnTag) -> None:
        if self._knows(tag):
            raise AlreadyExistingTag(
                f'Cannot register twice the tag ({tag_text(tag.number)}), whose symbolic name is "{tag.name}"'
            )
        entry = Entry(tag.name, tag.vr.encode())
        self._own.add((tag.creator, tag.number))
        if tag.creator:
            # The same element of two blocks is one to a reader of files; the first entry holds.
            self._blocks.setdefault((tag.creator, *_place(tag.number)), entry)
        else:
            self._plain[tag.number] = entry
        self._numbers.setdefault(tag.name, tag.number)
        self._by_number.setdefault(tag.number, entry)

    def _knows(self, tag: OwnTag) -> bool:
        if (tag.creator, tag.number) in self._own:
            return True
        if tag.creator:
            return (tag.creator, *_place(tag.number)) in self._vendors()
        return _public_entry(tag.number) is not UNKNOWN

    def _entry_of(self, tag: int, creator: str = "") -> Entry:
        """Return what is known of a tag; of a private one with the creator of its block."""
        if tag & 0xFFFF == 0 and tag >> 16 not in (0, 2):
            return _PRIVATE_GROUP_LENGTH if is_private(tag) else _GROUP_LENGTH
        if is_creator(tag):
            return _CREATOR
        if creator and is_private(tag):
            place = (creator, *_place(tag))
            return self._blocks.get(place) or self._vendors().get(place, UNKNOWN)
        return self._plain.get(tag) or (UNKNOWN if is_private(tag) else _public_entry(tag))


@lru_cache(maxsize=4)
def _shared_dictionary(own: tuple[OwnTag, ...], knows_vendors: bool) -> Dictionary:
    """Return the one dictionary of this process that was sent to it with these arguments."""
    return Dictionary(own, knows_vendors=knows_vendors)


def tag_text(tag: int) -> str:
    """Return a tag as the API writes it: `gggg,eeee`."""
    return f"{tag >> 16:04x},{tag & 0xFFFF:04x}"


def _place(tag: int) -> tuple[int, int]:
    """Return what tells a private tag apart in the blocks of its creator: group and lower byte."""
    return tag >> 16, tag & 0xFF


def _public_entry(tag: int) -> Entry:
    row = standard_row(tag)
    if row is None:
        return UNKNOWN
    vr, _, _, retired, keyword = row
    is_retired = (bool(retired) or tag in _ALSO_RETIRED) and tag not in _NOT_RETIRED
    # Where the dictionary leaves a choice, such as "US or SS", the first one is usual.
    return Entry((RETIRED if is_retired else "") + keyword, vr[:2].encode())


@lru_cache(maxsize=_KEPT_NAMES)
def _public_tag(keyword: str) -> int | None:
    return tag_of_keyword(keyword) if keyword else None


def _no_entries() -> dict[tuple[str, int, int], Entry]:
    return {}


@cache
def _vendors_entries() -> dict[tuple[str, int, int], Entry]:
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


STANDARD = Dictionary()
"""The dictionary without tags of a configuration."""
