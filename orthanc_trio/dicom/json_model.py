"""A whole file as the DICOM JSON Model (PS3.18 Annex F) or the Native DICOM Model in XML (PS3.19 Annex A).

Sans-I/O; safe in any thread. Binary values are inline, in little endian. As in Orthanc 1.13.0 the numbers of
OW, OF, OD, OL and OV are an array, except for PixelData, and encapsulated PixelData are left out.
"""

from base64 import b64encode
from collections.abc import Iterator
from math import isfinite
from struct import iter_unpack
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from ..model.errors import BadFileFormat
from .charset import Charset, charset_of, default_charset
from .content import Ends, Place, elements, items, leaf_of, read_leaf
from .dictionary import UNKNOWN_NAME, Dictionary, Entry, is_creator
from .part10 import open_dataset
from .render import MAX_ELEMENTS, is_sequence
from .scan import PIXEL_DATA, UNDEFINED, BadEncoding, Header, NeedMoreData, Source
from .value import MULTIPLE_TEXT_VRS, TEXT_VRS, effective_vr, value_of

Model = dict[str, Any]
"""A dataset or an item: tag in eight capital digits -> object with `vr` and `Value` or `InlineBinary`."""

_SPECIFIC_CHARACTER_SET = 0x00080005
_NUMBERS = {
    b"US": "<H",
    b"SS": "<h",
    b"OW": "<H",
    b"UL": "<L",
    b"SL": "<l",
    b"OL": "<L",
    b"UV": "<Q",
    b"SV": "<q",
    b"OV": "<Q",
    b"FL": "<f",
    b"OF": "<f",
    b"FD": "<d",
    b"OD": "<d",
}
_SIZES = {"H": 2, "h": 2, "L": 4, "l": 4, "f": 4, "Q": 8, "q": 8, "d": 8}
_MAX_DIGITS = 12
_SPLIT_VRS = MULTIPLE_TEXT_VRS - {b"UR"}
_GROUPS = ("Alphabetic", "Ideographic", "Phonetic")
_COMPONENTS = ("FamilyName", "GivenName", "MiddleName", "NamePrefix", "NameSuffix")
_XML_HEAD = (
    '<?xml version="1.0" encoding="utf-8"?>\n'
    '<NativeDicomModel xmlns="http://dicom.nema.org/PS3.19/models/NativeDICOM"'
    ' xsi:schemaLocation="http://dicom.nema.org/PS3.19/models/NativeDICOM"'
    ' xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">\n'
)
# What XML 1.0 does not allow in a document, not even escaped.
_NOT_XML = dict.fromkeys([*(set(range(0x20)) - {0x09, 0x0A, 0x0D}), 0xFFFE, 0xFFFF])


def json_model(data: bytes, default_encoding: str, dictionary: Dictionary) -> Model:
    """Return the JSON model of a file.

    Raises BadFileFormat if this is no DICOM file, or one with too many elements.
    """
    try:
        dataset = open_dataset(data, len(data))
    except (BadEncoding, NeedMoreData) as error:
        raise BadFileFormat("Cannot parse an invalid DICOM file") from error
    place = Place(dataset.start, len(dataset.source.data), dataset.implicit)
    return _Reader(dataset.source, dictionary).dataset(place, default_charset(default_encoding))


def xml_of(model: Model, dictionary: Dictionary) -> str:
    """Return a JSON model as an XML document."""
    return _XML_HEAD + "".join(_attributes(model, dictionary, "  ")) + "</NativeDicomModel>\n"


class _Reader:
    def __init__(self, source: Source, dictionary: Dictionary) -> None:
        self._source = source
        self._dictionary = dictionary
        self._room = MAX_ELEMENTS
        self._ends: Ends = {}

    def dataset(self, place: Place, charset: Charset) -> Model:
        """Return a dataset or an item, as far as it can be read."""
        shown: Model = {}
        outer = charset
        creators: dict[int, str] = {}
        for header, end in elements(self._source, place, self._ends):
            self._count()
            tag = header.tag
            if tag & 0xFFFF == 0 or (tag == PIXEL_DATA and header.length == UNDEFINED):
                continue
            entry = self._dictionary.entry_of(tag, creators.get(tag >> 8, "") if tag & 0x10000 else "")
            if is_sequence(self._source, header, entry):
                shown[f"{tag:08X}"] = self._sequence(header, end, place, charset)
                continue
            raw = read_leaf(self._source, leaf_of(self._source, header, end, entry))
            if tag == _SPECIFIC_CHARACTER_SET:
                charset = charset_of(raw, outer)
            if is_creator(tag):
                creators[tag >> 16 << 8 | tag & 0xFF] = value_of(raw, b"LO", charset) or ""
            shown[f"{tag:08X}"] = _leaf(tag, raw, _vr_of(header, entry), charset)
        return shown

    def _sequence(self, header: Header, end: int, place: Place, charset: Charset) -> Model:
        implicit = place.implicit or header.vr is None
        found = []
        for item in items(self._source, header.start, end, self._ends, implicit=implicit):
            self._count()
            found.append(self.dataset(item, charset))
        return {"vr": "SQ", "Value": found} if found else {"vr": "SQ"}

    def _count(self) -> None:
        self._room -= 1
        if self._room < 0:
            raise BadFileFormat("Too many elements in the dataset")


