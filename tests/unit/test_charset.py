import pytest

from orthanc_trio.dicom.charset import ENCODINGS, charset_of, decode, default_charset, encode, encoding_name
from orthanc_trio.model.errors import ParameterOutOfRange

LATIN1 = default_charset("Latin1")


@pytest.mark.parametrize(
    ("term", "raw", "text"),
    [
        (b"ISO_IR 6", b"Doe", "Doe"),
        (b"ISO_IR 100", b"M\xfcller", "Müller"),
        (b"ISO_IR 101", b"\xa1", "Ą"),
        (b"ISO_IR 109", b"\xa1", "Ħ"),
        (b"ISO_IR 110", b"\xa2", "ĸ"),
        (b"ISO_IR 126", b"\xc4\xe9\xef", "Διο"),
        (b"ISO_IR 127", b"\xe2\xc8\xc7", "قبا"),
        (b"ISO_IR 138", b"\xf9\xf8", "שר"),
        (b"ISO_IR 144", b"\xbb\xee\xda", "Люк"),
        (b"ISO_IR 148", b"\xd0", "Ğ"),
        (b"ISO_IR 166", b"\xa1", "ก"),
        (b"ISO_IR 13", b"\xd4\xcf\\\xc0~", "ﾔﾏ\\ﾀ‾"),
        (b"ISO_IR 203", b"\xbc\xa4", "Œ€"),
        (b"ISO_IR 192", "王^小东".encode(), "王^小东"),
        (b"GB18030", "王^小东".encode("gb18030"), "王^小东"),
        (b"GBK ", "王".encode("gbk"), "王"),
        (b"ISO 2022 IR 87", b"\x1b$B;3ED\x1b(B", "山田"),
        (b"ISO_IR 100\0", b"\xe9", "é"),
        (b"iso-ir 100", b"\xe9", "é"),
        (b"ISO IR 192", "é".encode(), "é"),
    ],
)
def test_one_term_is_the_character_set(term: bytes, raw: bytes, text: str) -> None:
    assert decode(raw, charset_of(term, default_charset("Greek"))) == text


