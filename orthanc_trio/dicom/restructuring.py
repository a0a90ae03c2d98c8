"""What becomes of the tags of instances that go to another study: of a split, or of a merge.

Source: the Orthanc Book, `/studies/{id}/split` and `/studies/{id}/merge`; the texts are those of the server.
"""

from collections.abc import Mapping
from typing import Any, Final

from ..model.errors import BadFileFormat, ParameterOutOfRange
from ..model.resource import ResourceLevel
from .dictionary import Dictionary, tag_text
from .modification import STUDY_INSTANCE_UID, Modification
from .module import MODULES

_TAGS: Final = MODULES[ResourceLevel.PATIENT] | MODULES[ResourceLevel.STUDY]
"""What instances of one study have in common, as `gggg,eeee`."""


def split_modification(members: Mapping[str, Any], study_uid: str, dictionary: Dictionary) -> Modification:
    """Return what becomes of instances that are split off into the new study `study_uid`.

    `members` are those of the request: Remove, then Replace, which wins. Raises BadFileFormat for a wrong
    type, UnknownDicomTag, ParameterOutOfRange for a tag that is not in the modules of patient and study.
    """
    removed, replaced = members.get("Remove", []), members.get("Replace", {})
    if not isinstance(removed, list) or not all(isinstance(name, str) for name in removed):
        raise BadFileFormat
    removals = frozenset(_movable(name, dictionary) for name in removed)
    if not isinstance(replaced, dict) or not all(isinstance(value, str) for value in replaced.values()):
        raise BadFileFormat
    replacements: dict[int, Any] = {_movable(name, dictionary): value for name, value in replaced.items()}
    return _moved(replacements | {STUDY_INSTANCE_UID: study_uid}, removals)


def merge_modification(target: Mapping[str, Any], dictionary: Dictionary) -> Modification:
    """Return what becomes of instances that go to the study of an instance with the tags `target`.

    These are `gggg,eeee` -> text, or what is no text and so is not taken over.
    """
    number = dictionary.tag_number
    replacements = {number(tag): target[tag] for tag in _TAGS if isinstance(target.get(tag), str)}
    return _moved(replacements, frozenset(number(tag) for tag in _TAGS))


def _moved(replacements: dict[int, Any], removals: frozenset[int]) -> Modification:
    """Return a modification that gives series and instances new UIDs."""
    return Modification(
        level=ResourceLevel.SERIES, replacements=replacements, removals=removals - replacements.keys()
    )


def _movable(name: str, dictionary: Dictionary) -> int:
    tag = dictionary.tag_number(name)
    if tag == STUDY_INSTANCE_UID or tag_text(tag) not in _TAGS:
        shown = f"{dictionary.entry_of(tag).name} ({tag_text(tag)})"
        raise ParameterOutOfRange(
            "Cannot modify the following tag while splitting a study "
            f"(not in the patient/study modules): {shown}"
        )
    return tag
