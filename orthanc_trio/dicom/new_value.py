"""New values, as JSON -> encoded elements (PS3.5 §6 and §7, little endian).

Source: the Orthanc Book, "Anonymization and modification of DICOM files", "Create DICOM"; the texts of the
errors are those of the server.
"""

import re
from collections.abc import Mapping
from contextlib import suppress
from math import isinf
from struct import Struct, error
from typing import Any, Final, NamedTuple

from ..model.errors import BadFileFormat, BadParameterType, BadRequest, UnknownDicomTag
from .charset import Charset, encode
from .data_uri import decode_base64
from .dictionary import STANDARD, Dictionary, is_private, tag_text
from .scan import MAX_DEPTH, SHORT_VRS
from .standard_tags import standard_row
from .tag_path import TagPath
from .value import TEXT_VRS

BINARY_PREFIX: Final = "data:application/octet-stream;base64,"
"""Text that begins so is not text but the bytes of a value."""
_LAYOUTS: Final = {
    b"US": "H",
    b"SS": "h",
    b"OW": "H",
    b"UL": "L",
    b"SL": "l",
    b"OL": "L",
    b"UV": "Q",
    b"SV": "q",
    b"OV": "Q",
    b"FL": "f",
    b"OF": "f",
    b"FD": "d",
    b"OD": "d",
}
_FLOATS: Final = frozenset("fd")
_OF_TEXT_FIRST: Final = frozenset((b"AT", b"US", b"SS", b"UL", b"SL", b"UV", b"SV", b"FL", b"FD"))
"""Numbers that clients also send as the bytes of their text."""
_SIGNS: Final = {"H": 1 << 16, "L": 1 << 32, "Q": 1 << 64}
_INTEGER: Final = re.compile(r"[+-]?[0-9]{1,20}")
_FLOAT: Final = re.compile(r"[+-]?(([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?|inf|nan)", re.IGNORECASE)
_NUL_PADDED: Final = frozenset((b"UI", b"OB", b"UN"))
_SIZES: Final = {vr: Struct("<" + layout).size for vr, layout in _LAYOUTS.items()} | {b"AT": 4}
_MAX_QUOTED: Final = 256
_MAX_SHORT: Final = 0xFFFE
_EXPLICIT_SHORT: Final = Struct("<HH2sH")
_EXPLICIT_LONG: Final = Struct("<HH2sHL")
_IMPLICIT: Final = Struct("<HHL")
_PAIR: Final = Struct("<HH")
_ITEM: Final = b"\xfe\xff\x00\xe0"
_WORDS: Final = "OB or OW"


class Encoding(NamedTuple):
    """How new elements are written: text in `charset`; private tags have the VRs of `private_creator`."""

    implicit: bool
    charset: Charset
    private_creator: str = ""
    dictionary: Dictionary = STANDARD
    decodes_binary: bool = True
    """Whether text that begins with BINARY_PREFIX is decoded."""


class NewElements(NamedTuple):
    """The replacements of a modification as encoded elements: by tag at the top, and those in sequences."""

    top: Mapping[int, bytes]
    at_paths: tuple[tuple[TagPath, bytes], ...]


def encode_new(tag: int, value: Any, encoding: Encoding) -> bytes:
    r"""Return the element `tag` with a value that came as JSON: text, null or, for a sequence, a list.

    Text of a numeric VR is one number or several, with `\` between them. Text that begins with BINARY_PREFIX
    is decoded to the very bytes of the value, or for numbers to their text. Characters that the character set
    lacks are left out. Raises BadParameterType, BadFileFormat for what is not a value of the VR,
    UnknownDicomTag for a wrong tag in an item, BadRequest for a sequence too deep.
    """
    return _encode_new(tag, value, encoding, 0)


def encode_element(tag: int, vr: bytes, value: bytes, *, implicit: bool) -> bytes:
    """Return an element with a value that is encoded and padded; one too long for its VR becomes UN."""
    group, number = tag >> 16, tag & 0xFFFF
    if implicit:
        return _IMPLICIT.pack(group, number, len(value)) + value
    if vr in SHORT_VRS and len(value) <= _MAX_SHORT:
        return _EXPLICIT_SHORT.pack(group, number, vr, len(value)) + value
    return _EXPLICIT_LONG.pack(group, number, b"UN" if vr in SHORT_VRS else vr, 0, len(value)) + value


def padded(value: bytes, vr: bytes) -> bytes:
    """Return a value with an even number of bytes."""
    if len(value) % 2 == 0:
        return value
    return value + (b"\0" if vr in _NUL_PADDED or vr not in TEXT_VRS else b" ")


