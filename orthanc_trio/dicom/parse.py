"""The head of a DICOM file -> what the index stores of the instance. Sans-I/O; safe in any thread.

Source: the Orthanc Book, "Orthanc identifiers", "Main DICOM tags", "Metadata".
"""

import re
from collections.abc import Mapping
from math import prod
from typing import NamedTuple

from msgspec import Struct

from ..model.errors import BadFileFormat, InexistentTag
from ..model.resource import DicomIdentifiers, ResourceLevel
from ..model.tags import MAIN_DICOM_TAGS, MainDicomTags
from .charset import Charset, charset_of, default_charset
from .dictionary import STANDARD, Dictionary
from .main_sequences import Sequences, text_of_sequences
from .part10 import NATIVE, EncodedDataset, open_dataset
from .render import Tags, read_sequence
from .scan import (
    BIG,
    PIXEL_DATA,
    UNDEFINED,
    BadEncoding,
    Element,
    NeedMoreData,
    Scan,
    Source,
    read_header,
    scan,
)
from .value import MULTIPLE_TEXT_VRS, TEXT_VRS, effective_vr, text_of, unknown_text_of, value_of

__all__ = ["parse_instance", "ParsedInstance", "NeedMoreData", "ParsePlan", "DEFAULT_PLAN"]

MAX_VALUE_BYTES = 64 * 1024
"""A longer value, or sequence, is not looked at."""
MAX_SHOWN_BYTES = 256
"""A longer text, in UTF-8, is not among the main tags."""
MAX_CHARSET_BYTES = 1024
"""More of (0008,0005) is not looked at."""

_LEVELS = tuple(ResourceLevel)
_SPECIFIC_CHARACTER_SET = 0x00080005
_SOP_CLASS_UID = 0x00080016
_SOP_INSTANCE_UID = 0x00080018
_PATIENT_ID = 0x00100020
_CARDIAC_NUMBER_OF_IMAGES = 0x00181090
_STUDY_INSTANCE_UID = 0x0020000D
_SERIES_INSTANCE_UID = 0x0020000E
_INSTANCE_NUMBER = 0x00200013
_NUMBER_OF_TEMPORAL_POSITIONS = 0x00200105
_IMAGES_IN_ACQUISITION = 0x00201002
_NUMBER_OF_SLICES = 0x00540081
_NUMBER_OF_TIME_SLICES = 0x00540101
_BITS_ALLOCATED = 0x00280100
_BITS_OF_BYTE = 8
_IMAGE_INDEX = 0x00541330
_EXPECTED_NUMBERS = (
    (_IMAGES_IN_ACQUISITION, _NUMBER_OF_TEMPORAL_POSITIONS),
    (_NUMBER_OF_SLICES, _NUMBER_OF_TIME_SLICES),
    (_CARDIAC_NUMBER_OF_IMAGES,),
)


class ParsedInstance(Struct, frozen=True, kw_only=True):
    """All that ingest needs to know of one DICOM file."""

    identifiers: DicomIdentifiers
    tags: dict[ResourceLevel, dict[str, str]]
    """The main tags of all four levels: `gggg,eeee` -> value; a tag that the file lacks is absent."""
    sequences: dict[ResourceLevel, str]
    """The main tags that are sequences, as `sequences_of_text` reads them; no key if none."""
    transfer_syntax: str
    sop_class_uid: str | None
    """None if the file does not say."""
    index_in_series: str | None
    expected_number_of_instances: int | None
    pixel_data_offset: int | None
    """Offset in bytes of the element PixelData in the file; None if absent or the dataset is deflated."""
    pixel_data_vr: str | None
    """Only of native pixels, if it is not the usual one of their size."""


class _Place(NamedTuple):
    """Where the value of a main tag goes, and the VR that it has if the file does not say."""

    tag: str
    vr: bytes
    levels: tuple[int, ...]


