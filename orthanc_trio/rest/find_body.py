"""The body of `/tools/find` and `/tools/count-resources`, with the errors that Orthanc gives.

Source: the Orthanc Book, "Finding resources"; the texts are those of the server.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import Struct

from ..dicom.main_tags import IndexedTags
from ..dicom.match import criterion_of_text
from ..index.query import (
    Condition,
    FindRequest,
    LabelsCondition,
    LabelsConstraint,
    MetadataKey,
    Order,
    OrderType,
)
from ..model.errors import BadRequest, BadSequenceOfCalls, ParameterOutOfRange
from ..model.resource import ResourceLevel
from ..services.finder import Finder, Search
from ..services.numbered_names import NumberedNames
from .bodies import declared
from .describing import requested
from .fields import Fields, decode_json
from .resource_json import FULL, HUMAN, SHORT, USUAL_CONTENT, Content, View

MAX_BODY_BYTES = 1 << 20
_MAX_CRITERIA = 200
_NOT_AN_OBJECT = "The body must contain a JSON object"

_LEVELS = {name: level for level in ResourceLevel for name in (level.type_name.lower(), level.collection)} | {
    "image": ResourceLevel.INSTANCE,
    "images": ResourceLevel.INSTANCE,
}
_PARENTS = {
    "ParentPatient": ResourceLevel.PATIENT,
    "ParentStudy": ResourceLevel.STUDY,
    "ParentSeries": ResourceLevel.SERIES,
}
_ORDER_TYPES = {"": OrderType.TEXT, "AsInt": OrderType.INTEGER, "AsFloat": OrderType.FLOAT}
_CONSTRAINTS = {constraint.value: constraint for constraint in LabelsConstraint}
_CONTENTS = {content.value: content for content in Content}


class FindQuestion(Struct, frozen=True):
    """What a client asks: the search, and how it wants the answer."""

    search: Search
    view: View | None
    """None for identifiers alone."""


def read_object(body: bytes, shape: type[Struct], most_bytes: int = MAX_BODY_BYTES) -> dict[str, Any]:
    """Return the members of a body that `shape` declares.

    Raises BadRequest if it is no JSON object, or too large.
    """
    if len(body) > most_bytes:
        raise BadRequest(f"The body has more than {most_bytes} bytes")
    members = decode_json(body, BadRequest(_NOT_AN_OBJECT))
    if not isinstance(members, dict):
        raise BadRequest(_NOT_AN_OBJECT)
    return declared(members, shape)


def level_of(name: str) -> ResourceLevel:
    """Return the level of a word of the API, in any case, singular or plural. Raises ParameterOutOfRange."""
    level = _LEVELS.get(name.lower())
    if level is None:
        raise ParameterOutOfRange(f"Invalid resource type '{name}'")
    return level


def format_of(members: Mapping[str, Any]) -> str:
    """Return the format of tags that the members choose. Raises BadFileFormat for one that is no Boolean."""
    fields = Fields(members)
    switches = {"Simplify": HUMAN, "Short": SHORT, "Full": FULL}
    chosen = [format for name, format in switches.items() if fields.boolean(name, False)]
    return chosen[0] if chosen else HUMAN


class FindReader:
    """Reads questions with the names that a server knows."""

    def __init__(self, finder: Finder, tags: IndexedTags, metadata: NumberedNames) -> None:
        self._finder = finder
        self._indexed = tags
        self._metadata = metadata

    def find(self, members: Mapping[str, Any]) -> FindQuestion:
        """Read the body of `/tools/find`. Raises errors of the tree for what it cannot be."""
        is_exact = _boolean(members, "CaseSensitive")
        level = self._level(members)
        request = FindRequest(
            level=level,
            conditions=tuple(self._metadata_conditions(members, is_exact=is_exact)),
            labels=_labels(members),
            within=_within(members, level),
            order=tuple(self._orders(members, level)),
            since=_count(members, "Since"),
            limit=_count(members, "Limit") or None,
        )
        search = self._finder.plan(request, self._tags(members), is_exact=is_exact)
        return FindQuestion(search, self._view(members, search))

    def count(self, members: Mapping[str, Any]) -> Search:
        """Read the body of `/tools/count-resources`, which passes over what does not filter."""
        level = self._level(members)
        request = FindRequest(
            level=level,
            conditions=tuple(self._metadata_conditions(members, is_exact=False)),
            labels=_labels(members),
            within=_within(members, level),
        )
        if _boolean(members, "CaseSensitive"):
            raise ParameterOutOfRange(
                'Setting "CaseSensitive" to "true" is not supported by /tools/count-resources'
            )
        search = self._finder.plan(request, self._tags(members), is_exact=False)
        if not search.is_of_index:
            raise BadRequest(
                "Unable to count resources when querying tags that are not stored as MainDicomTags in the"
                " Database or when using case sensitive queries."
            )
        return search

    def _level(self, members: Mapping[str, Any]) -> ResourceLevel:
        name = members.get("Level")
        if not isinstance(name, str):
            raise BadRequest('Field "Level" is missing, or should be a string')
        if not isinstance(members.get("Query"), dict):
            raise BadRequest('Field "Query" is missing, or should be a JSON object')
        return level_of(name)

    def _tags(self, members: Mapping[str, Any]) -> Iterator[tuple[int, str]]:
        for name, text in _texts(members["Query"]):
            if text:  # else as if it were not there, even if there is no such tag
                yield self._indexed.number(name), text

    def _metadata_conditions(self, members: Mapping[str, Any], *, is_exact: bool) -> Iterator[Condition]:
        query = members.get("MetadataQuery", {})
        if not isinstance(query, dict):
            raise BadRequest('Field "MetadataQuery" must be an JSON object')
        for name, text in _texts(query):
            key = MetadataKey(self._metadata.number(name))
            criterion = criterion_of_text(text)
            if criterion is not None:
                yield Condition(key, criterion, is_exact)

    def _orders(self, members: Mapping[str, Any], level: ResourceLevel) -> Iterator[Order]:
        orders = _array(members, "OrderBy")
        for order in orders:
            if not isinstance(order, dict):
                raise BadRequest('Field "OrderBy" must contain objects')
            yield self._order(order, level)

    def _order(self, order: Mapping[str, Any], level: ResourceLevel) -> Order:
        name, kind = order.get("Key"), order.get("Type")
        if not isinstance(name, str):
            raise BadRequest('Field "Key" must be a string')
        direction = order.get("Direction")
        if not isinstance(direction, str) or direction.upper() not in ("ASC", "DESC"):
            raise BadRequest('Field "Direction" must be "ASC" or "DESC"')
        is_descending = direction.upper() == "DESC"
        if isinstance(kind, str):
            if (type := _ORDER_TYPES.get(kind.removeprefix("DicomTag"))) and kind.startswith("DicomTag"):
                key = self._finder.order_key(self._indexed.number(name), level)
                return Order(key, type, is_descending)
            if (type := _ORDER_TYPES.get(kind.removeprefix("Metadata"))) and kind.startswith("Metadata"):
                return Order(MetadataKey(self._metadata.number(name)), type, is_descending)
        raise BadRequest(
            'Field "Type" must be "DicomTag", "DicomTagAsInt", "DicomTagAsFloat" or "Metadata",'
            ' "MetadataAsInt", "MetadataAsFloat"'
        )

    def _view(self, members: Mapping[str, Any], search: Search) -> View | None:
        names = _array(members, "RequestedTags")
        tags = [self._indexed.number(name if isinstance(name, str) else str(name)) for name in names]
        format = format_of(members)
        is_expanded = bool(members.get("Expand", False))
        content, is_partial = USUAL_CONTENT, "ResponseContent" in members
        if is_partial:
            content = frozenset(_content(name) for name in _array(members, "ResponseContent"))
        if not (is_expanded or is_partial):
            return None
        return View(format, content, is_partial, requested([*tags, *search.shown_tags]))


def _content(name: object) -> Content:
    content = _CONTENTS.get(name) if isinstance(name, str) else None
    if content is None:
        raise ParameterOutOfRange(f'Unrecognized value for "ResponseContent": {name}')
    return content


def content_of_url(text: str) -> frozenset[Content]:
    """Return the parts that `response-content` names, separated by `;`. Raises ParameterOutOfRange."""
    return frozenset(_content(name) for name in text.split(";") if name)


def _texts(query: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if len(query) > _MAX_CRITERIA:
        raise BadRequest(f"More than {_MAX_CRITERIA} criteria")
    for name, text in query.items():
        if not isinstance(text, str):
            raise BadRequest(f'Tag "{name}" must be associated with a string')
        if not _is_unicode(text):
            raise BadRequest(f'Tag "{name}" must be associated with valid Unicode')
        yield name, text


def _is_unicode(text: str) -> bool:
    """Tell whether a text has no half of a surrogate pair, which no database takes."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _boolean(members: Mapping[str, Any], name: str) -> bool:
    value = members.get(name, False)
    if not isinstance(value, bool):
        raise BadRequest(f'Field "{name}" must be a Boolean')
    return value


