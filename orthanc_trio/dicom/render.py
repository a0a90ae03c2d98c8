"""A dataset -> DICOM-as-JSON in one pass. Sans-I/O; safe in any thread.

Whatever the bytes say, this ends: depth, number of elements and length of shown values are bounded, and a
dataset that breaks off is shown as far as it goes. Source: the Orthanc Book, "DICOM-as-JSON";
`/instances/{id}/tags`.
"""

from collections.abc import Callable, Container
from contextlib import suppress
from enum import Enum
from typing import Any, NamedTuple

from ..model.errors import BadFileFormat
from .charset import Charset, charset_of, default_charset
from .dictionary import STANDARD, Dictionary, Entry, is_creator, is_private, tag_text
from .part10 import EncodedDataset, open_dataset
from .scan import (
    ITEM,
    ITEM_DELIMITER,
    MAX_DEPTH,
    PIXEL_DATA,
    UNDEFINED,
    BadEncoding,
    Header,
    NeedMoreData,
    Source,
    end_of_value,
    looks_explicit,
    read_header,
)
from .value import TEXT_VRS, effective_vr, unknown_text_of, value_of

MAX_TEXT_BYTES = 256
"""A longer value, in UTF-8, is not shown."""
MAX_ELEMENTS = 1_000_000
"""Elements and items of a dataset, nested ones included, that are shown; with more it is refused."""

_SPECIFIC_CHARACTER_SET = 0x00080005
_META_GROUP_END = 0x00030000
_DATASET_END = 1 << 32
_META_GROUP = b"\x02\x00"
_META_START = 132
_META_VERSION = ("0002,0001", "FileMetaInformationVersion")  # which Orthanc does not show
_MAX_CHARSET_BYTES = 1024
# The longest encoding of 256 bytes of UTF-8: 24 characters for each number of 8 bytes; escapes in text.
_MAX_RAW_BYTES = 16 * MAX_TEXT_BYTES


class Format(Enum):
    """The three formats, by the words that choose them."""

    HUMAN = "simplify"
    SHORT = "short"
    FULL = "full"


class Rendering(NamedTuple):
    """How to show a dataset; values of the tags in `unlimited` are shown whatever their length."""

    format: Format = Format.FULL
    default_encoding: str = "Latin1"
    unlimited: Container[int] = frozenset()
    dictionary: Dictionary = STANDARD


Tags = dict[str, Any]
"""A dataset or an item: `gggg,eeee` or name -> value, or the object of the full format."""


def render_dataset(data: bytes, total: int, how: Rendering, *, whole: bool = False) -> Tags:
    """Return the elements of a file of `total` bytes of which `data` are the first; PixelData are null.

    Elements after PixelData are only shown if `whole`. The meta information is not part of it.
    Raises BadFileFormat if this is no DICOM file, or one with too many elements.
    """
    dataset = _opened(data, total)
    renderer = _Renderer(dataset.source, how)
    # Where the head ends before PixelData do, these are what comes next.
    place = _Place(dataset.start, len(dataset.source.data), dataset.implicit, 0)
    return renderer.top_level(place, _DATASET_END if whole else PIXEL_DATA)


def render_meta(data: bytes, how: Rendering) -> Tags:
    """Return the meta information, group 0002, that a file begins with. Raises BadFileFormat as above."""
    start = _META_START if data.startswith(b"DICM", 128) else 0
    if not data.startswith(_META_GROUP, start):
        return {}
    renderer = _Renderer(Source(data, len(data)), how)
    shown = renderer.top_level(_Place(start, len(data), False, 0), _META_GROUP_END)
    for name in _META_VERSION:
        shown.pop(name, None)
    return shown


def read_sequence(
    source: Source, charset: Charset, *, implicit: bool, dictionary: Dictionary = STANDARD
) -> list[Tags]:
    """Return the items of the sequence that begins with `source`, in the full format.

    `charset` is that of the items around. Raises BadEncoding if an element runs out of the data.
    """
    renderer = _Renderer(source, Rendering(dictionary=dictionary))
    return renderer.items(_Place(0, len(source.data), implicit, 1), charset)[0]


def in_format(tags: Tags, format: Format) -> Tags:
    """Return tags of the full format in another one."""
    if format is Format.FULL:
        return tags
    is_human = format is Format.HUMAN
    return {element["Name"] if is_human else tag: _plain(element, format) for tag, element in tags.items()}


def _plain(element: Tags, format: Format) -> object:
    if element["Type"] != "Sequence":
        return element["Value"]
    return [in_format(item, format) for item in element["Value"]]


def _opened(data: bytes, total: int) -> EncodedDataset:
    try:
        return open_dataset(data, total)
    except (BadEncoding, NeedMoreData) as error:
        raise BadFileFormat("Cannot parse an invalid DICOM file") from error


class _Place(NamedTuple):
    """Where a dataset, item or sequence lies, how it is encoded, and how deep in others."""

    start: int
    limit: int
    implicit: bool
    depth: int


