"""One element's value -> the text that the API shows and the index keeps (PS3.5 §6.2)."""

from struct import iter_unpack

from .charset import Charset, decode, is_japanese
from .scan import LONG_VRS, SHORT_VRS

TEXT_VRS = frozenset(b"AE AS CS DA DS DT IS LO LT PN SH ST TM UC UI UR UT".split())
_SINGLE_TEXT_VRS = frozenset((b"LT", b"ST", b"UT"))
MULTIPLE_TEXT_VRS = TEXT_VRS - _SINGLE_TEXT_VRS
r"""Those whose values a `\` separates (PS3.5 §6.2)."""
_OTHER_VRS = frozenset((b"OD", b"OF", b"OL", b"OV"))  # an empty text if they are empty
_NUMBERS = {
    b"US": "H",
    b"SS": "h",
    b"UL": "L",
    b"SL": "l",
    b"UV": "Q",
    b"SV": "q",
    b"OL": "L",
    b"OV": "Q",
    b"FL": "f",
    b"OF": "f",
    b"FD": "d",
    b"OD": "d",
}
_SIZES = {"H": 2, "h": 2, "L": 4, "l": 4, "f": 4, "Q": 8, "q": 8, "d": 8}
# As many digits as give the same number back; Orthanc shows FL with those of a double.
_FORMATS = {b"FL": "{:.17g}", b"OF": "{:.9g}", b"FD": "{:.17g}", b"OD": "{:.17g}"}


def effective_vr(written: bytes | None, usual: bytes) -> bytes:
    """Return the VR to read a value by: the usual one of the tag if none, or UN, is written."""
    if written is None:
        return usual
    if written in SHORT_VRS or (written in LONG_VRS and written != b"UN"):
        return written
    return usual if usual in TEXT_VRS else b"UN"


def text_of(raw: bytes, charset: Charset) -> str:
    """Return the text without its padding at the end; what follows a NUL is padding as well."""
    return unknown_text_of(raw, charset).rstrip(" ")


def unknown_text_of(raw: bytes, charset: Charset) -> str:
    """Return the text of a value whose VR is UN: Orthanc leaves the spaces at its end, and hashes them."""
    return decode(raw, charset).partition("\0")[0]


def value_of(raw: bytes, vr: bytes, charset: Charset, prefix: str = "<") -> str | None:
    r"""Return a value as text, its components joined by `\`; None for a VR that has no textual form.

    `prefix` is the order of bytes, as in `struct`. Numbers are in decimal; a rest that is no whole
    one is cut off, and where nothing is left there is no text. Odd bytes are padded, as toolkits do.
    """
    if vr in TEXT_VRS:
        text = text_of(raw, charset)
        return text.replace("\\", "\u00a5") if is_japanese(charset) and vr in _SINGLE_TEXT_VRS else text
    if vr == b"AT":
        pairs = iter_unpack(prefix + "HH", raw[: len(raw) // 4 * 4])
        return "\\".join(f"{group:04x},{element:04x}" for group, element in pairs)
    code = _NUMBERS.get(vr)
    if code is None:
        return None
    size = _SIZES[code]
    raw += b"\0"[: len(raw) % 2]
    if len(raw) < size and vr not in _OTHER_VRS:
        return None
    form = _FORMATS.get(vr, "{}")
    return "\\".join(
        form.format(number) for (number,) in iter_unpack(prefix + code, raw[: len(raw) // size * size])
    )
