"""The main DICOM tags of a configuration. Source: the Orthanc Book, option `ExtraMainDicomTags`."""

from collections.abc import Iterable, Mapping
from functools import cached_property

from ..model.resource import ResourceLevel
from ..model.tags import MAIN_DICOM_TAGS, MainDicomTags, MainTag, extended, signature
from .computed import COMPUTED
from .dictionary import Dictionary, Entry, tag_text


def main_dicom_tags(extra: Mapping[ResourceLevel, Iterable[str]], dictionary: Dictionary) -> MainDicomTags:
    """Return the main tags with the extra ones of each level, which are written in any way.

    Raises UnknownDicomTag.
    """
    return extended(
        MAIN_DICOM_TAGS,
        {level: [_main_tag(name, dictionary) for name in names] for level, names in extra.items()},
    )


def _main_tag(name: str, dictionary: Dictionary) -> MainTag:
    number = dictionary.tag_number(name)
    entry = dictionary.entry_of(number)
    return MainTag(tag_text(number), entry.name, entry.vr.decode())


def places(table: MainDicomTags, level: ResourceLevel) -> dict[str, ResourceLevel]:
    """Return where a resource of `level` has main tags: at its own level, else the next above."""
    return {row.tag: up for up in ResourceLevel if up <= level for row in table[up]}


class IndexedTags:
    """Names and VRs of the tags that the index knows or computes, without the dictionary of all tags.

    That dictionary is slow to import, and most searches need nothing else.
    """

    def __init__(self, table: MainDicomTags, dictionary: Dictionary) -> None:
        rows = {row.tag: (row.name, row.vr) for rows in table.values() for row in rows}
        known = {tag: (each.name, each.vr) for tag, each in COMPUTED.items()} | rows
        self._numbers = {name: int(tag[:4] + tag[5:], 16) for tag, (name, _) in known.items()}
        self._entries = {tag: Entry(name, vr.encode()) for tag, (name, vr) in known.items()}
        self.table = table
        self._dictionary = dictionary

    @cached_property
    def signatures(self) -> dict[str, str]:
        """The metadata MainDicomTagsSignature of each level, by the name of its type, ascending."""
        return dict(sorted((level.type_name, signature(level, self.table)) for level in self.table))

    def number(self, name: str) -> int:
        """Return the tag of a name, or of a number in any spelling. Raises UnknownDicomTag."""
        found = self._numbers.get(name)
        return self._dictionary.tag_number(name) if found is None else found

    def entry(self, tag: str) -> Entry:
        """Return the name and the VR of `gggg,eeee`."""
        found = self._entries.get(tag)
        return self._dictionary.likely_entry(int(tag[:4] + tag[5:], 16)) if found is None else found
