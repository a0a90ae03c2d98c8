"""A `Modification` -> what becomes of each tag, in tables that are asked once per element.

The rules are those of the Orthanc Book, with more privacy where no client relies on less: in sequences the
name of the patient is emptied, the method of another de-identification is removed, and a tag that is replaced
at the top follows the profile; curves and overlays are removed at the top as well.
"""

from enum import IntEnum, auto
from functools import cached_property
from typing import Final

from ..model.resource import ResourceLevel
from .dictionary import STANDARD, Dictionary, is_private
from .modification import (
    DEIDENTIFICATION_METHOD,
    IDENTIFIERS,
    PATIENT_ID,
    PATIENT_NAME,
    SERIES_INSTANCE_UID,
    SOP_INSTANCE_UID,
    STUDY_INSTANCE_UID,
    Modification,
)
from .path_tree import path_tree
from .profile import Profile, ProfileAction, TagRange, load_profile
from .standard_tags import tags_of

PATIENT_BIRTH_DATE: Final = 0x00100030
SPECIFIC_CHARACTER_SET: Final = 0x00080005
SOP_CLASS_UID: Final = 0x00080016
BURNED_IN_ANNOTATION: Final = 0x00280301
REFERENCED_SOP_INSTANCE_UID: Final = 0x00081155
STUDY_REFERENCES: Final = (0x30060010, 0x30060012)
"""The sequences in which (0008,1155) is the UID of a study: of RT structure sets (PS3.3 §C.8.8.5)."""


class Act(IntEnum):
    """What becomes of an element. Those up to REPLACE do not ask for the old value, so fit sequences too."""

    KEEP = auto()
    """It stays as it is, with all that is in it."""
    NOTE = auto()
    """It stays as it is, and its value is remembered."""
    REMOVE = auto()
    CLEAR = auto()
    REPLACE = auto()
    MAP_UID = auto()
    """Each of its values becomes the new UID of that instance; an empty one stays so."""
    MAP_STUDY = auto()
    MAP_SERIES = auto()
    MAP_INSTANCE = auto()
    MAP_PATIENT = auto()
    NAME_PATIENT = auto()
    """It becomes a name that is made of the new PatientID."""
    SHIFT = auto()
    """Its dates are moved by the days of the patient."""

    __hash__ = int.__hash__  # that of Enum is in Python, and takes longer than all else that is done with it


TABLE_OF: Final = {
    Act.MAP_UID: ResourceLevel.INSTANCE,
    Act.MAP_STUDY: ResourceLevel.STUDY,
    Act.MAP_SERIES: ResourceLevel.SERIES,
    Act.MAP_INSTANCE: ResourceLevel.INSTANCE,
}
_MAPPINGS: Final = {
    STUDY_INSTANCE_UID: Act.MAP_STUDY,
    SERIES_INSTANCE_UID: Act.MAP_SERIES,
    SOP_INSTANCE_UID: Act.MAP_INSTANCE,
}
_NESTED: Final = {
    PATIENT_ID: Act.MAP_PATIENT,
    PATIENT_NAME: Act.CLEAR,
    DEIDENTIFICATION_METHOD: Act.REMOVE,
}
_PROFILE_ACTS: Final = {
    ProfileAction.CLEAR: Act.CLEAR,
    ProfileAction.REMOVE: Act.REMOVE,
    ProfileAction.UID: Act.MAP_UID,
}
_FIRST_GROUP: Final = 0x0004
_NOTED: Final = (SPECIFIC_CHARACTER_SET, SOP_CLASS_UID, SOP_INSTANCE_UID, BURNED_IN_ANNOTATION)


class Rules:
    """The acts for the tags of one modification: `top` for those of the dataset, `nested` for those in items.

    A tag that is in neither stays, unless `removes` says that it goes; so does one in a sequence of which a
    request keeps the items.
    """

    def __init__(self, modification: Modification, dictionary: Dictionary = STANDARD) -> None:
        self.modification = modification
        self.dictionary = dictionary
        self.top: dict[int, Act] = dict.fromkeys(_NOTED, Act.NOTE)
        self.nested: dict[int, Act] = {}
        self.removes_private = modification.removes_private_tags
        self.ranges: tuple[TagRange, ...] = ()
        self.is_anonymization = modification.is_anonymization
        self.paths = path_tree(modification)
        if modification.profile is not None:
            self._anonymize(load_profile(modification.profile))
        self._renew()
        self.top |= dict.fromkeys(modification.removals, Act.REMOVE)
        self.top |= dict.fromkeys(modification.replacements, Act.REPLACE)
        for tag in modification.keeps:
            self._keep(tag)
        self.created = tuple(sorted(tag for tag, act in self.top.items() if self._creates(tag, act)))
        """The tags at the top that every result has, ascending."""

    @cached_property
    def sequences(self) -> frozenset[int]:
        """The tags that the standard knows as sequences."""
        return tags_of("SQ")

    def act(self, tag: int, *, is_nested: bool) -> Act | None:
        """Return what becomes of an element; None is nothing, but for the elements in it."""
        act = (self.nested if is_nested else self.top).get(tag)
        return Act.REMOVE if act is None and self.removes(tag, is_nested=is_nested) else act

    def removes(self, tag: int, *, is_nested: bool) -> bool:
        """Tell whether a tag that is in no table is removed."""
        if tag & 0xFFFF == 0 or tag >> 16 < _FIRST_GROUP:
            return True  # the length of its group, which is another one then, or nothing of a dataset
        if is_private(tag):
            return self.removes_private and (self.is_anonymization or not is_nested)
        return any(_is_in(tag, found) for found in self.ranges)

    def _anonymize(self, profile: Profile) -> None:
        acts = {tag: _PROFILE_ACTS[action] for tag, action in profile.actions.items()}
        self.top |= acts
        self.nested |= acts
        if self.modification.shift_dates is not False:
            shifts = dict.fromkeys(tags_of("DA", "DT") - {PATIENT_BIRTH_DATE}, Act.SHIFT)
            self.top |= shifts
            self.nested |= shifts
        self.top[PATIENT_ID] = Act.MAP_PATIENT
        self.nested |= _MAPPINGS | _NESTED
        self.nested |= dict.fromkeys(self.modification.removals, Act.REMOVE)
        self.top[PATIENT_NAME] = Act.CLEAR if self.modification.pseudonym is None else Act.NAME_PATIENT
        self.ranges = profile.removed_ranges

    def _renew(self) -> None:
        """Give new UIDs to the resources of the level and of those below."""
        for tag, act in _MAPPINGS.items():
            if IDENTIFIERS[tag] >= self.modification.level:
                self.top[tag] = act

    def _keep(self, tag: int) -> None:
        self.top[tag] = Act.NOTE if tag in _NOTED else Act.KEEP
        if self.nested.get(tag) is not None and tag not in _MAPPINGS:
            del self.nested[tag]

    def _creates(self, tag: int, act: Act) -> bool:
        return act in (Act.REPLACE, Act.NAME_PATIENT) or (tag in _MAPPINGS and act is _MAPPINGS[tag])


def _is_in(tag: int, found: TagRange) -> bool:
    group, element = tag >> 16, tag & 0xFFFF
    return found.groups[0] <= group <= found.groups[1] and found.elements[0] <= element <= found.elements[1]
