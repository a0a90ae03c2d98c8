"""Files as careless and unusual writers leave them, byte by byte: each by a name, and always the same.

All are in explicit VR, little endian, and each is a patient of its own unless it says otherwise.
"""

import struct
from collections.abc import Iterator, Mapping
from typing import Any

ROOT = "1.2.826.0.1.3680043.10.999.7"
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
ENCAPSULATED_PDF = "1.2.840.10008.5.1.4.1.1.104.1"
EXPLICIT, JPEG = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.4.50"
LONG_VRS = {"OB", "OW", "OF", "OD", "OL", "OV", "SQ", "UN", "UT", "UC", "UR", "SV", "UV"}
UNDEFINED = 0xFFFFFFFF

Values = Mapping[int, tuple[str, str | bytes] | bytes | None]
"""Elements by tag: VR and value, the whole element, or None to leave a usual one out."""


def element(tag: int, vr: str, value: str | bytes, length: int | None = None) -> bytes:
    raw = value.encode() if isinstance(value, str) else value
    if length is None and len(raw) % 2:
        raw += b"\0" if vr in ("UI", "OB", "UN") else b" "
    size = len(raw) if length is None else length
    head = struct.pack("<HH2s", tag >> 16, tag & 0xFFFF, vr.encode())
    return head + (struct.pack("<HL", 0, size) if vr in LONG_VRS else struct.pack("<H", size)) + raw


def sequence(tag: int, *items: bytes, is_undefined: bool = False) -> bytes:
    if not is_undefined:
        content = b"".join(struct.pack("<HHL", 0xFFFE, 0xE000, len(item)) + item for item in items)
        return element(tag, "SQ", content)
    start, end = struct.pack("<HHL", 0xFFFE, 0xE000, UNDEFINED), struct.pack("<HHL", 0xFFFE, 0xE00D, 0)
    content = b"".join(start + item + end for item in items)
    return element(tag, "SQ", content + struct.pack("<HHL", 0xFFFE, 0xE0DD, 0), UNDEFINED)


def file(number: int, values: Values, syntax: str = EXPLICIT, sop_class: str = SECONDARY_CAPTURE) -> bytes:
    study = f"{ROOT}.{number}"
    elements: dict[int, tuple[str, str | bytes] | bytes | None] = {
        0x00080016: ("UI", sop_class),
        0x00080018: ("UI", f"{study}.1.1"),
        0x00080020: ("DA", "20200102"),
        0x00080030: ("TM", "030405"),
        0x00080050: ("SH", f"A{number}"),
        0x00080060: ("CS", "MR"),
        0x00081030: ("LO", "Desc"),
        0x0008103E: ("LO", "SDesc"),
        0x00100010: ("PN", "Doe^John"),
        0x00100020: ("LO", f"ODD{number}"),
        0x0020000D: ("UI", study),
        0x0020000E: ("UI", f"{study}.1"),
        0x00200011: ("IS", "1"),
        0x00200013: ("IS", "1"),
        **values,
    }
    encoded = {
        tag: value if isinstance(value, bytes) else element(tag, *value)
        for tag, value in elements.items()
        if value is not None
    }
    meta = b"".join(
        element(0x00020000 + tag, "UI", uid)
        for tag, uid in ((2, sop_class), (3, f"{study}.1.1"), (0x10, syntax), (0x12, ROOT))
    )
    start = element(0x00020000, "UL", struct.pack("<L", len(meta)))
    return bytes(128) + b"DICM" + start + meta + b"".join(encoded[tag] for tag in sorted(encoded))


