"""Data URIs (RFC 2397) in base64: the one form in which requests carry files and bytes.

Decoding is done in pieces, so that a thread that does it leaves the others time to run.
"""

import re
from binascii import Error as Base64Error
from binascii import a2b_base64
from typing import Final, NamedTuple

from ..model.errors import BadFileFormat

_HEAD: Final = re.compile("data:([^;,]+);base64,", re.IGNORECASE)
_LONGEST_HEAD: Final = 256
_PIECE: Final = 4 << 18
_QUANTUM: Final = 4


class DataUri(NamedTuple):
    """The media type in lower case, and the bytes."""

    media_type: str
    data: bytes


def media_type_of(text: str) -> str:
    """Return the media type of a data URI in lower case. Raises BadFileFormat if it is none."""
    return _head(text)[1].lower()


def decode_data_uri(text: str) -> DataUri:
    """Return what a data URI holds. Raises BadFileFormat if it is none, or its base64 is wrong."""
    head = _head(text)
    return DataUri(head[1].lower(), decode_base64(text[head.end() :]))


def decode_base64(text: str) -> bytes:
    """Return the bytes of base64; the padding at its end may lack. Raises BadFileFormat."""
    if "=" in text[:-2]:
        raise BadFileFormat
    text += "=" * (-len(text) % _QUANTUM)
    try:
        pieces = [
            a2b_base64(text[start : start + _PIECE].encode("ascii"), strict_mode=True)
            for start in range(0, len(text), _PIECE)
        ]
    except (Base64Error, UnicodeEncodeError) as error:
        raise BadFileFormat from error
    return b"".join(pieces)


def _head(text: str) -> re.Match[str]:
    head = _HEAD.match(text[:_LONGEST_HEAD])
    if head is None:
        raise BadFileFormat
    return head
