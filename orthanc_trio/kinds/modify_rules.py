"""What a modification must not do, checked before there is a job. Functions of a read transaction.

Source: the Orthanc Book, "Anonymization and modification of DICOM files"; the texts are those of the server.
"""

from collections.abc import Mapping
from typing import Final

from ..config.choice import OverwriteInstances
from ..dicom.dictionary import tag_text
from ..dicom.modification import PATIENT_ID, Modification
from ..index.transaction import ReadTransaction
from ..model.errors import BadRequest
from ..model.resource import DicomIdentifiers, ResourceLevel
from ..model.tags import MAIN_DICOM_TAGS
from .modify_args import ModifyArgs

_IN_PLACE: Final = "When keeping StudyInstanceUID, SeriesInstanceUID and SOPInstanceUID tag, you must "
_CHANGED_PATIENT: Final = (
    "Trying to change patient tags in a study.  The Patient already exists and has other studies.  "
)
_PATIENT_TAGS: Final = {tag.number for tag in MAIN_DICOM_TAGS[ResourceLevel.PATIENT]}


def check_in_place(args: ModifyArgs, overwrite: OverwriteInstances) -> None:
    """Raise BadRequest if the results would take the place of their sources and that must not be."""
    modification = args.modification
    if not modification.keeps_all_uids or modification.level > ResourceLevel.STUDY:
        return
    if not args.keeps_source:
        raise BadRequest(
            f"{_IN_PLACE}set KeepSource to true to avoid deleting the modified files at the end of the"
            " process"
        )
    if overwrite is OverwriteInstances.NEVER:
        raise BadRequest(
            f"{_IN_PLACE}have the 'OverwriteInstances' Orthanc configuration set to true in order to"
            " replace the modified resources"
        )
    if args.is_atomic:
        raise BadRequest("What takes the place of its source cannot be taken back: Atomic is impossible")


def check_patient(tx: ReadTransaction, modification: Modification, study: str) -> None:
    """Raise BadRequest if a modified study would contradict a patient that has other studies as well."""
    replaced = {tag: value for tag, value in modification.replacements.items() if tag in _PATIENT_TAGS}
    if modification.is_anonymization or not replaced:
        return
    ancestors = tx.ancestors(study)
    patient = ancestors[-1].id if ancestors else study
    own = tx.tags_of([patient])[patient].own
    target = _text(replaced[PATIENT_ID]) if PATIENT_ID in replaced else own.get(tag_text(PATIENT_ID), "")
    id = DicomIdentifiers(target, "", "", "").orthanc_id(ResourceLevel.PATIENT)
    if any(other != study for other in tx.descendants(id, ResourceLevel.STUDY)):
        _compare({tag_text(tag): _text(value) for tag, value in replaced.items()}, tx.tags_of([id])[id].own)


def _compare(replaced: Mapping[str, str], known: Mapping[str, str]) -> None:
    for tag, value in sorted(known.items()):
        if tag in replaced and replaced[tag] != value:
            raise BadRequest(_must_match(f"Failing tag: {tag}"))
        if tag not in replaced and value:
            raise BadRequest(_must_match(f"Missing tag in the 'Replace' tags: {tag}"))
    for tag in sorted(replaced):
        if tag not in known:
            raise BadRequest(
                f"{_CHANGED_PATIENT}You are trying to replace a tag that is not defined yet in this patient."
                f" Try using /patients/../modify instead to modify the patient. Failing tag: {tag}"
            )


def _must_match(which: str) -> str:
    return (
        f"{_CHANGED_PATIENT}All the 'Replace' tags should match the existing patient main dicom tags and you"
        " should specify all Patient MainDicomTags in your query.  Try using /patients/../modify instead to"
        f" modify the patient. {which}"
    )


def _text(value: object) -> str:
    return value.rstrip(" \0") if isinstance(value, str) else ""
