"""The anonymisation profiles: what becomes of each tag in each version of the standard.

The tables in `profiles/` have one row per tag: `tag`, `action`, code of the standard, name.
Source: PS3.15 Table E.1-1 (2008, 2017c, 2021b, 2023b); the Orthanc Book, "Anonymization".
"""

from enum import Enum
from functools import cache
from importlib import resources
from typing import Final

from msgspec import Struct

from ..model.errors import ParameterOutOfRange

DEFAULT_VERSION: Final = "2023b"
_TITLES: Final = {
    "2008": "PS 3.15-2008 Table E.1-1",
    **{
        version: f"PS 3.15-{version} Table E.1-1 Basic Profile"
        for version in ("2017c", "2021b", DEFAULT_VERSION)
    },
}
_FIRST_GROUP_OF_DATASETS: Final = 0x0008


class ProfileAction(Enum):
    """What becomes of the value of a tag."""

    CLEAR = "clear"
    REMOVE = "remove"
    UID = "uid"


class TagRange(Struct, frozen=True):
    """Elements of repeating groups, such as `6000-60ff,3000`: both ends belong to it."""

    groups: tuple[int, int]
    elements: tuple[int, int]


class Profile(Struct, frozen=True):
    """One version of the table. A tag that is neither in `actions` nor in a range to remove is kept.

    Not in it are the identifiers, the name of the patient, and what the anonymisation itself writes.
    """

    title: str
    """As (0012,0063) names it."""
    actions: dict[int, ProfileAction]
    removed_ranges: tuple[TagRange, ...]


@cache
def load_profile(version: str) -> Profile:
    """Return the profile of a version: 2008, 2017c, 2021b or 2023b. Raises ParameterOutOfRange."""
    title = _TITLES.get(version)
    if title is None:
        raise ParameterOutOfRange(f"Unknown specific version of the DICOM standard: {version}")
    text = (resources.files(__package__) / "profiles" / f"{version}.tsv").read_text("ascii")
    rows = [line.split("\t")[:2] for line in text.splitlines()[1:]]
    known = {action.value: action for action in ProfileAction}
    actions = {int(tag.replace(",", ""), 16): known[action] for tag, action in rows if action in known}
    return Profile(
        title,
        {tag: action for tag, action in actions.items() if tag >> 16 >= _FIRST_GROUP_OF_DATASETS},
        tuple(_range(tag) for tag, action in rows if action == "remove-range"),
    )


def _range(text: str) -> TagRange:
    groups, elements = (_ends(part) for part in text.split(","))
    return TagRange(groups, elements)


def _ends(part: str) -> tuple[int, int]:
    first, _, last = part.partition("-")
    return int(first, 16), int(last or first, 16)
