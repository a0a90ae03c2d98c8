"""The DICOMDIR of a media: heads of DICOM files -> leaves, leaves -> the bytes of the directory.

Each leaf carries the encoded records of one file, so that a directory of many files is only concatenated and
linked. Records may stand in any order in the file; offsets link them.
Source: PS3.3 Annex F, PS3.10 §7.1 and §8.6.
"""

from datetime import UTC, datetime
from struct import Struct as Layout

from msgspec import Struct

from ..model.errors import BadFileFormat
from .charset import charset_of, default_charset
from .part10 import EXPLICIT_LITTLE, IMPLEMENTATION, open_dataset
from .scan import BadEncoding, Element, NeedMoreData, scan
from .value import text_of

__all__ = ["make_leaf", "Leaf", "Directory", "NeedMoreData"]

_MAX_VALUE_BYTES = 1024
_MEDIA_STORAGE_DIRECTORY = "1.2.840.10008.1.3.10"

_CHARSET, _SOP_CLASS, _SOP_INSTANCE = 0x00080005, 0x00080016, 0x00080018
_STUDY, _SERIES = 0x0020000D, 0x0020000E
_PATIENT_ID, _PATIENT_NAME = 0x00100020, 0x00100010
_ACCESSION_NUMBER, _STUDY_DESCRIPTION, _STUDY_ID = 0x00080050, 0x00081030, 0x00200010
_MODALITY, _SERIES_DESCRIPTION, _SERIES_NUMBER = 0x00080060, 0x0008103E, 0x00200011
_INSTANCE_NUMBER = 0x00200013
# The date of the study, or else of the series, the acquisition, the content; the times alike.
_DATES = (0x00080020, 0x00080021, 0x00080022, 0x00080023)
_TIMES = (0x00080030, 0x00080031, 0x00080032, 0x00080033)
_WANTED = frozenset(
    (_CHARSET, _SOP_CLASS, _SOP_INSTANCE, _STUDY, _SERIES, _PATIENT_ID, _PATIENT_NAME, _ACCESSION_NUMBER)
    + (_STUDY_DESCRIPTION, _STUDY_ID, _MODALITY, _SERIES_DESCRIPTION, _SERIES_NUMBER, _INSTANCE_NUMBER)
    + (_DATES + _TIMES)
)
_STOP_AT = _INSTANCE_NUMBER + 1
_DEFAULT_CHARSET = default_charset("Latin1")

_ELEMENT = Layout("<HH2sH")
_LONG_ELEMENT = Layout("<HH2sHL")
_UNDEFINED = 0xFFFFFFFF
_NEXT_PLACE, _LOWER_PLACE = 16, 38  # from the start of an item to the values of its two links
_ITEM_START = b"\xfe\xff\x00\xe0\xff\xff\xff\xff"
_ITEM_END = b"\xfe\xff\x0d\xe0\x00\x00\x00\x00"
_SEQUENCE_END = b"\xfe\xff\xdd\xe0\x00\x00\x00\x00"
_LINK = Layout("<L")


class Leaf(Struct, frozen=True, array_like=True):
    """What one file adds to the directory: a record for each level, as (key, encoded elements)."""

    patient: tuple[str, bytes]
    study: tuple[str, bytes]
    series: tuple[str, bytes]
    image: tuple[str, bytes]


def make_leaf(head: bytes, total: int, file_id: str, *, is_extended: bool, now: datetime) -> Leaf:
    """Read what the directory says of a file of `total` bytes, of which `head` are the first.

    `file_id` is its path with backslashes. `now` stands in for a missing date, in UTC.
    Raises NeedMoreData if the head is too short, BadFileFormat if it is no DICOM file or lacks a UID.
    """
    try:
        dataset = open_dataset(head, total)
        found = scan(dataset.source, dataset.start, _WANTED, _STOP_AT, implicit=dataset.implicit)
    except BadEncoding as error:
        raise BadFileFormat("A file of the media cannot be parsed") from error
    return _leaf(
        _Values(dataset.source.data, found.elements), file_id, dataset.transfer_syntax, is_extended, now
    )