def _vr_of(header: Header, entry: Entry) -> bytes:
    if header.tag == PIXEL_DATA and header.vr is None:
        return b"OW"  # whatever the size of the pixels (PS3.5 §A.1)
    return effective_vr(header.vr, entry.vr)


def _leaf(tag: int, raw: bytes, vr: bytes, charset: Charset) -> Model:
    shown: Model = {"vr": vr.decode("ascii")}
    values: list[Any] = []
    if vr in TEXT_VRS:
        values = _texts(value_of(raw, vr, charset) or "", vr)
    elif vr == b"AT":
        pairs = iter_unpack("<HH", raw[: len(raw) // 4 * 4])
        values = [f"{group:04X}{element:04X}" for group, element in pairs]
    elif vr in _NUMBERS and tag != PIXEL_DATA:
        values = _numbers(raw, _NUMBERS[vr])
    elif raw:
        shown["InlineBinary"] = b64encode(raw).decode("ascii")
    if values:
        shown["Value"] = values
    return shown


def _numbers(raw: bytes, form: str) -> list[int | float | None]:
    """Return numbers; None for one that JSON does not have."""
    size = _SIZES[form[1]]
    found = (number for (number,) in iter_unpack(form, raw[: len(raw) // size * size]))
    return [number if isfinite(number) else None for number in found]


def _texts(text: str, vr: bytes) -> list[Any]:
    """Return the values of a text; None for an empty one, and no number that is none."""
    if not text:
        return []
    parts = text.split("\\") if vr in _SPLIT_VRS else [text]
    shown = [_text(part, vr) if part else None for part in parts]
    return [value for value, part in zip(shown, parts, strict=True) if value is not None or not part]


def _text(text: str, vr: bytes) -> object:
    match vr:
        case b"PN":
            groups = zip(_GROUPS, text.split("="), strict=False)
            return {name: group for name, group in groups if group}
        case b"IS":
            return _integer(text)
        case b"DS":
            return text.strip(" ") if _is_decimal(text) else None
    return text


def _integer(text: str) -> int | None:
    digits = text.strip(" ").removeprefix("+")
    is_number = digits.removeprefix("-").isdigit() and digits.isascii() and len(digits) <= _MAX_DIGITS
    return int(digits) if is_number else None


def _is_decimal(text: str) -> bool:
    try:
        return isfinite(float(text)) and "_" not in text
    except ValueError:
        return False


def _attributes(model: Model, dictionary: Dictionary, indent: str) -> Iterator[str]:
    for tag, shown in sorted(model.items()):
        name = dictionary.entry_of(int(tag, 16)).name
        keyword = "" if name == UNKNOWN_NAME else f" keyword={quoteattr(name)}"
        head = f'{indent}<DicomAttribute tag="{tag}" vr="{shown["vr"]}"{keyword}'
        lines = list(_values(shown, dictionary, indent + "  "))
        if lines:
            yield f"{head}>\n{''.join(lines)}{indent}</DicomAttribute>\n"
        else:
            yield f"{head} />\n"


def _values(shown: Model, dictionary: Dictionary, indent: str) -> Iterator[str]:
    if "InlineBinary" in shown:
        yield f"{indent}<InlineBinary>{shown['InlineBinary']}</InlineBinary>\n"
    for number, value in enumerate(shown.get("Value", ()), 1):
        if shown["vr"] == "SQ":
            yield f'{indent}<Item number="{number}">\n'
            yield from _attributes(value, dictionary, indent + "  ")
            yield f"{indent}</Item>\n"
        elif isinstance(value, dict):
            yield f'{indent}<PersonName number="{number}">\n'
            yield from _name(value, indent + "  ")
            yield f"{indent}</PersonName>\n"
        else:
            yield f'{indent}<Value number="{number}">{_xml_text(value)}</Value>\n'


def _xml_text(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.17g}"
    return "" if value is None else escape(str(value).translate(_NOT_XML))


def _name(groups: dict[str, str], indent: str) -> Iterator[str]:
    for name, group in groups.items():
        yield f"{indent}<{name}>\n"
        for component, part in zip(_COMPONENTS, group.split("^"), strict=False):
            if part:
                yield f"{indent}  <{component}>{escape(part.translate(_NOT_XML))}</{component}>\n"
        yield f"{indent}</{name}>\n"
