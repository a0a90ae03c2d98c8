"""A sequence -> Orthanc's human-readable JSON. Only this part of ingest needs pydicom: its dictionary.

Source: the Orthanc Book, "DICOM-as-JSON", format `simplify`.
"""

from pydicom.datadict import dictionary_has_tag, dictionary_is_retired, dictionary_keyword, dictionary_VR

from .charset import Charset, charset_of
from .scan import (
    ITEM,
    ITEM_DELIMITER,
    UNDEFINED,
    Header,
    Source,
    end_of_value,
    looks_explicit,
    read_header,
)
from .value import effective_vr, value_of

Item = dict[str, object]
"""Keyword -> text, None for a value without a textual form, or a list of items."""

MAX_TEXT_BYTES = 256
"""A longer value is shown as null, as everywhere in the API."""
_SPECIFIC_CHARACTER_SET = 0x00080005


def read_sequence(source: Source, charset: Charset, *, implicit: bool) -> list[Item]:
    """Return the items of the sequence that begins with `source`.

    `charset` is that of the items around. Raises BadEncoding if an element runs out of the data.
    """
    size = len(source.data)
    items: list[Item] = []
    position = 0
    while position < size:
        tag, _, length, position = read_header(source, position, implicit=True)
        if tag != ITEM:
            break
        end = size if length == UNDEFINED else min(position + length, size)
        implicit_item = implicit or not looks_explicit(source, position)
        item, position = _read_item(source, position, end, charset, implicit=implicit_item)
        items.append(item)
    return items


def _read_item(
    source: Source, position: int, end: int, charset: Charset, *, implicit: bool
) -> tuple[Item, int]:
    """Return an item and the place after it."""
    item: Item = {}
    outer = charset
    while position < end:
        header = read_header(source, position, implicit=implicit)
        if header.tag == ITEM_DELIMITER:
            return item, header.start
        position = min(end_of_value(source, header.vr, header.length, header.start), end)
        raw = source.data[header.start : position]
        if header.tag == _SPECIFIC_CHARACTER_SET:
            charset = charset_of(raw, outer)
        item[_name(header.tag)] = _value(raw, header, source, charset)
    return item, max(position, end)


def _value(raw: bytes, header: Header, source: Source, charset: Charset) -> str | list[Item] | None:
    usual_vr = _dictionary_vr(header.tag)
    if _is_sequence(raw, header, usual_vr, source):
        nested = Source(raw, len(raw), source.order)
        return read_sequence(nested, charset, implicit=header.vr is None)
    text = value_of(raw, effective_vr(header.vr, usual_vr), charset, source.order.prefix)
    return None if text is None or len(text.encode()) > MAX_TEXT_BYTES else text


def _is_sequence(raw: bytes, header: Header, usual_vr: bytes, source: Source) -> bool:
    if header.vr == b"SQ" or (header.vr is None and usual_vr == b"SQ"):
        return True
    return header.vr in (None, b"UN") and header.length == UNDEFINED and raw.startswith(source.order.item)


def _dictionary_vr(tag: int) -> bytes:
    if tag & 0xFFFF == 0:
        return b"UL"
    if tag >> 16 & 1:
        return b"LO" if 0x10 <= tag & 0xFFFF <= 0xFF else b"UN"
    # Where the dictionary leaves a choice, such as "US or SS", the first one is usual.
    return dictionary_VR(tag)[:2].encode() if dictionary_has_tag(tag) else b"UN"


def _name(tag: int) -> str:
    if tag & 0xFFFF == 0:
        return "GenericGroupLength"
    if tag >> 16 & 1:
        return "PrivateCreator" if 0x10 <= tag & 0xFFFF <= 0xFF else "Unknown Tag & Data"
    if not dictionary_has_tag(tag):
        return "Unknown Tag & Data"
    return ("RETIRED_" if dictionary_is_retired(tag) else "") + dictionary_keyword(tag)
