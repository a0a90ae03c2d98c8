"""What an instance says of itself once its pixels were compressed with a loss.

Source: PS3.3 §C.7.6.1.1.2, §C.7.6.1.1.5 and §C.12.4.
"""

from typing import Any, Final

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import UID

from .derived_uid import derived_uid
from .transfer_syntax import Coding, TransferSyntax

_METHODS: Final = {
    Coding.JPEG: "ISO_10918_1",
    Coding.JPEG_LS: "ISO_14495_1",
    Coding.JPEG_2000: "ISO_15444_1",
}
_MAX_DESCRIPTION = 1024
_LOSSY_COMPRESSION = ("113040", "Lossy Compression")
_PREDECESSOR = ("121320", "Uncompressed predecessor")


def derive(
    dataset: Dataset, target: TransferSyntax, quality: int, *, ratio: float, keeps_uid: bool = False
) -> None:
    """Make of a dataset another instance, compressed `ratio` to one, that names the one it comes from.

    Its SOP Instance UID is that of `derived_uid`. With `keeps_uid` it stays the same instance, as far as the
    standard is concerned.
    """
    method = _METHODS[target.coding]
    dataset.LossyImageCompression = "01"
    dataset.LossyImageCompressionRatio = [*_values(dataset, "LossyImageCompressionRatio"), f"{ratio:.4g}"]
    dataset.LossyImageCompressionMethod = [*_values(dataset, "LossyImageCompressionMethod"), method]
    dataset.ImageType = ["DERIVED", *(_values(dataset, "ImageType")[1:] or ["PRIMARY"])]
    before = str(dataset.get("DerivationDescription") or "")
    now = f"Lossy compression with {method}, quality {quality}, ratio {ratio:.4g}"
    dataset.DerivationDescription = f"{before}; {now}".removeprefix("; ")[:_MAX_DESCRIPTION]
    _append(dataset, "DerivationCodeSequence", _code(*_LOSSY_COMPRESSION))
    if "SOPInstanceUID" in dataset and not keeps_uid:
        _append(dataset, "SourceImageSequence", _reference(dataset))
        dataset.SOPInstanceUID = UID(derived_uid(str(dataset.SOPInstanceUID), target.uid, quality))


def _values(dataset: Dataset, keyword: str) -> list[Any]:
    value = dataset.get(keyword)
    if value is None or value == "":
        return []
    return [value] if isinstance(value, (str, int, float)) else list(value)


def _append(dataset: Dataset, keyword: str, item: Dataset) -> None:
    setattr(dataset, keyword, Sequence([*(dataset.get(keyword) or ()), item]))


def _code(value: str, meaning: str) -> Dataset:
    code = Dataset()
    code.CodeValue = value
    code.CodingSchemeDesignator = "DCM"
    code.CodeMeaning = meaning
    return code


def _reference(dataset: Dataset) -> Dataset:
    reference = Dataset()
    if "SOPClassUID" in dataset:
        reference.ReferencedSOPClassUID = dataset.SOPClassUID
    reference.ReferencedSOPInstanceUID = dataset.SOPInstanceUID
    reference.PurposeOfReferenceCodeSequence = Sequence([_code(*_PREDECESSOR)])
    return reference