def _count(members: Mapping[str, Any], name: str) -> int:
    value = members.get(name, 0)
    if not isinstance(value, int) or isinstance(value, bool):
        raise BadRequest(f'Field "{name}" must be an integer')
    if value < 0:
        raise ParameterOutOfRange(f'Field "{name}" must be a positive integer')
    return value


def _array(members: Mapping[str, Any], name: str) -> list[Any]:
    value = members.get(name, [])
    if not isinstance(value, list):
        raise BadRequest(f'Field "{name}" must be an array')
    if len(value) > _MAX_CRITERIA:
        raise BadRequest(f'Field "{name}" has more than {_MAX_CRITERIA} items')
    return value


def _labels(members: Mapping[str, Any]) -> LabelsCondition | None:
    labels = members.get("Labels", [])
    if not isinstance(labels, list):
        raise BadRequest('Field "Labels" must be an array of strings')
    if not all(isinstance(label, str) for label in labels):
        raise BadRequest('Field "Labels" must contain strings')
    given = members.get("LabelsConstraint", "All")
    if not isinstance(given, str):
        raise BadRequest('Field "LabelsConstraint" must be an array of strings')
    constraint = _CONSTRAINTS.get(given)
    if constraint is None:
        raise BadRequest('Field "LabelsConstraint" must be "All", "Any", or "None"')
    if not labels and constraint is not LabelsConstraint.NONE:
        return None
    return LabelsCondition(tuple(labels), constraint)


def _within(members: Mapping[str, Any], level: ResourceLevel) -> tuple[tuple[ResourceLevel, str], ...]:
    within = []
    for name, parent in _PARENTS.items():
        if name in members:
            id = members[name]
            if not isinstance(id, str):
                raise BadRequest(f'Field "{name}" must be a string')
            if parent > level:
                raise BadSequenceOfCalls
            within.append((parent, id if _is_unicode(id) else ""))
    return tuple(within)
