"""A resource as JSON. Source: the Orthanc Book, "REST API"; `GET /{patients,...,instances}/{id}`."""

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any

from msgspec import Struct

from ..dicom.main_sequences import sequences_of_text
from ..dicom.main_tags import IndexedTags
from ..dicom.render import Format, in_format
from ..model.resource import Attachment, Facts, Metadata, ResourceLevel
from ..services.child_files import Value
from ..services.library import Description
from ..services.numbered_names import NumberedNames
from ..services.requested_tags import Values
from ..services.series import integer, series_status
from .wire import Request

HUMAN, SHORT, FULL = "simplify", "short", "full"
"""The three formats of tags, in the order in which the switches of the URL are looked at."""

_CHILDREN = {
    ResourceLevel.PATIENT: "Studies",
    ResourceLevel.STUDY: "Series",
    ResourceLevel.SERIES: "Instances",
}
_PARENT = {
    ResourceLevel.STUDY: "ParentPatient",
    ResourceLevel.SERIES: "ParentStudy",
    ResourceLevel.INSTANCE: "ParentSeries",
}


class Content(Enum):
    """The parts of an answer that clients choose with `ResponseContent`."""

    MAIN_DICOM_TAGS = "MainDicomTags"
    METADATA = "Metadata"
    CHILDREN = "Children"
    PARENT = "Parent"
    LABELS = "Labels"
    ATTACHMENTS = "Attachments"
    STATUS = "Status"
    IS_STABLE = "IsStable"
    IS_PROTECTED = "IsProtected"
    REQUESTED_TAGS = "RequestedTags"


USUAL_CONTENT = frozenset(Content) - {Content.METADATA, Content.ATTACHMENTS}
"""What `GET /studies/{id}` shows."""


class View(Struct, frozen=True):
    """How a resource is shown."""

    format: str = HUMAN
    content: frozenset[Content] = USUAL_CONTENT
    is_partial: bool = False
    """Whether only `content` is shown, without the fields that belong to none of its parts."""
    tags: tuple[int, ...] = ()
    """The requested tags."""


class Found(Struct, frozen=True):
    """What is shown of a resource and is not in its description."""

    tags: Values | None = None
    """The values of the requested tags; None if none are requested."""
    attachments: Sequence[Attachment] = ()


class Naming(Struct, frozen=True):
    """The names that an answer shows."""

    tags: IndexedTags
    metadata: NumberedNames

    def tag(self, tag: str) -> str:
        """Return the name of `gggg,eeee`."""
        return self.tags.entry(tag).name


def tag_format(request: Request) -> str:
    """Return the format that the URL asks for: the presence of a switch is enough."""
    return next((name for name in (HUMAN, SHORT, FULL) if name in request.query), HUMAN)


def resource_json(description: Description, view: View, found: Found, naming: Naming) -> dict[str, Any]:
    """Return the JSON object of a resource with its keys in ascending order."""
    facts, content = description.facts, view.content
    shown: dict[str, Any] = {"ID": facts.id, "Type": facts.level.type_name}
    if Content.MAIN_DICOM_TAGS in content:
        shown |= _main_tags_json(facts, view.format, naming)
    if Content.LABELS in content:
        shown["Labels"] = facts.labels
    if Content.PARENT in content and facts.parent is not None:
        shown[_PARENT[facts.level]] = facts.parent
    if Content.CHILDREN in content and facts.level in _CHILDREN:
        shown[_CHILDREN[facts.level]] = facts.children
    if Content.IS_STABLE in content and facts.level is not ResourceLevel.INSTANCE:
        shown["IsStable"] = description.is_stable
    if Content.IS_PROTECTED in content and facts.level is ResourceLevel.PATIENT:
        shown["IsProtected"] = facts.is_protected
    if Content.STATUS in content and facts.level is ResourceLevel.SERIES:
        expected = facts.metadata.get(Metadata.EXPECTED_NUMBER_OF_INSTANCES)
        shown["Status"] = series_status(expected, facts.indexes_in_series)
    if Content.METADATA in content:
        named = {naming.metadata.name(number): value for number, value in facts.metadata.items()}
        shown["Metadata"] = dict(sorted(named.items()))
    if Content.ATTACHMENTS in content:
        shown["Attachments"] = [_attachment_json(attachment) for attachment in found.attachments]
    if not view.is_partial:
        shown |= _other_json(facts)
    if found.tags is not None:
        shown["RequestedTags"] = _tags_json(found.tags, view.format, naming)
    return dict(sorted(shown.items()))


def _main_tags_json(facts: Facts, format: str, naming: Naming) -> dict[str, Any]:
    values: Values = dict(facts.tags)
    sequences = facts.metadata.get(Metadata.MAIN_DICOM_SEQUENCES)
    if sequences is not None:
        values |= sequences_of_text(sequences)
    shown = {"MainDicomTags": _tags_json(values, format, naming)}
    if facts.patient_tags is not None:
        shown["PatientMainDicomTags"] = _tags_json(facts.patient_tags, format, naming)
    return shown


def _other_json(facts: Facts) -> dict[str, Any]:
    """Return what no part of the content names."""
    metadata = facts.metadata
    shown: dict[str, Any] = {}
    if facts.level is ResourceLevel.INSTANCE:
        assert facts.dicom is not None
        shown["FileSize"] = facts.dicom.uncompressed_size
        shown["FileUuid"] = facts.dicom.uuid
        shown["IndexInSeries"] = integer(metadata.get(Metadata.INDEX_IN_SERIES))
    else:
        shown["LastUpdate"] = metadata.get(Metadata.LAST_UPDATE, "")
    if facts.level is ResourceLevel.SERIES:
        shown["ExpectedNumberOfInstances"] = integer(metadata.get(Metadata.EXPECTED_NUMBER_OF_INSTANCES))
    for name, number in (
        ("ModifiedFrom", Metadata.MODIFIED_FROM),
        ("AnonymizedFrom", Metadata.ANONYMIZED_FROM),
    ):
        if number in metadata:
            shown[name] = metadata[number]
    return shown


def _attachment_json(attachment: Attachment) -> dict[str, Any]:
    return {
        "CompressedMD5": attachment.md5,
        "CompressedSize": attachment.size,
        "ContentType": attachment.type,
        "UncompressedMD5": attachment.uncompressed_md5,
        "UncompressedSize": attachment.uncompressed_size,
        "Uuid": attachment.uuid,
    }


def _tags_json(values: Mapping[str, Any], format: str, naming: Naming) -> dict[str, Any]:
    match format:
        case "short":
            shown: dict[str, Any] = {tag: _plain(value, format) for tag, value in values.items()}
        case "full":
            shown = {tag: _full_json(naming.tag(tag), value) for tag, value in values.items()}
        case _:
            shown = {naming.tag(tag): _plain(value, format) for tag, value in values.items()}
    return dict(sorted(shown.items()))


def _plain(value: Value, format: str) -> object:
    if not isinstance(value, list):
        return value
    return [in_format(item, Format(format)) for item in value]


def _full_json(name: str, value: object) -> dict[str, Any]:
    kind = "Null" if value is None else "String" if isinstance(value, str) else "Sequence"
    return {"Name": name, "Type": kind, "Value": value}
