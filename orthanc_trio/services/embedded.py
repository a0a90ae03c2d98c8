"""Images and documents among the new values of a modification, as data URIs -> the tags that hold them.

Source: the Orthanc Book, "Anonymization and modification of DICOM files".
"""

from collections.abc import Mapping
from typing import Any, Final

from ..dicom.dictionary import Dictionary
from ..dicom.embedding import ENCAPSULATED_DOCUMENT, embedded_values, is_embeddable
from ..dicom.scan import PIXEL_DATA
from ..model.errors import BadRequest, UnknownDicomTag
from .transcoding import InWorker

MAX_VALUE_BYTES: Final = 16 << 20
"""What the new values of one request may have as base64: a job keeps them."""
_HOLDERS: Final = (PIXEL_DATA, ENCAPSULATED_DOCUMENT)


async def with_embedded(
    replaced: Mapping[str, Any], dictionary: Dictionary, in_worker: InWorker
) -> dict[str, Any]:
    """Return new values, by the names of tags, without data URIs of images and documents.

    Raises BadFileFormat and NotImplementedYet for a bad one, BadRequest if they are too large.
    """
    found = {name for name, value in replaced.items() if is_embeddable(value) and _holds(name, dictionary)}
    values = {name: value for name, value in replaced.items() if name not in found}
    for name in sorted(found):
        # A cancel kills the process.
        values |= await in_worker(embedded_values, replaced[name])
    if found and sum(len(value) for value in values.values() if isinstance(value, str)) > MAX_VALUE_BYTES:
        raise BadRequest("The new values are too large")
    return values


def _holds(name: str, dictionary: Dictionary) -> bool:
    try:
        return dictionary.tag_number(name) in _HOLDERS
    except UnknownDicomTag:
        return False  # a path, or an error that others report