@pytest.mark.parametrize(
    ("terms", "raw", "text"),
    [
        # PS3.5 Annexes H, I and K
        (
            rb"\ISO 2022 IR 87",
            b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B=\x1b$B$d$^$@\x1b(B^\x1b$B$?$m$&\x1b(B",
            "Yamada^Tarou=山田^太郎=やまだ^たろう",
        ),
        (
            rb"ISO 2022 IR 13\ISO 2022 IR 87",
            b"\xd4\xcf\xc0\xde^\xc0\xdb\xb3=\x1b$B;3ED\x1b(J^\x1b$BB@O:\x1b(J",
            "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎",
        ),
        (
            rb"\ISO 2022 IR 149",
            b"Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7",
            "Hong^Gildong=洪^吉洞",
        ),
        (rb"\ISO 2022 IR 58", b"Zhang=\x1b$)A\xd5\xc5^\x1b$)A\xd0\xa1", "Zhang=张^小"),
        (rb"ISO 2022 IR 6\ISO 2022 IR 159", b"\x1b$(D0D\x1b(B.", "仐."),
        (rb"ISO 2022 IR 100\ISO 2022 IR 144", b"M\xfc \x1b-L\xbb\xee\xda^M\xfc", "Mü Люк^Mü"),
        (rb"\ISO 2022 IR 126", b"\x1b-F\xc4^\xd3", "Δ^Σ"),
        (rb"\ISO 2022 IR 203", b"\x1b-b\xa4", "€"),
    ],
)
def test_escape_sequences_change_the_character_set(terms: bytes, raw: bytes, text: str) -> None:
    assert decode(raw, charset_of(terms, LATIN1)) == text


@pytest.mark.parametrize(
    ("terms", "raw", "text"),
    [
        (rb"\ISO 2022 IR 100", b"M\xfcller", "Müller"),
        (rb"\ISO 2022 IR 144", b"\xbb\xee", "Лю"),
        (rb"\ISO 2022 IR 144\ISO 2022 IR 100", b"\xbb\xee", "Лю"),
        (rb"\\ISO 2022 IR 100", b"\xfc", "ü"),
        (rb"\ISO 2022 IR 13", b"\xd4\xcf", "ﾔﾏ"),
        (rb"\ISO 2022 IR 149", b"\xb1\xe8", "김"),
        (rb"\ISO 2022 IR 58", b"\xd5\xc5", "张"),
        (rb"\ISO_IR 192", "ä".encode(), "ä"),
        (b"\\", b"\xe4", "ä"),
        (rb"\KLINGON", b"a\xe4", "a"),
        (rb"ISO 2022 IR 6\ISO 2022 IR 100", b"M\xfcl", "Ml"),
    ],
)
def test_text_without_escape_sequences_is_of_the_first_character_set_that_is_named(
    terms: bytes, raw: bytes, text: str
) -> None:
    assert decode(raw, charset_of(terms, LATIN1)) == text


@pytest.mark.parametrize("value", [b"", b"  ", b"\0", b"KLINGON", b"ISO_IR 999"])
def test_no_usable_term_means_the_default(value: bytes) -> None:
    assert charset_of(value, LATIN1) == LATIN1


@pytest.mark.parametrize(
    ("name", "raw", "text"),
    [
        ("Ascii", b"M\xfcller", "Mller"),
        ("Utf8", "é".encode(), "é"),
        ("latin1", b"\xe9", "é"),
        ("Windows1251", b"\xcb", "Л"),
        ("Thai", b"\xa1", "ก"),
        ("KOREAN", b"\xfb\xf3", "洪"),
        ("Chinese", "王".encode("gb18030"), "王"),
    ],
)
def test_the_default_encoding_goes_by_its_name(name: str, raw: bytes, text: str) -> None:
    assert decode(raw, default_charset(name)) == text


def test_an_encoding_is_spelled_as_in_the_api() -> None:
    assert encoding_name("latin1") == "Latin1"
    with pytest.raises(ParameterOutOfRange):
        encoding_name("Klingon")


@pytest.mark.parametrize("name", ENCODINGS)
def test_undecodable_bytes_are_dropped_and_never_raise(name: str) -> None:
    garbage = bytes(range(256)) + b"\x1b$B\xff\x1b\x1b-\x1b$)Z\x81\x1b("

    text = decode(garbage, default_charset(name))

    assert text.encode()  # no lone surrogates
    assert "ABC" in text


@pytest.mark.parametrize(
    ("terms", "text", "encoded"),
    [
        ("", "é", b"\xe9"),
        ("ISO_IR 100", "é日", b"\xe9"),
        ("ISO_IR 192", "é日", b"\xc3\xa9\xe6\x97\xa5"),
        ("ISO_IR 13", "ﾔﾏ‾", b"\xd4\xcf~"),
        ("\\ISO 2022 IR 87", "Yamada^Tarou=山田^太郎", b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B"),
        ("\\ISO 2022 IR 87", "a山b\\é", b"a\x1b$B;3\x1b(Bb\\"),
        ("ISO 2022 IR 13\\ISO 2022 IR 87", "ﾔﾏ=山", b"\xd4\xcf=\x1b$B;3\x1b(B"),
        ("\\ISO 2022 IR 149", "Hong=洪^吉", b"Hong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce"),
        ("\\ISO 2022 IR 58", "张^小", b"\x1b$)A\xd5\xc5^\x1b$)A\xd0\xa1"),
        ("ISO 2022 IR 100\\ISO 2022 IR 144", "ùЛùx", b"\xf9\x1b-L\xbb\x1b-A\xf9x"),
    ],
)
def test_text_is_encoded_with_the_character_sets_of_the_file(terms: str, text: str, encoded: bytes) -> None:
    charset = charset_of(terms.encode(), default_charset("Latin1"))

    assert encode(text, charset) == encoded
    assert decode(encoded, charset) == "".join(c for c in text if encode(c, charset))