JAPANESE = b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B=\x1b$B$d$^$@\x1b(B^\x1b$B$?$m$&\x1b(B"
KOREAN = b"Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7=\x1b$)C\xc8\xab^\x1b$)C\xb1\xe6\xb5\xbf"
TEXTS = [
    ("ISO_IR 100", "Müller^Ä".encode("latin_1")),
    ("ISO_IR 101", "Łódź".encode("iso8859_2")),
    ("ISO_IR 109", "Ĥo".encode("iso8859_3")),
    ("ISO_IR 110", "Āa".encode("iso8859_4")),
    ("ISO_IR 144", "Жуков".encode("iso8859_5")),
    ("ISO_IR 127", "قباني".encode("iso8859_6")),
    ("ISO_IR 126", "Διονυσιος".encode("iso8859_7")),
    ("ISO_IR 138", "שרון".encode("iso8859_8")),
    ("ISO_IR 148", "Çavuşoğlu".encode("iso8859_9")),
    ("ISO_IR 166", "นาม".encode("tis_620")),
    ("ISO_IR 13", b"\xd4\xcf\xc0\xde^\xc0\xdb\xb3\\x~"),
    ("ISO_IR 192", "Wang^XiaoDong=王^小东=".encode()),
    ("GB18030", "Wang^XiaoDong=王^小东=".encode("gb18030")),
    ("GBK", "王^小东".encode("gbk")),
    ("ISO 2022 IR 87", JAPANESE),
    ("\\ISO 2022 IR 87", JAPANESE),
    ("\\ISO 2022 IR 149", KOREAN),
    ("\\ISO 2022 IR 58", b"Zhang^XiaoDong=\x1b$)A\xd5\xc5^\x1b$)A\xd0\xa1\xb6\xab="),
    ("ISO 2022 IR 100", "Müller".encode("latin_1")),
    ("ISO_IR 6", b"ab\xe4"),
    ("ISO_IR 192\\ISO_IR 100", b"a\xc3\xa4"),
    ("iso_ir 192", "ä".encode()),
    ("ISO_IR_100", b"\xe4"),
    ("ISO_IR 100 ", b"\xe4"),
    ("", b"ab\xe4c"),
    # Those who leave the first term empty may leave out the escape sequences too.
    ("\\ISO 2022 IR 100", b"M\xfcller"),
    ("\\ISO 2022 IR 144", b"\xbb\xee"),
    ("\\ISO 2022 IR 144\\ISO 2022 IR 100", b"\xbb\xee"),
    ("\\ISO 2022 IR 13", b"\xd4\xcf~"),
    ("\\ISO 2022 IR 149", b"\xb1\xe8"),
    ("\\ISO 2022 IR 58", b"\xd5\xc5"),
    ("\\ISO 2022 IR 166", b"\xb9\xd2"),
    ("\\ISO_IR 192", "ä".encode()),
    ("\\\\ISO 2022 IR 100", b"\xe4"),
    ("\\", b"\xe4"),
    ("ISO 2022 IR 6\\ISO 2022 IR 100", b"\xe4"),
]


def _texts() -> Iterator[tuple[str, dict[str, Any]]]:
    for number, (terms, text) in enumerate(TEXTS):
        values = {
            0x00080005: ("CS", terms),
            0x00081030: ("LO", text),
            0x00100010: ("PN", text),
            0x00100020: ("LO", b"%d" % number + text),
            0x00204000: ("LT", text),
            0x00400275: sequence(0x00400275, element(0x00400007, "LO", text)),
        }
        yield f"text {number} {terms}", {"values": values}
    yield "text without a character set", {"values": {0x00100010: ("PN", b"M\xfcller")}}


def _lone(tag: int, vr: str, raw: bytes) -> dict[str, Any]:
    return {"values": {tag: element(tag, vr, raw, len(raw))}}


NUMBERS = {
    0x00081161: ("UL", struct.pack("<2L", 3, (1 << 32) - 1)),
    0x00089400: ("SL", struct.pack("<2l", -3, 5)),
    0x00189073: ("FD", struct.pack("<4d", 1.5, 1 / 3, 1e22, 0.1)),
    0x00189219: ("SS", struct.pack("<2h", -3, 5)),
    0x00189316: ("FL", struct.pack("<4f", 0.1, 1e7, -2.5, 16777216)),
    0x00280009: ("AT", struct.pack("<4H", 0x54, 0x10, 0x54, 0x20)),
    0x00280011: ("US", struct.pack("<2H", 3, 65535)),
    0x00281201: ("OW", b"abcd"),
    0x00282000: ("OB", b"abcd"),
    0x00660016: ("OF", struct.pack("<2f", 10.1, 20.2)),
    0x00660129: ("OL", struct.pack("<2L", 1, 2)),
    0x00720073: ("OD", struct.pack("<2d", 10.1, 20.2)),
    0x00720082: ("SV", struct.pack("<2q", -5, 1 << 62)),
    0x00720083: ("UV", struct.pack("<2Q", 5, (1 << 64) - 1)),
    0x7FE00001: ("OV", struct.pack("<2Q", 1, 2)),
}
FRAGMENTS = b"".join(
    struct.pack("<HHL", 0xFFFE, 0xE000, len(piece)) + piece for piece in (bytes(4), b"abcdef", b"gh")
) + struct.pack("<HHL", 0xFFFE, 0xE0DD, 0)
PDF = {0x00420011: ("OB", b"%PDF-1.4"), 0x00420012: ("LO", "application/pdf")}
PRIVATE = {
    0x00090001: ("LO", "odd"),
    0x00090010: ("LO", "ACME 1.1"),
    0x00091001: ("LO", "v\\w"),
    0x00091002: ("DS", "1.50"),
    0x00091003: ("US", struct.pack("<H", 3)),
    0x00091004: sequence(0x00091004, element(0x00091005, "LO", "in"), b""),
    0x00091006: ("OB", b"ab"),
    0x00091007: ("UN", b"text"),
    0x00091008: ("UN", b"te\xe4t"),
    0x00111001: ("LO", "no creator"),
    0x00290010: ("LO", b""),
    0x00291001: ("LO", "empty creator"),
}
SEQUENCES = {
    0x00081110: ("SQ", b""),
    0x00081111: sequence(0x00081111, b"", b""),
    0x00081115: sequence(
        0x00081115,
        sequence(0x00081199, sequence(0x00081140, element(0x00081150, "UI", "9"))),
        is_undefined=True,
    ),
    0x00081140: sequence(
        0x00081140, element(0x00081150, "UI", "1.2.3"), element(0x00081150, "UI", "1.2.5"), is_undefined=True
    ),
    0x00400275: sequence(
        0x00400275,
        element(0x00321060, "LO", "x" * 300)
        + sequence(0x00400008, element(0x00080100, "SH", "code") + element(0x00080102, "SH", "99")),
    ),
}
SPACES = {
    0x00080050: ("SH", b" x \0"),
    0x00080090: ("PN", "A\\B \\ C"),
    0x00081010: ("SH", b"a\0b\0"),
    0x00081030: ("LO", "  a b  "),
    0x00100010: ("PN", "  Lead^Trail  "),
    0x00200013: ("IS", " 7 "),
    0x00204000: ("LT", "  keep me  \r\n  "),
}
USUAL = (0x00080020, 0x00080030, 0x00080050, 0x00080060, 0x00081030, 0x0008103E, 0x00100010, 0x00200011)
LONG_TEXTS = {
    0x00080005: ("CS", "ISO_IR 192"),
    0x00080080: ("LO", "z" * 300),
    0x00080092: ("ST", "ä" * 128),
    0x00081030: ("LO", "x" * 256),
    0x0008103E: ("LO", "x" * 257),
    0x00102000: ("LO", "ä" * 129),
    0x00204000: ("LT", "y" * 1000),
}
BROKEN = {
    0x00080020: ("DA", "2020.01.02"),
    0x00080030: ("TM", "25:61"),
    0x0008002A: ("DT", "garbage"),
    0x00200011: ("IS", "1.5"),
    0x00200013: ("IS", "abc"),
    0x00201002: ("IS", "x"),
    0x00281050: ("DS", "1e5\\abc\\"),
}


def _others() -> Iterator[tuple[str, dict[str, Any]]]:
    yield "numbers", {"values": NUMBERS}
    fragments = element(0x7FE00010, "OB", FRAGMENTS, UNDEFINED)
    yield "fragments", {"values": {0x7FE00010: fragments}, "syntax": JPEG}
    yield "pdf", {"values": PDF, "sop_class": ENCAPSULATED_PDF}
    yield "private", {"values": PRIVATE}
    yield "sequences", {"values": SEQUENCES}
    yield "spaces", {"values": SPACES}
    yield "controls", {"values": {0x00081030: ("LO", b"a\tb\x01c\x7fd"), 0x00100010: ("PN", b"a\x1bb\x0cc")}}
    yield "broken values", {"values": BROKEN}
    yield "long texts", {"values": LONG_TEXTS}
    yield "nothing usual", {"values": dict.fromkeys((*USUAL, 0x00200013))}
    yield "empty values", {"values": {tag: (vr, "") for tag, vr in zip(USUAL, _VRS, strict=True)}}
    yield "no class", {"values": {0x00080016: None}}
    yield "group lengths", {"values": {0x00080000: ("UL", bytes(4)), 0x00100000: ("UL", bytes(4))}}
    yield "after the pixels", {"values": {0x7FE00010: ("OW", b"abcd"), 0xFFFCFFFC: ("OB", bytes(10))}}
    yield "no pixels", {"values": {0x7FE00010: ("OW", b"")}}
    yield "real pixels", {"values": {0x7FE00008: ("OF", struct.pack("<f", 1))}}
    yield "unknown", {"values": {0x00080999: ("LO", "unknown"), 0x50001234: ("LO", "curve")}}
    yield "text as UN", {"values": {0x00081040: ("UN", b"Dept "), 0x00280010: ("UN", struct.pack("<H", 7))}}
    yield (
        "other VRs",
        {"values": {0x00100010: ("LO", "LO"), 0x00100020: ("SH", "VRS"), 0x00200013: ("DS", "3")}},
    )
    for index in ("", "-3", "+4", "007", "0", "1\\2", "12345678901234"):
        yield f"number {index}", {"values": {0x00200013: ("IS", index)}}
    yield "image index", {"values": {0x00200013: None, 0x00541330: ("US", struct.pack("<H", 3))}}
    yield "images in acquisition", {"values": {0x00201002: ("IS", "1"), 0x00200105: ("IS", "1")}}
    yield "cardiac images", {"values": {0x00181090: ("IS", "4")}}
    yield "slices", {"values": {0x00540081: ("US", b"\1\0"), 0x00540101: ("US", b"\1\0")}}
    for vr, tag in (("US", 0x00280010), ("FD", 0x00189073), ("SV", 0x00720082), ("UL", 0x00081161)):
        for raw in (b"", b"\1\0") if vr != "US" else (b"", b"\1", b"\1\0\2"):
            yield f"{vr} of {len(raw)} bytes", _lone(tag, vr, raw)
    for vr, tag in (("AT", 0x00280009), ("OF", 0x00660016), ("OD", 0x00720073), ("OV", 0x7FE00001)):
        yield f"{vr} of 0 bytes", _lone(tag, vr, b"")


_VRS = ("DA", "TM", "SH", "CS", "LO", "LO", "PN", "IS")


def odd_files() -> dict[str, bytes]:
    """Return all files by their names."""
    named = [*_texts(), *_others()]
    return {name: file(number, **what) for number, (name, what) in enumerate(named, 100)}
