"""The arguments that ask for another transfer syntax, with the errors that Orthanc gives.

Source: the Orthanc Book, "Transcoding".
"""

from typing import Final

from ..dicom.transfer_syntax import find_syntax
from ..model.errors import BadParameterType, ParameterOutOfRange
from .fields import Fields
from .wire import Request

_MAX_UNSIGNED: Final = (1 << 32) - 1
_MAX_DIGITS: Final = 20
_MAX_QUALITY: Final = 1000  # beyond 100 all are the same


def transcoding_of_url(request: Request) -> tuple[str | None, int | None]:
    """Return `transcode` and `lossy-quality`, which needs the former. Raises ParameterOutOfRange."""
    if "transcode" not in request.query:
        return None, None
    return _known(request.query["transcode"]), _quality_of(request.query.get("lossy-quality", ""))


def _quality_of(text: str) -> int | None:
    if not text:
        return None
    number = text.lstrip().removeprefix("+")
    is_number = number.isascii() and number.isdigit()
    quality = int("0" + number.lstrip("0")[:_MAX_DIGITS]) if is_number else 0
    if not is_number or quality > _MAX_UNSIGNED:
        raise ParameterOutOfRange(f'Expected a Unsigned Int for GET argument "lossy-quality", found: {text}')
    return _bounded(quality)


def transcoding_of_body(fields: Fields) -> tuple[str | None, int | None]:
    """Return `Transcode` and `LossyQuality`, which needs the former. Raises BadFileFormat for a wrong type,
    BadParameterType for a negative quality, ParameterOutOfRange.
    """
    if "Transcode" not in fields:
        return None, None
    syntax = _known(fields.text("Transcode", ""))
    if "LossyQuality" not in fields:
        return syntax, None
    quality = fields.integer("LossyQuality", 0)
    if quality < 0:
        raise BadParameterType("Negative value found while expecting an unsigned int in field 'LossyQuality'")
    return syntax, _bounded(quality)


def _bounded(quality: int) -> int:
    return min(quality, _MAX_QUALITY)


def _known(syntax: str) -> str:
    if find_syntax(syntax) is None:
        raise ParameterOutOfRange(f"Unknown transfer syntax: {syntax}")
    return syntax
