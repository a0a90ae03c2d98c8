"""A dataset from one encoding (VR, order of bytes) to another, value by value.

Values stay the bytes that they are, but for their order: no text is decoded, so none is lost to a wrong
character set. Source: PS3.5 §7.1, §7.3 and Annex A.
"""

from typing import Final

import numpy as np
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag

from .dictionary import STANDARD, Dictionary
from .transfer_syntax import TransferSyntax

_BLOCK_MASK = 0xFFFF0000
_WORD_BYTES: Final = (
    dict.fromkeys(("US", "SS", "AT", "OW"), 2)
    | dict.fromkeys(("UL", "SL", "FL", "OF", "OL"), 4)
    | dict.fromkeys(("FD", "SV", "UV", "OD", "OV"), 8)
)
_SIGNED_OR_NOT = ("US or SS", "US or SS or OW")


def reencode(dataset: Dataset, target: TransferSyntax, dictionary: Dictionary = STANDARD) -> None:
    """Prepare a dataset that was read from a file for being written in the encoding of `target`.

    `dictionary` knows the VRs that are not written. What was decoded already is left to pydicom. Raises what
    it raises for a value that it cannot read.
    """
    is_signed = dataset.get("PixelRepresentation", 0) == 1
    _Reencoder(target, dictionary, is_signed=is_signed).convert(dataset)


def item_of(dataset: Dataset, tag: int) -> DataElement | RawDataElement:
    """Return an element as it was read, not decoded. Raises KeyError if it is missing."""
    return dataset.get_item(tag)


class _Reencoder:
    def __init__(self, target: TransferSyntax, dictionary: Dictionary, *, is_signed: bool) -> None:
        self._target = target
        self._dictionary = dictionary
        self._is_signed = is_signed

    def convert(self, dataset: Dataset) -> None:
        for tag in list(dataset.keys()):
            element = item_of(dataset, tag)
            if isinstance(element, RawDataElement) and not self._fits(element):
                vr = element.VR or self._vr(dataset, tag)
                element = dataset[tag] if vr == "SQ" else self._converted(element, vr)
                dataset[tag] = element
            if isinstance(element, DataElement) and element.VR == "SQ":
                for item in element.value:
                    self.convert(item)
        # The values are no longer those of the file; pydicom is not to convert them a second time.
        dataset.set_original_encoding(self._target.is_implicit, self._target.is_little_endian)

    def _fits(self, element: RawDataElement) -> bool:
        # Told by the element: a file may be encoded in another way than it says.
        read_as = (element.is_implicit_VR, element.is_little_endian)
        return read_as == (self._target.is_implicit, self._target.is_little_endian)

    def _vr(self, dataset: Dataset, tag: BaseTag) -> str:
        vr = _known_vr(dataset, tag, self._dictionary)
        if vr in _SIGNED_OR_NOT:
            return "SS" if self._is_signed else "US"
        return "OW" if vr in ("OB or OW", "US or OW") else vr

    def _converted(self, element: RawDataElement, vr: str) -> RawDataElement:
        value = element.value
        little = self._target.is_little_endian
        if value and element.is_little_endian != little:
            value = swap_bytes(value, _WORD_BYTES.get(vr, 1))
        return element._replace(
            VR=vr, value=value, is_implicit_VR=self._target.is_implicit, is_little_endian=little
        )


def _known_vr(dataset: Dataset, tag: BaseTag, dictionary: Dictionary) -> str:
    if tag.is_private:
        creator = dataset.get(tag & _BLOCK_MASK | tag.element >> 8)
        name = "" if creator is None else str(creator.value).strip()
        return dictionary.entry_of(int(tag), name).vr.decode()
    try:
        return dictionary_VR(tag)
    except KeyError:
        return dictionary.entry_of(int(tag)).vr.decode()


def swap_bytes(data: bytes, word: int) -> bytes:
    """Reverse the bytes of each word of `word` bytes; what is left at the end stays."""
    if word == 1:
        return data
    whole = len(data) // word * word
    return np.frombuffer(data, f"u{word}", whole // word).byteswap().tobytes() + data[whole:]