def vr_of(tag: int, private_creator: str, dictionary: Dictionary) -> bytes:
    """Return the VR that a new element gets."""
    vr = dictionary.entry_of(tag, private_creator if is_private(tag) else "").vr
    return b"OW" if vr == b"OB" and not is_private(tag) and _is_of_words(tag) else vr


def _is_of_words(tag: int) -> bool:
    """Tell whether the dictionary leaves the choice between bytes and words."""
    row = standard_row(tag)
    return row is not None and row[0] == _WORDS


def _encode_new(tag: int, value: Any, encoding: Encoding, depth: int) -> bytes:
    vr = vr_of(tag, encoding.private_creator, encoding.dictionary)
    if value is None or value == "":
        raw = b""
    elif isinstance(value, str):
        raw = padded(_value_of_text(tag, vr, value, encoding), vr)
    elif isinstance(value, list) and vr == b"SQ":
        raw = b"".join(_item(item, encoding, depth) for item in value)
    else:
        raise BadParameterType(f"Bad Parameter type for tag {tag_text(tag)}")
    return encode_element(tag, vr, raw, implicit=encoding.implicit)


def _item(members: Any, encoding: Encoding, depth: int) -> bytes:
    if not isinstance(members, dict):
        raise BadParameterType
    if depth >= MAX_DEPTH:
        raise BadRequest("Sequences too deep")
    by_tag = {encoding.dictionary.tag_number(name): value for name, value in members.items()}
    elements = b"".join(
        _encode_new(tag, value, encoding, depth + 1) for tag, value in sorted(by_tag.items()) if tag & 0xFFFF
    )
    return _ITEM + len(elements).to_bytes(4, "little") + elements


def _value_of_text(tag: int, vr: bytes, text: str, encoding: Encoding) -> bytes:
    if encoding.decodes_binary and text.startswith(BINARY_PREFIX) and vr != b"SQ":
        return _value_of_bytes(tag, vr, decode_base64(text[len(BINARY_PREFIX) :]), encoding)
    if vr in TEXT_VRS:
        # What an encoding drops may leave spaces at the end, too.
        text = text.partition("\0")[0]
        return encode(text.replace(" ", "") if vr == b"UI" else text, encoding.charset).rstrip(b" ")
    if vr in (b"OB", b"UN"):
        return encode(text, encoding.charset)
    if vr == b"AT":
        return b"".join(_pair(part, encoding.dictionary) for part in text.split("\\"))
    return _numbers(tag, vr, text)


def _value_of_bytes(tag: int, vr: bytes, raw: bytes, encoding: Encoding) -> bytes:
    """Return the bytes of a value that was given as such, or as the bytes of the text of numbers."""
    text = raw.decode("latin_1")
    if vr in _OF_TEXT_FIRST:
        with suppress(BadFileFormat, UnknownDicomTag):
            return _value_of_text(tag, vr, text, encoding)
    if len(raw) % _SIZES.get(vr, 1):
        raise _out_of_range(tag, text)
    return raw


def _numbers(tag: int, vr: bytes, text: str) -> bytes:
    layout = _LAYOUTS.get(vr)
    if layout is None:
        raise _out_of_range(tag, text)
    pattern, convert = (_FLOAT, _float) if layout in _FLOATS else (_INTEGER, int)
    parts = text.split("\\")
    if not all(pattern.fullmatch(part) for part in parts):
        raise _out_of_range(tag, text)
    try:
        numbers = [_wrapped(convert(part), layout) for part in parts]
        return Struct(f"<{len(parts)}{layout}").pack(*numbers)
    except (error, OverflowError) as exc:
        raise _out_of_range(tag, text) from exc


def _float(text: str) -> float:
    """Return a number; OverflowError for one that is too large, and so no longer the one that was meant."""
    number = float(text)
    if isinf(number) and text[-1].isdigit():
        raise OverflowError
    return number


def _wrapped(number: float, layout: str) -> float:
    """Return what a small negative number is without a sign, where a VR has none: clients write -1 so."""
    whole = _SIGNS.get(layout)
    return number + whole if whole is not None and -whole // 2 < number < 0 else number


def _pair(text: str, dictionary: Dictionary) -> bytes:
    tag = dictionary.tag_number(text)
    return _PAIR.pack(tag >> 16, tag & 0xFFFF)


def _out_of_range(tag: int, text: str) -> BadFileFormat:
    place, quoted = tag_text(tag), text[:_MAX_QUOTED]
    return BadFileFormat(f'While creating a DICOM instance, tag ({place}) has out-of-range value: "{quoted}"')
