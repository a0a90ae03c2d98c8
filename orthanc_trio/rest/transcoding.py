"""The arguments that ask for another transfer syntax, with the errors that Orthanc gives.

Source: the Orthanc Book, "Transcoding".
"""

from ..dicom.transfer_syntax import find_syntax
from ..model.errors import ParameterOutOfRange
from .fields import Fields
from .wire import Request


def transcoding_of_url(request: Request) -> tuple[str | None, int | None]:
    """Return `transcode` and `lossy-quality`, which needs the former. Raises ParameterOutOfRange."""
    if "transcode" not in request.query:
        return None, None
    quality = request.query.get("lossy-quality")
    if quality is not None and not (quality.isascii() and quality.isdigit()):
        raise ParameterOutOfRange(
            f'Expected a Unsigned Int for GET argument "lossy-quality", found: {quality}'
        )
    return _known(request.query["transcode"]), None if quality is None else int(quality[:9])


def transcoding_of_body(fields: Fields) -> tuple[str | None, int | None]:
    """Return `Transcode` and `LossyQuality`. Raises BadFileFormat for a wrong type, ParameterOutOfRange."""
    syntax = _known(fields.text("Transcode", "")) if "Transcode" in fields else None
    quality = fields.integer("LossyQuality", 0)
    if syntax is None or "LossyQuality" not in fields:
        return syntax, None
    return syntax, min(max(quality, 0), 1000)


def _known(syntax: str) -> str:
    if find_syntax(syntax) is None:
        raise ParameterOutOfRange(f"Unknown transfer syntax: {syntax}")
    return syntax
