"""The JSON bodies of requests to modify and to anonymise -> `Modification`; every error is raised here.

Source: the Orthanc Book, "Anonymization and modification of DICOM files"; the texts are those of the server.
"""

from collections.abc import Mapping
from typing import Any, Final

from ..model.errors import BadFileFormat, BadRequest, ParameterOutOfRange
from ..model.resource import ResourceLevel
from .dictionary import STANDARD, Dictionary
from .modification import (
    DEIDENTIFICATION_METHOD,
    IDENTIFIERS,
    PATIENT_ID,
    PATIENT_IDENTITY_REMOVED,
    SERIES_INSTANCE_UID,
    STUDY_INSTANCE_UID,
    Modification,
    PathReplacement,
    check_removals,
    deidentification_method,
)
from .profile import DEFAULT_VERSION, load_profile
from .tag_path import TagPath, parse_tag_path

_MAX_SHIFT_DAYS: Final = 36500
_FIRST_GROUP: Final = 0x0008
_FIRST_GROUP_OF_DELIMITERS: Final = 0xFFFE
_LEVELS: Final = {
    "PATIENT": ResourceLevel.PATIENT,
    "PATIENTS": ResourceLevel.PATIENT,
    "STUDY": ResourceLevel.STUDY,
    "STUDIES": ResourceLevel.STUDY,
    "SERIES": ResourceLevel.SERIES,
    "INSTANCE": ResourceLevel.INSTANCE,
    "INSTANCES": ResourceLevel.INSTANCE,
    "IMAGE": ResourceLevel.INSTANCE,
    "IMAGES": ResourceLevel.INSTANCE,
}


def modification_of_body(
    body: Any,
    *,
    level: ResourceLevel | None = None,
    private_creator: str = "",
    dictionary: Dictionary = STANDARD,
) -> Modification:
    """Return what the decoded body of a request to modify asks for.

    Without a `level`, that is the highest one whose identifier is replaced. `private_creator` is the option
    DefaultPrivateCreator. Raises BadFileFormat for a member of the wrong type, BadRequest for what is
    forbidden or malformed, UnknownDicomTag and ParameterOutOfRange for wrong tags and paths.
    """
    members = _members(body)
    tags = _Tags(dictionary, is_forced=_boolean(members, "Force"))
    removes_private_tags = _boolean(members, "RemovePrivateTags")
    tags.read(members)
    modification = Modification(
        level=level or _level_of(tags.replacements),
        removes_private_tags=removes_private_tags,
        private_creator=_text(members, "PrivateCreator", private_creator),
        **tags.fields(),
    )
    check_removals(modification)
    return modification


def anonymization_of_body(
    body: Any, *, private_creator: str = "", dictionary: Dictionary = STANDARD
) -> Modification:
    """Return what the decoded body of a request to anonymise asks for; the patient is not named yet.

    Raises as `modification_of_body`, and ParameterOutOfRange for an unknown version of the standard.
    """
    members = _members(body)
    version = members.get("DicomVersion", DEFAULT_VERSION)
    if not isinstance(version, str):
        raise BadFileFormat("DicomVersion should be a string")
    load_profile(version)
    tags = _Tags(dictionary, is_forced=_boolean(members, "Force"))
    tags.read(members)
    keeps_private_tags = _boolean(members, "KeepPrivateTags")
    shift_dates = _shift(members.get("ShiftDates", False))
    is_customized = tags.are_any or keeps_private_tags or shift_dates is not False
    tags.replace_unless_said(PATIENT_IDENTITY_REMOVED, "YES")
    tags.replace_unless_said(
        DEIDENTIFICATION_METHOD, deidentification_method(version, is_customized=is_customized)
    )
    modification = Modification(
        level=ResourceLevel.PATIENT,
        removes_private_tags=not keeps_private_tags,
        private_creator=_text(members, "PrivateCreator", private_creator),
        profile=version,
        pseudonym=_pseudonym(members),
        shift_dates=shift_dates,
        **tags.fields(),
    )
    check_removals(modification)
    return modification


def level_of_body(body: Any) -> ResourceLevel | None:
    """Return the member Level of a request to modify in bulk, None if it is absent.

    Raises ParameterOutOfRange for another word, BadFileFormat for another type, where Orthanc fails.
    """
    name = _members(body).get("Level")
    if name is None:
        return None
    if not isinstance(name, str):
        raise BadFileFormat("String value expected in field: Level")
    level = _LEVELS.get(name.upper())
    if level is None:
        raise ParameterOutOfRange(f"Invalid resource type '{name}'")
    return level