class _Renderer:
    def __init__(self, source: Source, how: Rendering) -> None:
        self._source = source
        self._how = how
        self._room = MAX_ELEMENTS
        self._entry_of = how.dictionary.entry_of
        self._show: Callable[[Tags, int, Entry, str, str, Any], None] = {
            Format.HUMAN: _show_human,
            Format.SHORT: _show_short,
            Format.FULL: _show_full,
        }[how.format]

    def top_level(self, place: _Place, stop_at: int) -> Tags:
        """Return a dataset as far as it can be read."""
        shown: Tags = {}
        # What cannot be read follows the dataset, or is beyond the head.
        with suppress(BadEncoding, NeedMoreData):
            self._elements(shown, place, default_charset(self._how.default_encoding), stop_at)
        return shown

    def items(self, place: _Place, charset: Charset) -> tuple[list[Tags], int]:
        """Return the items of a sequence and the place after it."""
        if place.depth > MAX_DEPTH:
            raise BadEncoding("sequences too deep")
        items: list[Tags] = []
        position, limit = place.start, place.limit
        while position + 8 <= limit:
            tag, _, length, position = read_header(self._source, position, implicit=True)
            if tag != ITEM:
                break
            self._count()
            end = limit if length == UNDEFINED else min(position + length, limit)
            implicit = place.implicit or not looks_explicit(self._source, position)
            item: Tags = {}
            position = self._elements(
                item, _Place(position, end, implicit, place.depth), charset, _DATASET_END
            )
            position = position if length == UNDEFINED else end
            items.append(item)
        return items, position

    def _elements(self, shown: Tags, place: _Place, charset: Charset, stop_at: int) -> int:
        """Show the elements of a dataset or an item; return the place after it."""
        source, outer = self._source, charset
        position = place.start
        creators: dict[int, str] = {}
        while position + 8 <= place.limit:
            header = read_header(source, position, implicit=place.implicit)
            tag = header.tag
            if tag == ITEM_DELIMITER:
                return header.start
            if tag >= stop_at:
                if tag == PIXEL_DATA:
                    self._show(shown, tag, self._entry_of(tag), "", "Null", None)
                break
            self._count()
            creator = creators.get(_block(tag), "") if tag & 0x10000 else ""
            entry = self._entry_of(tag, creator)
            if is_sequence(source, header, entry):
                position = self._sequence(shown, header, entry, place, charset)
                continue
            position = end_of_value(source, header.vr, header.length, header.start)
            if position > place.limit:
                if place.depth == 0:
                    raise source.lack(position)
                position = place.limit
            if tag == _SPECIFIC_CHARACTER_SET:
                end = min(position, header.start + _MAX_CHARSET_BYTES)
                charset = charset_of(source.data[header.start : end], outer)
            kind, value = self._value(header, position, entry, charset)
            if value is not None and header.vr != b"UN" and is_creator(tag):
                creators[tag >> 16 << 8 | tag & 0xFF] = value
            self._show(shown, tag, entry, creator, kind, value)
        return position

    def _count(self) -> None:
        self._room -= 1
        if self._room < 0:
            raise BadFileFormat("Too many elements in the dataset")

    def _sequence(self, shown: Tags, header: Header, entry: Entry, outer: _Place, charset: Charset) -> int:
        """Show a sequence; return the place after it."""
        tag, vr, length, start = header
        end = outer.limit if length == UNDEFINED else min(start + length, outer.limit)
        place = _Place(start, end, vr is None, outer.depth + 1)
        items, position = self.items(place, charset)
        self._show(shown, tag, entry, "", "Sequence", items)
        return position if length == UNDEFINED else end

    def _value(self, header: Header, end: int, entry: Entry, charset: Charset) -> tuple[str, str | None]:
        """Return the type and the value of a leaf."""
        tag, vr, length, start = header
        if tag == PIXEL_DATA or length == UNDEFINED:
            return "Null", None
        is_limited = tag not in self._how.unlimited
        if is_limited and end - start > _MAX_RAW_BYTES:
            return ("Null" if effective_vr(vr, entry.vr) in _BINARY_VRS else "TooLong"), None
        raw = self._source.data[start:end]
        value = self._text(raw, vr, entry, charset, is_private=is_private(tag))
        if value is None:
            return "Null", None
        if is_limited and len(value) > MAX_TEXT_BYTES // 4 and len(value.encode()) > MAX_TEXT_BYTES:
            return "TooLong", None
        return "String", value

    def _text(
        self, raw: bytes, vr: bytes | None, entry: Entry, charset: Charset, *, is_private: bool
    ) -> str | None:
        if vr == b"UN" and entry.vr in TEXT_VRS:
            if not is_private:
                return unknown_text_of(raw, charset)
            return unknown_text_of(raw, charset) if raw.isascii() else None
        return value_of(raw, effective_vr(vr, entry.vr), charset, self._source.order.prefix)


def is_sequence(source: Source, header: Header, entry: Entry) -> bool:
    """Tell whether the value of an element is a sequence; `entry` is what is known of its tag."""
    vr = header.vr
    if vr == b"SQ" or (vr is None and entry.vr == b"SQ"):
        return True
    if header.length != UNDEFINED or vr not in (None, b"UN"):
        return False
    return source.data.startswith(source.order.item, header.start)


def _block(tag: int) -> int:
    """Return the group of a private tag with the block that its creator reserved."""
    return tag >> 16 << 8 | (tag & 0xFFFF) >> 8


_BINARY_VRS = frozenset((b"OB", b"OW", b"UN"))


def _show_human(shown: Tags, _tag: int, entry: Entry, _creator: str, _kind: str, value: Any) -> None:
    shown[entry.name] = value


def _show_short(shown: Tags, tag: int, _entry: Entry, _creator: str, _kind: str, value: Any) -> None:
    shown[tag_text(tag)] = value


def _show_full(shown: Tags, tag: int, entry: Entry, creator: str, kind: str, value: Any) -> None:
    element = {"Name": entry.name, "Type": kind, "Value": value}
    if creator and kind != "Sequence":
        element["PrivateCreator"] = creator
    shown[tag_text(tag)] = element
