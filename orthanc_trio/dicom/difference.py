"""What a modification does to one instance, for people to look at before it is done.

Values are shown as `/instances/{id}/tags` does, shortened; those without text, such as pixels, only appear if
they come or go.
"""

from collections.abc import Iterator
from enum import Enum
from itertools import islice
from typing import Any, Final

from msgspec import Struct

from .dictionary import STANDARD, Dictionary
from .render import Format, Rendering, render_dataset
from .standard_tags import tags_of

MAX_SHOWN_CHARACTERS: Final = 256
MAX_CHANGES: Final = 10_000
_LONG_TEXT: Final = ("LT", "ST", "UC", "UR", "UT")


class ChangeType(Enum):
    """What happens to a tag."""

    ADDED = "Added"
    CHANGED = "Changed"
    REMOVED = "Removed"


class Change(Struct, frozen=True, kw_only=True, rename="pascal"):
    """One tag whose value is another one afterwards; None is no text, also of what is not there."""

    path: str
    """As requests name it: `gggg,eeee[0].gggg,eeee`."""
    name: str
    type: ChangeType
    old: str | None
    new: str | None


def differences(
    before: bytes, after: bytes, *, default_encoding: str = "Latin1", dictionary: Dictionary = STANDARD
) -> list[Change]:
    """Return how two files differ in their tags, at most MAX_CHANGES. Raises BadFileFormat."""
    how = Rendering(
        Format.SHORT, unlimited=tags_of(*_LONG_TEXT), default_encoding=default_encoding, dictionary=dictionary
    )
    old, new = (_flat(render_dataset(data, len(data), how, whole=True)) for data in (before, after))
    return list(islice(_changes(old, new, dictionary), MAX_CHANGES))


def _changes(
    old: dict[str, str | None], new: dict[str, str | None], dictionary: Dictionary
) -> Iterator[Change]:
    for path in sorted(old.keys() | new.keys()):
        if path not in new:
            kind = ChangeType.REMOVED
        elif path not in old:
            kind = ChangeType.ADDED
        elif old[path] != new[path]:
            kind = ChangeType.CHANGED
        else:
            continue
        yield Change(
            path=path,
            name=_name(path, dictionary),
            type=kind,
            old=_shown(old.get(path)),
            new=_shown(new.get(path)),
        )


def _flat(tags: dict[str, Any], prefix: str = "") -> dict[str, str | None]:
    """Return the values of a dataset by path; a sequence is that of its items."""
    flat: dict[str, str | None] = {}
    for tag, value in tags.items():
        if isinstance(value, list):
            flat[prefix + tag] = None
            for index, item in enumerate(value):
                flat |= _flat(item, f"{prefix}{tag}[{index}].")
        else:
            flat[prefix + tag] = value
    return flat


def _name(path: str, dictionary: Dictionary) -> str:
    return dictionary.entry_of(int(path[-9:].replace(",", ""), 16)).name


def _shown(value: str | None) -> str | None:
    if value is None or len(value) <= MAX_SHOWN_CHARACTERS:
        return value
    return value[:MAX_SHOWN_CHARACTERS] + "..."
