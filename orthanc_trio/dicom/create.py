"""A request to create instances -> their files, in Explicit VR Little Endian. Sans-I/O; safe in any process.

Source: the Orthanc Book, "Create DICOM"; `/tools/create-dicom`.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Final
from uuid import uuid4

from msgspec import Struct

from ..model.errors import BadParameterType, BadRequest, OverriddenTag, ParameterOutOfRange, PixelsAmongTags
from ..model.resource import ResourceLevel
from .charset import Charset, charset_named, default_term
from .create_request import CreateRequest, NewInstance
from .dictionary import Dictionary
from .embedding import ENCAPSULATED_DOCUMENT, Elements, embed, is_embeddable
from .modification import PATIENT_ID, SERIES_INSTANCE_UID, SOP_INSTANCE_UID, STUDY_INSTANCE_UID
from .module import MODULES
from .new_uid import uid_of
from .new_value import Encoding, encode_new
from .part10 import EXPLICIT_LITTLE, encode_meta
from .scan import PIXEL_DATA

_CHARACTER_SET, _SOP_CLASS_UID = 0x00080005, 0x00080016
_INSTANCE_NUMBER, _IMAGES_IN_ACQUISITION = 0x00200013, 0x00201002
_TEMPORAL_POSITIONS, _IMAGE_INDEX = 0x00200105, 0x00541330
_UNICODE: Final = "ISO_IR 192"
_UNKNOWN_CLASS: Final = b"1.2.276.0.7230010.3.1.0.1"
"""What DCMTK writes into the meta information for an instance without a class."""
_SHORT_HEADER: Final = 8
_FIRST_GROUP, _FIRST_GROUP_OF_DELIMITERS = 0x0008, 0xFFFE
_DATES: Final = {
    None: (0x00080012, 0x00080020, 0x00080021, 0x00080022, 0x00080023),
    ResourceLevel.PATIENT: (0x00080012, 0x00080020, 0x00080021, 0x00080022, 0x00080023),
    ResourceLevel.STUDY: (0x00080012, 0x00080021, 0x00080022, 0x00080023),
    ResourceLevel.SERIES: (0x00080012, 0x00080022, 0x00080023),
}
"""The dates of creation, study, series, acquisition and content that are set, by the level of the parent."""
_TIMES: Final = {
    0x00080012: 0x00080013,
    0x00080020: 0x00080030,
    0x00080021: 0x00080031,
    0x00080022: 0x00080032,
    0x00080023: 0x00080033,
}
_MAY_BE_SET: Final = frozenset((PATIENT_ID, *_TIMES, *_TIMES.values()))
"""What a request sets without Force, although it has a value."""


class Parent(Struct, frozen=True):
    """The resource that instances are added to: what its first instance says, `gggg,eeee` -> value."""

    level: ResourceLevel
    tags: Mapping[str, Any]


class CreateOptions(Struct, frozen=True, kw_only=True):
    """What the server, and not the request, decides."""

    dictionary: Dictionary
    default_encoding: str
    now: datetime
    """In UTC."""


def create_files(request: CreateRequest, parent: Parent | None, options: CreateOptions) -> list[bytes]:
    """Return the Part 10 files of the instances.

    Raises BadFileFormat, BadParameterType, UnknownDicomTag and what else `encode_new` and `embed` raise;
    OverriddenTag, PixelsAmongTags, ParameterOutOfRange for an unknown character set.
    """
    draft = _Draft(request, parent, options)
    draft.set_tags(request.tags)
    return [
        draft.finish(each, index if request.is_series else None, len(request.instances))
        for index, each in enumerate(request.instances, 1)
    ]


class _Draft:
    """The elements that all instances of a request have."""

    def __init__(self, request: CreateRequest, parent: Parent | None, options: CreateOptions) -> None:
        self._request = request
        self._options = options
        self._elements: Elements = {}
        term, charset = self._character_set(parent)
        self._encoding = Encoding(
            implicit=False,
            charset=charset,
            private_creator=request.private_creator,
            dictionary=options.dictionary,
            decodes_binary=request.decodes_binary,
        )
        self._put(self._elements, PATIENT_ID, str(uuid4()))
        for tag in (STUDY_INSTANCE_UID, SERIES_INSTANCE_UID, SOP_INSTANCE_UID):
            self._put(self._elements, tag, new_uid())
        if term is not None:
            self._put(self._elements, _CHARACTER_SET, term)
        if parent is not None:
            self._inherit(parent)
        if not request.is_bare:
            self._date(parent)

    def set_tags(self, tags: Mapping[str, Any]) -> None:
        """Set the tags that all instances have."""
        self._set(self._elements, tags)

    def finish(self, instance: NewInstance, number: int | None, count: int) -> bytes:
        """Return the file of one instance, the `number`th of `count` in a series."""
        elements = dict(self._elements)
        syntax = EXPLICIT_LITTLE
        if number is not None:
            self._put(elements, SOP_INSTANCE_UID, new_uid())
        self._set(elements, instance.tags)
        if instance.content is not None:
            embedded = embed(instance.content, is_encapsulated=self._request.is_encapsulated)
            elements = {**embedded.defaults, **elements, **embedded.elements}
            syntax = embedded.transfer_syntax
        if number is not None:
            self._number(elements, number, count)
        uid, sop_class = (_short_value(elements, tag) for tag in (SOP_INSTANCE_UID, _SOP_CLASS_UID))
        meta = encode_meta(_UNKNOWN_CLASS if sop_class is None else sop_class, uid or b"", syntax)
        return b"".join((meta, *(elements[tag] for tag in sorted(elements))))

    def _character_set(self, parent: Parent | None) -> tuple[str | None, Charset]:
        """Return the value of SpecificCharacterSet, None if it is not to be set, and how text is encoded."""
        default = default_term(self._options.default_encoding)
        if parent is not None:
            return _inherited_charset(parent.tags.get("0008,0005") or default)
        number = self._options.dictionary.tag_number
        given = [value for name, value in self._request.tags.items() if number(name) == _CHARACTER_SET]
        if not given:
            return (None if self._request.is_bare else default), charset_named(default)
        if not isinstance(given[0], str):
            raise BadParameterType("Bad Parameter type for tag 0008,0005")
        return given[0], charset_named(given[0])

    def _inherit(self, parent: Parent) -> None:
        for level in ResourceLevel:
            if level <= parent.level:
                for tag in MODULES[level] & parent.tags.keys():
                    value = parent.tags[tag]
                    if value is None or isinstance(value, str):
                        self._put(self._elements, self._options.dictionary.tag_number(tag), value)

    def _date(self, parent: Parent | None) -> None:
        now = self._options.now
        for date in _DATES[parent.level if parent is not None else None]:
            self._put(self._elements, date, f"{now:%Y%m%d}")
            self._put(self._elements, _TIMES[date], f"{now:%H%M%S.%f}")

    def _set(self, elements: Elements, tags: Mapping[str, Any]) -> None:
        for tag, name in sorted(self._numbered(tags)):
            if tag not in _MAY_BE_SET and tag in elements and not self._request.is_forced:
                raise OverriddenTag(name)
            value = tags[name]
            if tag == ENCAPSULATED_DOCUMENT and is_embeddable(value):
                embedded = embed(value)
                elements |= {**embedded.defaults, **elements, **embedded.elements}
            else:
                elements[tag] = encode_new(tag, value, self._encoding)

    def _numbered(self, tags: Mapping[str, Any]) -> Iterator[tuple[int, str]]:
        for name in tags:
            tag = self._options.dictionary.tag_number(name)
            if tag == PIXEL_DATA:
                raise PixelsAmongTags
            if tag >> 16 >= _FIRST_GROUP_OF_DELIMITERS:
                raise BadRequest("The tags of items and delimiters have no value")
            # What tells the lengths of groups, or belongs to the file, is not the business of a request.
            if tag >> 16 >= _FIRST_GROUP and tag & 0xFFFF and tag != _CHARACTER_SET:
                yield tag, name

    def _number(self, elements: Elements, number: int, count: int) -> None:
        self._put(elements, _INSTANCE_NUMBER, str(number))
        self._put(elements, _IMAGE_INDEX, str(number))
        self._put(elements, _IMAGES_IN_ACQUISITION, str(count))
        self._put(elements, _TEMPORAL_POSITIONS, "1")

    def _put(self, elements: Elements, tag: int, value: str | None) -> None:
        elements[tag] = encode_new(tag, value, self._encoding._replace(decodes_binary=False))


def new_uid() -> str:
    """Return a UID that nobody has (PS3.5 §B.2)."""
    return uid_of(uuid4())


def _inherited_charset(term: str) -> tuple[str, Charset]:
    """Return the character set of a parent, or Unicode in place of several ones: it has all their letters."""
    try:
        return term, charset_named(term)
    except ParameterOutOfRange:
        return _UNICODE, charset_named(_UNICODE)


def _short_value(elements: Elements, tag: int) -> bytes | None:
    element = elements.get(tag)
    return None if element is None else element[_SHORT_HEADER:].strip(b" \0")
