"""Places in a dataset as requests name them: `Seq[0].Seq[*].Tag`.

Source: the Orthanc Book, "Anonymization and modification of DICOM files", section on sequences.
"""

import re
from typing import Final

from msgspec import Struct

from ..model.errors import ParameterOutOfRange, UnknownDicomTag
from .dictionary import STANDARD, Dictionary, tag_text
from .scan import MAX_DEPTH

_INDEXED: Final = re.compile(r"(.*?)\[(.*)\]", re.DOTALL)
_INTEGER: Final = re.compile(r"[+-]?[0-9]{1,9}")
_BRACKETED: Final = re.compile(r"\(([0-9a-fA-F]{4}[,-]?[0-9a-fA-F]{4})\)")


class Parent(Struct, frozen=True, array_like=True):
    """An item of a sequence on the way to a tag: its 0-based index, or all items if that is None."""

    sequence: int
    index: int | None = None


class TagPath(Struct, frozen=True, array_like=True):
    """A tag, and the items that one steps into to reach it; at the top level there are none."""

    tag: int
    parents: tuple[Parent, ...] = ()

    def __str__(self) -> str:
        steps = (
            f"{tag_text(parent.sequence)}[{'*' if parent.index is None else parent.index}]."
            for parent in self.parents
        )
        return "".join(steps) + tag_text(self.tag)


def parse_tag_path(text: str, dictionary: Dictionary = STANDARD) -> TagPath:
    """Return the place that a request names; a tag may be in brackets: `(gggg,eeee)`.

    Raises UnknownDicomTag for a name that is none, also for a path that ends with an index, and
    ParameterOutOfRange for a wrong index or too many of them.
    """
    *steps, last = text.split(".")
    if len(steps) > MAX_DEPTH:
        raise ParameterOutOfRange("Too many parents in the path of a tag")
    parents = tuple(_parent(step, dictionary) for step in steps)
    return TagPath(_tag(last, dictionary), parents)


def _parent(step: str, dictionary: Dictionary) -> Parent:
    indexed = _INDEXED.fullmatch(step)
    if indexed is None:
        lacking = "the end of the index" if "[" in step else "an index"
        raise ParameterOutOfRange(f"Parent path doesn't contain {lacking}")
    name, index = indexed.groups()
    if not name:
        raise ParameterOutOfRange("Parent path doesn't contain a tag")
    tag = _tag(name, dictionary)
    if index == "*":
        return Parent(tag)
    if not _INTEGER.fullmatch(index):
        raise ParameterOutOfRange(f"Not a valid index in parent path: [{index}]")
    if int(index) < 0:
        raise ParameterOutOfRange(f"Negative index in parent path: {int(index)}")
    return Parent(tag, int(index))


def _tag(name: str, dictionary: Dictionary) -> int:
    bracketed = _BRACKETED.fullmatch(name)
    try:
        return dictionary.tag_number(bracketed[1] if bracketed else name)
    except UnknownDicomTag:
        raise UnknownDicomTag(name) from None
