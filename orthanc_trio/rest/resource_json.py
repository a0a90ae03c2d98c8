"""A resource as JSON. Source: the Orthanc Book, "REST API"; `GET /{patients,...,instances}/{id}`."""

from collections.abc import Mapping
from typing import Any

import msgspec

from ..model.resource import Facts, Metadata, ResourceLevel
from ..model.tags import names
from ..services.library import Description
from ..services.series import integer, series_status
from .wire import Request

HUMAN, SHORT, FULL = "simplify", "short", "full"
"""The three formats of tags, in the order in which the switches of the URL are looked at."""

_NAMES = names()
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


def tag_format(request: Request) -> str:
    """Return the format that the URL asks for: the presence of a switch is enough."""
    return next((name for name in (HUMAN, SHORT, FULL) if name in request.query), HUMAN)


def encode_description(description: Description, format: str) -> bytes:
    """Return the JSON object of a resource, kept with its description."""
    known = description.encodings.get(format)
    if known is None:
        value = resource_json(description.facts, is_stable=description.is_stable, format=format)
        known = description.encodings[format] = msgspec.json.encode(value)
    return known


def resource_json(facts: Facts, *, is_stable: bool, format: str) -> dict[str, Any]:
    """Return the JSON object of a resource with its keys in ascending order."""
    metadata = facts.metadata
    view: dict[str, Any] = {
        "ID": facts.id,
        "Labels": facts.labels,
        "MainDicomTags": _tags_json(facts.tags, metadata.get(Metadata.MAIN_DICOM_SEQUENCES), format),
        "Type": facts.level.type_name,
    }
    if facts.parent is not None:
        view[_PARENT[facts.level]] = facts.parent
    if facts.level is ResourceLevel.INSTANCE:
        view |= _instance_json(facts)
    else:
        view[_CHILDREN[facts.level]] = facts.children
        view["IsStable"] = is_stable
        view["LastUpdate"] = metadata.get(Metadata.LAST_UPDATE, "")
    if facts.level is ResourceLevel.PATIENT:
        view["IsProtected"] = facts.is_protected
    if facts.patient_tags is not None:
        view["PatientMainDicomTags"] = _tags_json(facts.patient_tags, None, format)
    if facts.level is ResourceLevel.SERIES:
        view |= _series_json(facts)
    for name, number in (
        ("ModifiedFrom", Metadata.MODIFIED_FROM),
        ("AnonymizedFrom", Metadata.ANONYMIZED_FROM),
    ):
        if number in metadata:
            view[name] = metadata[number]
    return dict(sorted(view.items()))


def _instance_json(facts: Facts) -> dict[str, Any]:
    assert facts.dicom is not None
    return {
        "FileSize": facts.dicom.uncompressed_size,
        "FileUuid": facts.dicom.uuid,
        "IndexInSeries": integer(facts.metadata.get(Metadata.INDEX_IN_SERIES)),
    }


def _series_json(facts: Facts) -> dict[str, Any]:
    expected = facts.metadata.get(Metadata.EXPECTED_NUMBER_OF_INSTANCES)
    return {
        "ExpectedNumberOfInstances": integer(expected),
        "Status": series_status(expected, facts.indexes_in_series),
    }


def _tags_json(tags: Mapping[str, str], sequences: str | None, format: str) -> dict[str, Any]:
    values: dict[str, Any] = dict(tags)
    if sequences is not None:
        values |= msgspec.json.decode(sequences)
    match format:
        case "short":
            shown = values
        case "full":
            shown = {tag: _full_json(tag, value) for tag, value in values.items()}
        case _:
            shown = {_NAMES.get(tag, tag): value for tag, value in values.items()}
    return dict(sorted(shown.items()))


def _full_json(tag: str, value: object) -> dict[str, Any]:
    kind = "String" if isinstance(value, str) else "Sequence"
    return {"Name": _NAMES.get(tag, tag), "Type": kind, "Value": value}
