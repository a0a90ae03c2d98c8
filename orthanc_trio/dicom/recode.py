"""A DICOM file in another transfer syntax: its frames one by one, then the encoding of its dataset.

Source: PS3.5 §8.2 and Annex A.
"""

import sys
from collections.abc import Iterator
from io import BytesIO

from msgspec.structs import replace
from pydicom import dcmread
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset, FileDataset
from pydicom.encaps import encapsulate, encapsulate_extended, generate_frames
from pydicom.filewriter import dcmwrite
from pydicom.uid import UID

from ..model.errors import BadFileFormat
from .codec import can_encode, decode, decoded_photometric, encode, encoded_photometric
from .derivation import derive
from .lossy_form import lossy_form
from .part10 import IMPLEMENTATION, open_dataset
from .pixel_format import Frame, PixelFormat, canonical, native_frames, read_format
from .reencode import item_of, reencode
from .transfer_syntax import TransferSyntax, find_syntax

_PIXEL_DATA = 0x7FE00010
_MAX_OFFSET = 0xFFFFFFFF
_ITEM_HEADER_BYTES = 8


def recode_file(data: bytes, target: TransferSyntax, quality: int, *, keeps_uid: bool = False) -> bytes:
    """Return the file in the transfer syntax `target`: `data` itself if it has it already.

    With `keeps_uid` a loss does not make it another instance.

    Raises BadFileFormat if that is not possible, and whatever pydicom and the codecs raise.
    """
    opened = open_dataset(data, len(data))
    source = find_syntax(opened.transfer_syntax)
    if source == target:
        return data
    if source is None or opened.source.total == sys.maxsize:  # the latter inflates to no end
        raise BadFileFormat("The file has an unknown transfer syntax, or inflates to too much")
    dataset = dcmread(BytesIO(data), force=True)
    if "PixelData" not in dataset:
        pass  # only the encoding of the dataset changes, and of a compressed syntax that is a plain one
    elif source.is_native and target.is_native:
        _rewrite_native(dataset, source, target)
    else:
        _recode(dataset, source, target, quality, keeps_uid=keeps_uid)
    reencode(dataset, target)
    return _written(dataset, target)


def _rewrite_native(dataset: Dataset, source: TransferSyntax, target: TransferSyntax) -> None:
    bits_allocated = int(dataset.get("BitsAllocated") or 16)
    data, vr = _native_data(dataset, source, bits_allocated)
    _set_native(dataset, data, bits_allocated, target, vr)


def _native_data(dataset: Dataset, source: TransferSyntax, bits_allocated: int) -> tuple[bytes, str]:
    """Return the pixel data as in a little endian file, and its VR."""
    element = item_of(dataset, _PIXEL_DATA)
    assert isinstance(element, RawDataElement)
    data, vr = element.value or b"", element.VR or "OW"
    return (data if source.is_little_endian else canonical(data, bits_allocated, vr)), vr


def _set_native(dataset: Dataset, data: bytes, bits_allocated: int, target: TransferSyntax, vr: str) -> None:
    if not target.is_little_endian:
        data = canonical(data, bits_allocated, vr)
    dataset[_PIXEL_DATA] = DataElement(_PIXEL_DATA, vr, data)


def _recode(
    dataset: Dataset, source: TransferSyntax, target: TransferSyntax, quality: int, *, keeps_uid: bool
) -> None:
    """Decode and encode the frames, one by one, and tell in the tags what they are now."""
    tagged = read_format(dataset)
    decoded = replace(tagged, photometric=decoded_photometric(tagged, source), is_planar=False)
    frames = _frames(dataset, source, tagged)
    format, convert = lossy_form(dataset, decoded, target)
    if not target.is_native and not can_encode(format, target):
        raise BadFileFormat("These pixels cannot be written in this transfer syntax")
    if convert is not None:
        frames = map(convert, frames)
    if target.is_native:
        vr = "OB" if format.bits_allocated == 8 and not target.is_implicit else "OW"
        pixels = b"".join(frame.tobytes() for frame in frames)
        _set_native(dataset, pixels + b"\0" * (len(pixels) % 2), format.bits_allocated, target, vr)
        photometric, is_planar = format.photometric, False
    else:
        encoded = [bytes(encode(frame, format, target, quality)) for frame in frames]
        _set_encapsulated(dataset, encoded)
        photometric, is_planar = encoded_photometric(format, target), target.is_planar
        if target.is_lossy:
            ratio = format.size / sum(map(len, encoded))
            derive(dataset, target, quality, ratio=ratio, keeps_uid=keeps_uid)
    dataset.PhotometricInterpretation = photometric
    if format.samples > 1:
        dataset.PlanarConfiguration = int(is_planar)


def _frames(dataset: Dataset, source: TransferSyntax, format: PixelFormat) -> Iterator[Frame]:
    if source.is_native:
        data, _ = _native_data(dataset, source, format.bits_allocated)
        yield from native_frames(data, format)
        return
    element = item_of(dataset, _PIXEL_DATA)
    assert isinstance(element, RawDataElement)
    count = 0
    for fragment in generate_frames(
        element.value or b"", number_of_frames=format.frames, extended_offsets=_extended_offsets(dataset)
    ):
        count += 1
        if count > format.frames:
            break
        yield decode(fragment, format, source)
    if count != format.frames:
        raise BadFileFormat("An image has not the number of frames that it says")


def _extended_offsets(dataset: Dataset) -> tuple[bytes, bytes] | None:
    if "ExtendedOffsetTable" not in dataset:
        return None
    return dataset.ExtendedOffsetTable, dataset.ExtendedOffsetTableLengths


def _set_encapsulated(dataset: Dataset, encoded: list[bytes]) -> None:
    for keyword in ("ExtendedOffsetTable", "ExtendedOffsetTableLengths"):
        if keyword in dataset:
            del dataset[keyword]
    if sum(len(frame) + _ITEM_HEADER_BYTES for frame in encoded) > _MAX_OFFSET:
        data, dataset.ExtendedOffsetTable, dataset.ExtendedOffsetTableLengths = encapsulate_extended(encoded)
    else:
        data = encapsulate(encoded)
    element = DataElement(_PIXEL_DATA, "OB", data)
    element.is_undefined_length = True
    dataset[_PIXEL_DATA] = element


def _written(dataset: FileDataset, target: TransferSyntax) -> bytes:
    meta = dataset.file_meta
    meta.FileMetaInformationGroupLength = 0  # it is there, so it will be right
    meta.FileMetaInformationVersion = b"\0\1"
    meta.TransferSyntaxUID = UID(target.uid)
    meta.ImplementationClassUID = UID(IMPLEMENTATION)
    meta.pop("ImplementationVersionName", None)
    for keyword in ("SOPClassUID", "SOPInstanceUID"):
        if keyword in dataset:
            setattr(meta, f"MediaStorage{keyword}", dataset[keyword].value)
    # A preamble may say where the pixels are for another format, which is true no more.
    dataset.preamble = bytes(128)
    file = BytesIO()
    dcmwrite(file, dataset)
    return file.getvalue()
