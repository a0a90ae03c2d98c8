"""Specific Character Set (0008,0005) -> text (PS3.3 §C.12.1.1.2, PS3.5 §6.1).

No bytes make it raise: those that a character set does not know are dropped, as Orthanc does.
"""

import re
from functools import lru_cache
from typing import NamedTuple

from ..model.errors import ParameterOutOfRange

ENCODINGS = {
    "Ascii": "ISO_IR 6",
    "Utf8": "ISO_IR 192",
    "Latin1": "ISO_IR 100",
    "Latin2": "ISO_IR 101",
    "Latin3": "ISO_IR 109",
    "Latin4": "ISO_IR 110",
    "Latin5": "ISO_IR 148",
    "Cyrillic": "ISO_IR 144",
    "Windows1251": "",
    "Arabic": "ISO_IR 127",
    "Greek": "ISO_IR 126",
    "Hebrew": "ISO_IR 138",
    "Thai": "ISO_IR 166",
    "Japanese": "ISO_IR 13",
    "JapaneseKanji": "ISO 2022 IR 87",
    "Korean": "ISO 2022 IR 149",
    "SimplifiedChinese": "ISO 2022 IR 58",
    "Chinese": "GB18030",
}
"""The names of the option DefaultEncoding, and the defined terms of DICOM; Windows1251 has none."""

_CODECS = {
    "6": "ascii",
    "13": "shift_jis",
    "58": "gb2312",
    "87": "iso2022_jp_2",
    "100": "latin_1",
    "101": "iso8859_2",
    "109": "iso8859_3",
    "110": "iso8859_4",
    "126": "iso8859_7",
    "127": "iso8859_6",
    "138": "iso8859_8",
    "144": "iso8859_5",
    "148": "iso8859_9",
    "149": "euc_kr",
    "159": "iso2022_jp_2",
    "166": "tis_620",
    "192": "utf_8",
    "203": "iso8859_15",
}
_OTHER_TERMS = {"GB18030": "gb18030", "GBK": "gbk", "ISO 2022 GBK": "gbk", "ISO 2022 58": "gb2312"}
_STAND_ALONE = frozenset(("utf_8", "gb18030", "gbk"))

# Code extensions (PS3.3 Tables C.12-3 and C.12-4): what an escape sequence puts into the upper half (G1) ...
_UPPER = {
    b"-A": "latin_1",
    b"-B": "iso8859_2",
    b"-C": "iso8859_3",
    b"-D": "iso8859_4",
    b"-F": "iso8859_7",
    b"-G": "iso8859_6",
    b"-H": "iso8859_8",
    b"-L": "iso8859_5",
    b"-M": "iso8859_9",
    b"-T": "tis_620",
    b"-b": "iso8859_15",
    b")I": "shift_jis",
    b"$)A": "gb2312",
    b"$)C": "euc_kr",
}
# ... and the double-byte sets in the lower half (G0), whose codec wants to see the sequence.
_LOWER = frozenset((b"$B", b"$@", b"$(D"))
_KATAKANA, _KANJI, _TO_KANJI, _TO_ASCII = "shift_jis", "iso2022_jp_2", b"\x1b$B", b"\x1b(B"
_SWITCHES = {codec: b"\x1b" + escape for escape, codec in _UPPER.items()}
_SWITCHES |= {_KANJI: _TO_KANJI, "ascii": b""}
_ESCAPE = re.compile(rb"\x1b(\$?[()-][@-~]|\$[@-~])")
_DELIMITER = re.compile(rb"[\\^=\t\n\f\r]")


class Charset(NamedTuple):
    """How the text of a file is encoded: the codec to begin with, and whether escape sequences change it."""

    codec: str
    is_extensible: bool = False
    others: tuple[str, ...] = ()
    """The codecs of further terms: text may switch to them by escape sequences."""
    written: str = ""
    """The codec of text that is written, before any escape sequence, where it is not `codec`."""


def encoding_name(name: str) -> str:
    """Return the name of an encoding as the API spells it; case is ignored. Raises ParameterOutOfRange."""
    for known in ENCODINGS:
        if known.lower() == name.lower():
            return known
    raise ParameterOutOfRange(f"Unknown encoding: {name}")


@lru_cache(maxsize=32)
def default_charset(name: str) -> Charset:
    """Return what the option DefaultEncoding stands for. Raises ParameterOutOfRange."""
    term = ENCODINGS[encoding_name(name)]
    return _charset(_codec(term) or "cp1251")


def default_term(name: str) -> str:
    """Return the defined term of what DefaultEncoding says; Unicode where DICOM has none."""
    return ENCODINGS[encoding_name(name)] or "ISO_IR 192"


def charset_named(term: str) -> Charset:
    """Return what a single defined term stands for. Raises ParameterOutOfRange for another text."""
    codec = _codec(term)
    if not codec:
        raise ParameterOutOfRange(f"Unknown specific character set: {term}")
    return _charset(codec)


