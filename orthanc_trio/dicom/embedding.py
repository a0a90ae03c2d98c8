"""A document, a model or an image, as data URI -> the elements that hold it in an instance.

Source: the Orthanc Book, "Create DICOM"; PS3.3 §A.45.1 (PDF), §A.85 (models), §C.7.6.3 (pixels).
"""

from binascii import b2a_base64
from typing import Any, Final, NamedTuple

from ..model.errors import BadFileFormat, NotImplementedYet
from .data_uri import decode_data_uri, media_type_of
from .dictionary import tag_text
from .new_value import BINARY_PREFIX, encode_element, padded
from .part10 import EXPLICIT_LITTLE
from .picture import PICTURE_TYPES, Picture, read_picture
from .scan import SHORT_VRS
from .value import TEXT_VRS

ENCAPSULATED_DOCUMENT: Final = 0x00420011
JPEG_BASELINE: Final = "1.2.840.10008.1.2.4.50"
_PDF: Final = "application/pdf"
_BYTES: Final = "application/octet-stream"
_JPEG: Final = "image/jpeg"
_MODELS: Final = {"model/stl": b"3", "model/obj": b"4", "model/mtl": b"5"}
_DOCUMENT_CLASS: Final = b"1.2.840.10008.5.1.4.1.1.104."
_PDF_MAGIC: Final = b"%PDF-"
_ITEM: Final = b"\xfe\xff\x00\xe0"
_VR, _SHORT_HEADER, _LONG_HEADER = slice(4, 6), 8, 12
_SEQUENCE_DELIMITER: Final = b"\xfe\xff\xdd\xe0\0\0\0\0"
_UNDEFINED_LENGTH: Final = b"\xff\xff\xff\xff"
_PIXEL_DATA_OB: Final = b"\xe0\x7f\x10\x00OB\0\0"

_SOP_CLASS_UID, _MODALITY, _CONVERSION_TYPE = 0x00080016, 0x00080060, 0x00080064
_SAMPLES, _PHOTOMETRIC, _PLANAR = 0x00280002, 0x00280004, 0x00280006
_ROWS, _COLUMNS, _PIXEL_DATA = 0x00280010, 0x00280011, 0x7FE00010
_BITS_ALLOCATED, _BITS_STORED, _HIGH_BIT, _REPRESENTATION = 0x00280100, 0x00280101, 0x00280102, 0x00280103
_DOCUMENT_TYPE, _DOCUMENT_LENGTH = 0x00420012, 0x00420015

Elements = dict[int, bytes]
"""Encoded elements, in Explicit VR Little Endian, by tag."""


class Embedded(NamedTuple):
    """What holds the content: `elements` take the place of others, `defaults` stand where there is none."""

    elements: Elements
    defaults: Elements
    transfer_syntax: str = EXPLICIT_LITTLE


def is_picture(uri: str) -> bool:
    """Tell whether a data URI holds an image: to decode it takes time and memory. Raises BadFileFormat."""
    return media_type_of(uri) in PICTURE_TYPES


def is_embeddable(value: Any) -> bool:
    """Tell whether the value of a tag is a data URI of something to embed, and not just of bytes."""
    return isinstance(value, str) and value.startswith("data:") and not value.startswith(BINARY_PREFIX)


def embed(uri: str, *, is_encapsulated: bool = False) -> Embedded:
    """Return the elements that hold what a data URI carries.

    `is_encapsulated` keeps a JPEG as it is, in place of its pixels. Raises BadFileFormat for what is no data
    URI or not of the type that it says, NotImplementedYet for a type that cannot be embedded.
    """
    media_type, data = decode_data_uri(uri)
    if is_encapsulated and media_type != _JPEG:
        raise NotImplementedYet(f"Cannot encapsulate pixel data from MIME type: {media_type}")
    if media_type == _BYTES:
        return Embedded(_elements({_PIXEL_DATA: (b"OW", data)}), {})
    if media_type == _PDF:
        if not data.startswith(_PDF_MAGIC):
            raise BadFileFormat("Not a PDF file")
        return _document(
            media_type, data, b"1", {_MODALITY: (b"CS", b"OT"), _CONVERSION_TYPE: (b"CS", b"WSD")}
        )
    if media_type in _MODELS:
        if not data:
            raise BadFileFormat("Not a 3D model")
        return _document(media_type, data, _MODELS[media_type], {_MODALITY: (b"CS", b"M3D")})
    if media_type not in PICTURE_TYPES:
        raise NotImplementedYet(f"Unsupported MIME type for the content of a new DICOM file: {media_type}")
    picture = read_picture(media_type, data)
    return _jpeg(picture, data) if is_encapsulated else _pixels(picture)