class _Tags:
    """The members Remove, Replace and Keep, in this order: on one tag at the top, the later one counts."""

    def __init__(self, dictionary: Dictionary, *, is_forced: bool) -> None:
        self._dictionary = dictionary
        self._is_forced = is_forced
        self.replacements: dict[int, Any] = {}
        self._removals: set[int] = set()
        self._keeps: set[int] = set()
        self._path_replacements: list[PathReplacement] = []
        self._path_removals: list[TagPath] = []
        self._path_keeps: list[TagPath] = []

    @property
    def are_any(self) -> bool:
        return any(self.fields().values())

    def read(self, members: Mapping[str, Any]) -> None:
        for name in _names(members, "Remove"):
            path = self._path(name, "removed")
            self._path_removals.append(path) if path.parents else self._removals.add(path.tag)
        replaced = members.get("Replace", {})
        if not isinstance(replaced, dict):
            raise BadRequest
        for name, value in replaced.items():
            self._replace(self._path(name, "replaced"), value)
        for name in _names(members, "Keep"):
            path = self._path(name, "kept")
            self._keep(path)

    def replace_unless_said(self, tag: int, value: str) -> None:
        if tag not in self.replacements and tag not in self._removals and tag not in self._keeps:
            self.replacements[tag] = value

    def fields(self) -> dict[str, Any]:
        """Return the fields of `Modification`."""
        return {
            "replacements": self.replacements,
            "removals": frozenset(self._removals),
            "keeps": frozenset(self._keeps),
            "path_replacements": tuple(self._path_replacements),
            "path_removals": tuple(self._path_removals),
            "path_keeps": tuple(self._path_keeps),
        }

    def _path(self, name: str, word: str) -> TagPath:
        path = parse_tag_path(name, self._dictionary)
        if not path.parents and path.tag in IDENTIFIERS and not self._is_forced:
            raise BadRequest(
                f'Marking tag "{name}" as to be {word} requires the "Force" option to be set to true'
            )
        return path

    def _replace(self, path: TagPath, value: Any) -> None:
        group, number = path.tag >> 16, path.tag & 0xFFFF
        if group >= _FIRST_GROUP_OF_DELIMITERS:
            raise BadRequest("The tags of items and delimiters have no value")
        if group < _FIRST_GROUP or number == 0:
            return  # what tells the lengths of groups, or belongs to the file rather than the dataset
        if path.parents:
            self._path_replacements.append(PathReplacement(path, value))
        else:
            self._removals.discard(path.tag)
            self.replacements[path.tag] = value

    def _keep(self, path: TagPath) -> None:
        if path.parents:
            self._path_keeps.append(path)
            return
        self._removals.discard(path.tag)
        self.replacements.pop(path.tag, None)
        self._keeps.add(path.tag)


def _members(body: Any) -> Mapping[str, Any]:
    if not isinstance(body, dict):
        raise BadFileFormat
    return body


def _boolean(members: Mapping[str, Any], name: str) -> bool:
    value = members.get(name, False)
    if not isinstance(value, bool):
        raise BadFileFormat(f'Member "{name}" should be a Boolean value')
    return value


def _text(members: Mapping[str, Any], name: str, default: str) -> str:
    value = members.get(name, default)
    if not isinstance(value, str):
        raise BadFileFormat(f"String value expected in field: {name}")
    return value


def _names(members: Mapping[str, Any], name: str) -> list[str]:
    names = members.get(name, [])
    if not isinstance(names, list) or not all(isinstance(text, str) for text in names):
        raise BadRequest
    return names


def _pseudonym(members: Mapping[str, Any]) -> str | None:
    value = members.get("Pseudonym")
    if value is None:
        return None
    if not isinstance(value, dict):
        raise BadFileFormat("Object value expected in field: Pseudonym")
    key = value.get("Key")
    if not isinstance(key, str):
        raise BadFileFormat("String value expected in field: Pseudonym.Key")
    return key


def _shift(value: Any) -> bool | int:
    if not isinstance(value, int):
        raise BadFileFormat("Boolean or integer value expected in field: ShiftDates")
    if not -_MAX_SHIFT_DAYS <= value <= _MAX_SHIFT_DAYS:
        raise ParameterOutOfRange(f"ShiftDates is at most {_MAX_SHIFT_DAYS} days")
    return value


def _level_of(replacements: Mapping[int, Any]) -> ResourceLevel:
    for tag in (PATIENT_ID, STUDY_INSTANCE_UID, SERIES_INSTANCE_UID):
        if tag in replacements:
            return IDENTIFIERS[tag]
    return ResourceLevel.INSTANCE