class ParsePlan:
    """What to look for in a file: made once from a table of main tags, then shared."""

    def __init__(self, table: MainDicomTags, dictionary: Dictionary = STANDARD) -> None:
        places = {
            _SPECIFIC_CHARACTER_SET: _Place("0008,0005", b"CS", ()),
            _SOP_CLASS_UID: _Place("0008,0016", b"UI", ()),
            _BITS_ALLOCATED: _Place("0028,0100", b"US", ()),
        }
        for level, rows in table.items():
            for row in rows:
                before = places[row.number].levels if row.number in places else ()
                places[row.number] = _Place(row.tag, row.vr.encode(), (*before, int(level)))
        self.places: Mapping[int, _Place] = places
        self.dictionary = dictionary


DEFAULT_PLAN = ParsePlan(MAIN_DICOM_TAGS)


def parse_instance(
    data: bytes | memoryview,
    *,
    default_encoding: str = "Latin1",
    total_size: int | None = None,
    plan: ParsePlan = DEFAULT_PLAN,
) -> ParsedInstance:
    """Parse a Part 10 file, or its head if `total_size` is more than the size of `data`.

    The head must reach to PixelData; without pixels, or if the dataset is deflated, that is the end of the
    file. A memoryview is copied: hand over no more than the head. `default_encoding` is for a file without a
    character set. `plan` contains at least the default table.

    Raises NeedMoreData if the head is too short, BadFileFormat if this is no DICOM file, is cut off or has an
    empty UID, InexistentTag if a UID is absent, as in a DICOMDIR.
    """
    data = bytes(data)
    total = len(data) if total_size is None else total_size
    if not total:
        raise BadFileFormat("Received an empty DICOM file")
    try:
        dataset = open_dataset(data, total)
        found, pixels = _locate(dataset, plan)
        values = _read_values(dataset, found.elements, plan, default_charset(default_encoding))
    except BadEncoding as error:
        raise BadFileFormat(f"Cannot parse an invalid DICOM file (size: {total} bytes)") from error
    numbers = values.by_number
    return ParsedInstance(
        identifiers=_identifiers(numbers),
        tags=dict(zip(_LEVELS, values.tags, strict=True)),
        sequences=values.texts_of_sequences(plan.dictionary),
        transfer_syntax=dataset.transfer_syntax,
        sop_class_uid=numbers.get(_SOP_CLASS_UID),
        index_in_series=_index_in_series(numbers),
        expected_number_of_instances=_expected_number_of_instances(numbers),
        pixel_data_offset=pixels.offset,
        pixel_data_vr=pixels.vr,
    )


class _Pixels(NamedTuple):
    offset: int | None
    vr: str | None


def _locate(dataset: EncodedDataset, plan: ParsePlan) -> tuple[Scan, _Pixels]:
    try:
        found = scan(dataset.source, dataset.start, plan.places, PIXEL_DATA, implicit=dataset.implicit)
        return found, _pixels(dataset, found)
    except NeedMoreData as error:
        if dataset.is_deflated:
            # The file is there as a whole: what lacks is beyond the limit or was never written.
            raise BadEncoding("deflated dataset cut off or too large") from error
        raise


def _pixels(dataset: EncodedDataset, found: Scan) -> _Pixels:
    """Describe PixelData: the offset in the file, and the VR if that is not the standard one."""
    position = found.stop
    if position is None:
        return _Pixels(None, None)
    source = dataset.source
    tag, vr, length, start = read_header(source, position, implicit=dataset.implicit)
    if tag != PIXEL_DATA:
        return _Pixels(None, None)
    if length != UNDEFINED and start + length > source.total:
        raise BadEncoding("pixels cut off")
    standard = b"OW" if _bits_allocated(source, found) > _BITS_OF_BYTE else b"OB"
    is_usual = vr == standard or dataset.transfer_syntax not in NATIVE
    other_vr = None if vr is None or is_usual else vr.decode("ascii")
    return _Pixels(None if dataset.is_deflated else position, other_vr)


def _bits_allocated(source: Source, found: Scan) -> int:
    _, start, end = found.elements.get(_BITS_ALLOCATED, (None, 0, 0))
    value = source.data[start:end]
    return int.from_bytes(value, "big" if source.order is BIG else "little") if len(value) == 2 else 0


