"""The character sets that the configuration and the REST API can name."""

from enum import StrEnum
from typing import Self


class Encoding(StrEnum):
    """A character set by its name in Orthanc; read without regard to small and capital letters."""

    ASCII = "Ascii"
    UTF8 = "Utf8"
    LATIN1 = "Latin1"
    LATIN2 = "Latin2"
    LATIN3 = "Latin3"
    LATIN4 = "Latin4"
    LATIN5 = "Latin5"
    CYRILLIC = "Cyrillic"
    WINDOWS1251 = "Windows1251"
    ARABIC = "Arabic"
    GREEK = "Greek"
    HEBREW = "Hebrew"
    THAI = "Thai"
    JAPANESE = "Japanese"
    JAPANESE_KANJI = "JapaneseKanji"
    KOREAN = "Korean"
    SIMPLIFIED_CHINESE = "SimplifiedChinese"
    CHINESE = "Chinese"

    @classmethod
    def _missing_(cls, value: object) -> Self | None:
        return next((member for member in cls if member.lower() == str(value).lower()), None)