@lru_cache(maxsize=256)
def charset_of(specific_character_set: bytes, default: Charset) -> Charset:
    """Return what the value of (0008,0005) stands for; `default` if it is empty or not known."""
    terms = specific_character_set.rstrip(b" \0").split(b"\\")
    codecs = [_codec(term.decode("latin_1")) for term in terms]
    if len(terms) == 1:
        return _charset(codecs[0]) if codecs[0] else default
    others = tuple(codec for codec in codecs[1:] if codec)
    if terms[0].strip():
        return Charset(codecs[0] or default.codec, is_extensible=True, others=others)
    # Writers that leave the first term empty may leave out the escape sequences too.
    named = [codec or "ascii" for term, codec in zip(terms, codecs, strict=True) if term.strip()]
    return Charset(named[0] if named else default.codec, is_extensible=True, others=others, written="ascii")


def is_japanese(charset: Charset) -> bool:
    """Tell whether text begins with JIS X 0201, where the yen sign has the place of the backslash."""
    return charset.codec == _KATAKANA


def decode(raw: bytes, charset: Charset) -> str:
    """Return the text of `raw`, without escape sequences; undecodable bytes are dropped."""
    codec, is_extensible, _, _ = charset
    if is_extensible and b"\x1b" in raw:
        return _decode_extended(raw, codec)
    text = raw.decode(codec, "ignore")
    return text.replace("~", "\u203e") if codec == _KATAKANA else text  # JIS X 0201 has no tilde


def encode(text: str, charset: Charset) -> bytes:
    """Return text as bytes; characters that no character set of the file has are dropped.

    If there are several, each component of a value or of a name begins with the first one (PS3.5 §6.1.2.5).
    """
    if not charset.others or text.isascii():
        return text.encode(charset.codec, "ignore")
    codecs = (charset.written or charset.codec, *charset.others)
    parts = re.split(f"({_DELIMITER.pattern.decode()})", text)
    return b"".join(_encode_component(part, codecs) for part in parts)


def _encode_component(text: str, codecs: tuple[str, ...]) -> bytes:
    """Encode characters by the first codec that has them, but stay with one as long as it can be."""
    pieces: list[bytes] = []
    upper, is_kanji = codecs[0], False
    for character in text:
        if not _has(_KANJI if is_kanji else upper, character):
            wanted = next((codec for codec in codecs if _has(codec, character)), None)
            if wanted is None:
                continue
            if is_kanji:
                pieces.append(_TO_ASCII)
            is_kanji = wanted == _KANJI
            if wanted != upper:
                pieces.append(_SWITCHES[wanted])
                upper = upper if is_kanji else wanted
        pieces.append(
            character.encode(_KANJI)[len(_TO_KANJI) : -len(_TO_ASCII)]
            if is_kanji
            else character.encode(upper)
        )
    return b"".join(pieces) + (_TO_ASCII if is_kanji else b"")


def _has(codec: str, character: str) -> bool:
    """Tell whether a codec has a character; those with two sets count for the one that DICOM names."""
    try:
        encoded = character.encode(codec)
    except UnicodeEncodeError:
        return False
    if codec == _KANJI:
        return encoded.startswith(_TO_KANJI)
    return codec != _KATAKANA or len(encoded) == 1


def _charset(codec: str) -> Charset:
    # One value that needs code extensions by its nature is common, although PS3.3 asks for two.
    return Charset(codec, is_extensible=codec not in _STAND_ALONE)


def _codec(term: str) -> str:
    """Return the codec of a defined term, "" if it is not known. Usual misspellings are understood."""
    term = term.strip().upper()
    number = re.fullmatch(r"(?:ISO[ _-]?)?(?:2022[ _-])?IR[ _-]?([0-9]+)", term)
    return _CODECS.get(number[1], "") if number else _OTHER_TERMS.get(term, "")


def _decode_extended(raw: bytes, initial: str) -> str:
    first, *parts = _ESCAPE.split(raw)
    texts = [first.decode(initial, "ignore")]
    codec, lower = initial, b""
    for escape, part in zip(parts[::2], parts[1::2], strict=True):
        if escape in _UPPER:
            codec = _UPPER[escape]
        else:
            lower = escape if escape in _LOWER else b""
        if lower:
            texts.append((b"\x1b" + lower + part).decode("iso2022_jp_2", "ignore"))
        else:
            text, codec = _decode_part(part, codec, initial)
            texts.append(text)
    return "".join(texts)


def _decode_part(part: bytes, codec: str, initial: str) -> tuple[str, str]:
    """Return the text of a part and the codec after it: a delimiter brings the initial one back."""
    delimiter = _DELIMITER.search(part)
    # ASCII has no upper half to come back to; careless writers rely on the last one.
    if delimiter is None or initial == "ascii":
        return part.decode(codec, "ignore"), codec
    end = delimiter.start()
    return part[:end].decode(codec, "ignore") + part[end:].decode(initial, "ignore"), initial