class _Values:
    """The values of the elements that were found: by number for our own use, and by level for the index."""

    def __init__(self) -> None:
        self.by_number: dict[int, str] = {}
        self.tags: list[dict[str, str]] = [{}, {}, {}, {}]
        self.sequences: dict[ResourceLevel, Sequences] = {}

    def add_sequence(self, place: _Place, items: list[Tags]) -> None:
        for level in place.levels:
            self.sequences.setdefault(ResourceLevel(level), {})[place.tag] = items

    def texts_of_sequences(self, dictionary: Dictionary) -> dict[ResourceLevel, str]:
        return {level: text_of_sequences(own, dictionary) for level, own in self.sequences.items()}


def _read_values(
    dataset: EncodedDataset, elements: dict[int, Element], plan: ParsePlan, default: Charset
) -> _Values:
    data, _, order = dataset.source
    charset = default
    if declared := elements.get(_SPECIFIC_CHARACTER_SET):
        charset = charset_of(data[declared[1] : min(declared[2], declared[1] + MAX_CHARSET_BYTES)], default)
    values = _Values()
    for number, (vr, start, end) in elements.items():
        if end - start > MAX_VALUE_BYTES:
            continue
        place = plan.places[number]
        if place.vr == b"SQ":
            items = _read_items(dataset, elements[number], charset, plan.dictionary)
            if items is not None:
                values.add_sequence(place, items)
            continue
        raw = data[start:end]
        if vr in MULTIPLE_TEXT_VRS:
            value: str | None = text_of(raw, charset)
        elif vr == b"UN" and place.vr in TEXT_VRS:
            value = unknown_text_of(raw, charset)
        else:
            value = value_of(raw, effective_vr(vr, place.vr), charset, order.prefix)
        if value is not None:
            values.by_number[number] = value
            if len(value) > MAX_SHOWN_BYTES // 4 and len(value.encode()) > MAX_SHOWN_BYTES:
                continue
            for level in place.levels:
                values.tags[level - 1][place.tag] = value
    return values


def _read_items(
    dataset: EncodedDataset, element: Element, charset: Charset, dictionary: Dictionary
) -> list[Tags] | None:
    """Return the items of a sequence, None if they cannot be read."""
    vr, start, end = element
    data = dataset.source.data[start:end]
    source = Source(data, len(data), dataset.source.order)
    try:
        return read_sequence(source, charset, implicit=vr is None or dataset.implicit, dictionary=dictionary)
    except BadEncoding:
        return None


def _identifiers(values: Mapping[int, str]) -> DicomIdentifiers:
    uids = [values.get(tag) for tag in (_STUDY_INSTANCE_UID, _SERIES_INSTANCE_UID, _SOP_INSTANCE_UID)]
    study, series, instance = uids
    if study is None or series is None or instance is None:
        raise InexistentTag
    if not (study and series and instance):
        raise BadFileFormat("missing StudyInstanceUID, SeriesInstanceUID or SOPInstanceUID")
    return DicomIdentifiers(values.get(_PATIENT_ID, ""), study, series, instance)


def _index_in_series(values: Mapping[int, str]) -> str | None:
    """Return the first that the file has; an InstanceNumber without a value is an index of no number."""
    if _INSTANCE_NUMBER in values:
        return values[_INSTANCE_NUMBER].strip(" ")
    return values.get(_IMAGE_INDEX, "").strip(" ") or None


def _expected_number_of_instances(values: Mapping[int, str]) -> int | None:
    """Take the first that the file has: images by positions in time, slices by slots of time, phases."""
    for factors in _EXPECTED_NUMBERS:
        if all(tag in values for tag in factors):
            return prod(_integer(values[tag]) for tag in factors) or None
    return None


def _integer(text: str) -> int:
    """Return a positive integer of sane size, else 0."""
    text = text.strip(" ")
    return int(text) if re.fullmatch("[+]?[0-9]{1,10}", text) else 0
