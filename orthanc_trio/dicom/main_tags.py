"""The main DICOM tags of a configuration. Source: the Orthanc Book, option `ExtraMainDicomTags`."""

from collections.abc import Iterable, Mapping

from ..model.resource import ResourceLevel
from ..model.tags import MAIN_DICOM_TAGS, MainDicomTags, MainTag, extended
from .dictionary import Dictionary, tag_text


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
