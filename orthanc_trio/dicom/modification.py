"""What a request asks of the tags of instances: one value that can be saved, made of the JSON of the request.

Source: the Orthanc Book, "Anonymization and modification of DICOM files"; `/studies/{id}/modify`,
`/studies/{id}/anonymize`.
"""

from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from ..model.errors import BadRequest
from ..model.resource import ResourceLevel
from .profile import load_profile
from .tag_path import TagPath

PATIENT_NAME: Final = 0x00100010
PATIENT_ID: Final = 0x00100020
SOP_INSTANCE_UID: Final = 0x00080018
STUDY_INSTANCE_UID: Final = 0x0020000D
SERIES_INSTANCE_UID: Final = 0x0020000E
PATIENT_IDENTITY_REMOVED: Final = 0x00120062
DEIDENTIFICATION_METHOD: Final = 0x00120063
IDENTIFIERS: Final = {
    PATIENT_ID: ResourceLevel.PATIENT,
    STUDY_INSTANCE_UID: ResourceLevel.STUDY,
    SERIES_INSTANCE_UID: ResourceLevel.SERIES,
    SOP_INSTANCE_UID: ResourceLevel.INSTANCE,
}
"""The tags that identify the resource of each level."""
_SOFTWARE: Final = "Orthanc 1.13.0"


class PathReplacement(Struct, frozen=True, array_like=True):
    """A new value for a tag in items of sequences; as JSON, like those of `Modification.replacements`."""

    path: TagPath
    value: Any


class Modification(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is to become of the tags of each instance. Tags are numbers; those without a path are at the top.

    A tag is in at most one of `replacements`, `removals` and `keeps`.
    """

    level: ResourceLevel
    """The resources of this level, and those below, get new UIDs, unless these are replaced or kept."""
    replacements: dict[int, Any] = {}
    """New values as JSON: text, null (empty), or for a sequence a list of objects `{tag: value}`."""
    removals: frozenset[int] = frozenset()
    keeps: frozenset[int] = frozenset()
    path_replacements: tuple[PathReplacement, ...] = ()
    path_removals: tuple[TagPath, ...] = ()
    path_keeps: tuple[TagPath, ...] = ()
    removes_private_tags: bool = False
    private_creator: str = ""
    """By it the VRs of private tags in `replacements` are looked up."""
    profile: str | None = None
    """The version of the standard to anonymise by; None is no anonymisation."""
    pseudonym: str | None = None
    """The name of the secret that identities are derived from; None is a secret of this job alone."""
    shift_dates: bool | int = False
    """Dates are moved instead of removed, by as many days, or if True by as many as the patient's."""

    @property
    def is_anonymization(self) -> bool:
        """Whether tags are treated by a profile, and references to instances follow their new UIDs."""
        return self.profile is not None

    @property
    def keeps_all_uids(self) -> bool:
        """Whether the results take the place of their sources: no UID, and no patient, is another one."""
        return self.keeps.issuperset(set(IDENTIFIERS) - {PATIENT_ID}) and PATIENT_ID not in self.replacements

    @property
    def chosen_identifiers(self) -> dict[ResourceLevel, bytes]:
        """The identifiers that the user gives, by level."""
        return {
            level: chosen.encode("ascii", "replace")
            for tag, level in IDENTIFIERS.items()
            if isinstance(chosen := self.replacements.get(tag), str)
        }

    def touches(self, tag: int) -> bool:
        """Tell whether the user said what becomes of a tag at the top level."""
        return tag in self.replacements or tag in self.removals or tag in self.keeps


def named_patient(modification: Modification, number: int) -> Modification:
    """Return an anonymisation that names the patient `Anonymized<number>`, unless the user says what.

    With a pseudonym it is unchanged: there the name is derived from the identifier of the patient, as it is
    to be the same in each job.
    """
    if (
        not modification.is_anonymization
        or modification.pseudonym is not None
        or modification.touches(PATIENT_NAME)
    ):
        return modification
    names = {PATIENT_NAME: f"Anonymized{number}"}
    return replace(modification, replacements=modification.replacements | names)


def check_removals(modification: Modification) -> None:
    """Raise BadRequest if an identifier is to be removed."""
    if modification.removals & IDENTIFIERS.keys():
        raise BadRequest("It is forbidden to remove one of the main Dicom identifiers")


def deidentification_method(version: str, *, is_customized: bool) -> str:
    """Return what an anonymisation says of itself in (0012,0063)."""
    return _SOFTWARE if is_customized else f"{_SOFTWARE} - {load_profile(version).title}"