def embedded_values(uri: str) -> dict[str, str]:
    """Return the same as new values of tags, `gggg,eeee` -> JSON: for a modification, of native pixels.

    What stands only where there is none is left out, as an instance has a class and a modality. Raises as
    `embed`.
    """
    embedded = embed(uri)
    photometric = {tag: element for tag, element in embedded.defaults.items() if tag == _PHOTOMETRIC}
    return {tag_text(tag): _json(element) for tag, element in (photometric | embedded.elements).items()}


def _json(element: bytes) -> str:
    vr = element[_VR]
    if vr in TEXT_VRS:
        return element[_SHORT_HEADER:].decode("ascii").rstrip(" \0")
    if vr in SHORT_VRS:
        return str(int.from_bytes(element[_SHORT_HEADER:], "little"))
    return BINARY_PREFIX + b2a_base64(element[_LONG_HEADER:], newline=False).decode("ascii")


def _document(
    media_type: str, data: bytes, number: bytes, defaults: dict[int, tuple[bytes, bytes]]
) -> Embedded:
    """Return a document; its length tells how many bytes there are before the padding."""
    elements = _elements(
        {
            ENCAPSULATED_DOCUMENT: (b"OB", data),
            _DOCUMENT_TYPE: (b"LO", media_type.encode("ascii")),
            _DOCUMENT_LENGTH: (b"UL", len(data).to_bytes(4, "little")),
        }
    )
    return Embedded(elements, _elements({_SOP_CLASS_UID: (b"UI", _DOCUMENT_CLASS + number)} | defaults))


def _pixels(picture: Picture) -> Embedded:
    described = _described(picture, b"RGB")
    described.elements[_PIXEL_DATA] = encode_element(
        _PIXEL_DATA, b"OW", padded(picture.pixels, b"OW"), implicit=False
    )
    return described


def _jpeg(picture: Picture, data: bytes) -> Embedded:
    """Return the file as the one fragment after the table of its offset (PS3.5 §A.4)."""
    if picture.bits != 8:
        raise NotImplementedYet("Only JPEG images of 8 bits can be encapsulated")
    described = _described(picture, b"YBR_FULL_422")
    fragment = padded(data, b"OB")
    described.elements[_PIXEL_DATA] = b"".join(
        (
            _PIXEL_DATA_OB + _UNDEFINED_LENGTH,
            _ITEM + b"\4\0\0\0" + b"\0\0\0\0",
            _ITEM + len(fragment).to_bytes(4, "little"),
            fragment,
            _SEQUENCE_DELIMITER,
        )
    )
    return described._replace(transfer_syntax=JPEG_BASELINE)


def _described(picture: Picture, colours: bytes) -> Embedded:
    numbers = {
        _SAMPLES: picture.samples,
        _ROWS: picture.rows,
        _COLUMNS: picture.columns,
        _BITS_ALLOCATED: picture.bits,
        _BITS_STORED: picture.bits,
        _HIGH_BIT: picture.bits - 1,
        _REPRESENTATION: 0,
    }
    if picture.samples > 1:
        numbers[_PLANAR] = 0
    elements = _elements({tag: (b"US", number.to_bytes(2, "little")) for tag, number in numbers.items()})
    if picture.samples > 1:
        return Embedded(elements | _elements({_PHOTOMETRIC: (b"CS", colours)}), {})
    return Embedded(elements, _elements({_PHOTOMETRIC: (b"CS", b"MONOCHROME2")}))


def _elements(values: dict[int, tuple[bytes, bytes]]) -> Elements:
    return {
        tag: encode_element(tag, vr, padded(value, vr), implicit=False) for tag, (vr, value) in values.items()
    }