class _Values:
    """The values of one file as ASCII text."""

    def __init__(self, data: bytes, elements: dict[int, Element]) -> None:
        self._data = data
        self._elements = elements
        self._charset = charset_of(self._raw(_CHARSET), _DEFAULT_CHARSET)

    def __contains__(self, tag: int) -> bool:
        return tag in self._elements

    def whole_text(self, tag: int) -> str:
        """Return a value without the padding at its end; empty if missing."""
        return text_of(self._raw(tag), self._charset) if tag in self._elements else ""

    def text(self, tag: int) -> str:
        """Return a value without the padding at its end and without what is not printable ASCII."""
        text = self.whole_text(tag)
        if text.isascii() and text.isprintable():
            return text
        return "".join(c for c in text if " " <= c <= "~").rstrip()

    def uid(self, tag: int) -> str:
        """Return a UID. Raises BadFileFormat if it is missing."""
        value = self.text(tag).strip()
        if not value:
            raise BadFileFormat("A file of the media lacks a unique identifier")
        return value

    def first(self, tags: tuple[int, ...], default: str) -> str:
        """Return the first of several values that is not empty."""
        return next(filter(None, map(self.text, tags)), default)

    def _raw(self, tag: int) -> bytes:
        _, start, end = self._elements.get(tag, (None, 0, 0))
        return self._data[start : min(end, start + _MAX_VALUE_BYTES)]


def _leaf(values: _Values, file_id: str, syntax: str, is_extended: bool, now: datetime) -> Leaf:
    charset = _element_if_given(_CHARSET, b"CS", values.text(_CHARSET))
    patient_id, sop_class = values.whole_text(_PATIENT_ID), values.uid(_SOP_CLASS)
    study, series, image = values.uid(_STUDY), values.uid(_SERIES), values.uid(_SOP_INSTANCE)
    reference = (
        _element(0x00041500, b"CS", file_id)
        + _element(0x00041510, b"UI", sop_class)
        + _element(0x00041511, b"UI", image)
        + _element(0x00041512, b"UI", syntax)
    )
    return Leaf(
        patient=(patient_id, charset + _patient_elements(values)),
        study=(study, charset + _study_elements(values, study, now)),
        series=(series, charset + _series_elements(values, series, is_extended)),
        image=(image, reference + charset + _element(_INSTANCE_NUMBER, b"IS", values.text(_INSTANCE_NUMBER))),
    )


def _patient_elements(values: _Values) -> bytes:
    name = _element(_PATIENT_NAME, b"PN", values.text(_PATIENT_NAME))
    if not values.whole_text(_PATIENT_ID):
        return name
    # One of other characters than ASCII only is there, but empty.
    return name + _element(_PATIENT_ID, b"LO", values.text(_PATIENT_ID))


def _study_elements(values: _Values, uid: str, now: datetime) -> bytes:
    moment = now.astimezone(UTC)
    return b"".join(
        (
            _element(_DATES[0], b"DA", values.first(_DATES, moment.strftime("%Y%m%d"))),
            _element(_TIMES[0], b"TM", values.first(_TIMES, moment.strftime("%H%M%S"))),
            _element(_ACCESSION_NUMBER, b"SH", values.text(_ACCESSION_NUMBER)),
            _element(_STUDY_DESCRIPTION, b"LO", values.text(_STUDY_DESCRIPTION)),
            _element(_STUDY, b"UI", uid),
            _element_if_given(_STUDY_ID, b"SH", values.text(_STUDY_ID)),
        )
    )


def _series_elements(values: _Values, uid: str, is_extended: bool) -> bytes:
    description = b""
    if is_extended and _SERIES_DESCRIPTION in values:
        description = _element(_SERIES_DESCRIPTION, b"LO", values.text(_SERIES_DESCRIPTION))
    return b"".join(
        (
            _element(_MODALITY, b"CS", values.text(_MODALITY)),
            description,
            _element(_SERIES, b"UI", uid),
            _element_if_given(_SERIES_NUMBER, b"IS", values.text(_SERIES_NUMBER)),
        )
    )


