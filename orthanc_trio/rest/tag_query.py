"""Arguments of the URL that say how tags are shown. Source: the Orthanc Book, "DICOM-as-JSON"."""

from ..dicom.dictionary import Dictionary
from ..dicom.render import Format
from .wire import Request

_NONE: frozenset[int] = frozenset()


def format_of(request: Request, default: Format) -> Format:
    """Return the format that the URL asks for: the presence of a switch is enough."""
    query = request.query
    return next((format for format in Format if format.value in query), default) if query else default


def unlimited_tags(request: Request, dictionary: Dictionary) -> frozenset[int]:
    """Return the tags of `ignore-length`, which are separated by commas. Raises UnknownDicomTag."""
    text = request.query.get("ignore-length")
    return (
        _NONE if text is None else frozenset(dictionary.tag_number(name.strip()) for name in text.split(","))
    )