def _element(tag: int, vr: bytes, text: str) -> bytes:
    value = text.encode("ascii", "ignore")
    if len(value) % 2:
        value += b"\0" if vr == b"UI" else b" "
    return _ELEMENT.pack(tag >> 16, tag & 0xFFFF, vr, len(value)) + value


def _element_if_given(tag: int, vr: bytes, text: str) -> bytes:
    return _element(tag, vr, text) if text else b""


def _number(tag: int, vr: bytes, value: int) -> bytes:
    size = 4 if vr == b"UL" else 2
    return _ELEMENT.pack(tag >> 16, tag & 0xFFFF, vr, size) + value.to_bytes(size, "little")


class _Entity:
    """A list of records: the children of one record, or the roots."""

    def __init__(self, first_place: int) -> None:
        self.first_place = first_place
        self.last_offset = 0


class Directory:
    """A DICOMDIR in the making, in memory: some 300 bytes for each file."""

    def __init__(self, uid: str) -> None:
        """Begin an empty directory with the SOP Instance UID `uid`."""
        self._data = bytearray(_file_head(uid))
        self._data += _element(0x00041130, b"CS", "ORTHANC_MEDIA")
        self._root = _Entity(len(self._data) + _ELEMENT.size)
        self._data += _number(0x00041200, b"UL", 0)
        self._last_place = len(self._data) + _ELEMENT.size
        self._data += _number(0x00041202, b"UL", 0) + _number(0x00041212, b"US", 0)
        self._data += _LONG_ELEMENT.pack(0x0004, 0x1220, b"SQ", 0, _UNDEFINED)
        self._known: dict[tuple[bytes, str], _Entity] = {}

    def add(self, leaf: Leaf) -> None:
        """Add one file; of records with the same key at the same level only the first is kept."""
        patient = self._enter(self._root, b"PATIENT ", leaf.patient)
        study = self._enter(patient, b"STUDY ", leaf.study)
        series = self._enter(study, b"SERIES", leaf.series)
        self._enter(series, b"IMAGE ", leaf.image)

    def finish(self) -> bytearray:
        """Return the file. Nothing can be added after that."""
        _LINK.pack_into(self._data, self._last_place, self._root.last_offset)
        self._data += _SEQUENCE_END
        return self._data

    def _enter(self, parent: _Entity, type: bytes, record: tuple[str, bytes]) -> _Entity:
        key, elements = record
        entity = self._known.get((type, key))
        if entity is None:
            offset = self._append(type, elements)
            before = parent.last_offset
            _LINK.pack_into(self._data, before + _NEXT_PLACE if before else parent.first_place, offset)
            parent.last_offset = offset
            entity = self._known[type, key] = _Entity(offset + _LOWER_PLACE)
        return entity

    def _append(self, type: bytes, elements: bytes) -> int:
        offset = len(self._data)
        self._data += _ITEM_START
        self._data += _number(0x00041400, b"UL", 0)
        self._data += _number(0x00041410, b"US", 0xFFFF)
        self._data += _number(0x00041420, b"UL", 0)
        self._data += _ELEMENT.pack(0x0004, 0x1430, b"CS", len(type)) + type
        self._data += elements + _ITEM_END
        return offset


def _file_head(uid: str) -> bytes:
    meta = b"".join(
        (
            _LONG_ELEMENT.pack(0x0002, 0x0001, b"OB", 0, 2) + b"\0\1",
            _element(0x00020002, b"UI", _MEDIA_STORAGE_DIRECTORY),
            _element(0x00020003, b"UI", uid),
            _element(0x00020010, b"UI", EXPLICIT_LITTLE),
            _element(0x00020012, b"UI", IMPLEMENTATION),
        )
    )
    return bytes(128) + b"DICM" + _number(0x00020000, b"UL", len(meta)) + meta
