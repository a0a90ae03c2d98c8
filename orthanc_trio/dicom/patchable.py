"""Elements as a patch sees them: where each begins and ends, and its header with another length (PS3.5 §7).

Strict where `scan` is lenient: what is not understood is not patched.
"""

from struct import Struct
from typing import Final, NamedTuple

from .scan import (
    ITEM,
    LITTLE,
    LONG_VRS,
    PIXEL_DATA,
    SEQUENCE_DELIMITER,
    SHORT_VRS,
    UNDEFINED,
    NeedMoreData,
    Source,
    end_of_value,
)

DELIMITERS: Final = 0xFFFE
"""The group of items and delimiters."""
_MAX_SHORT: Final = 0xFFFE
_SHORT: Final = Struct("<H")
_LONG: Final = Struct("<L")


class NotUnderstood(Exception):
    """The bytes are of a kind that is not patched."""


class Element(NamedTuple):
    """The header of an element: where it begins, its VR (None if implicit), and where its value does."""

    tag: int
    vr: bytes | None
    start: int
    value: int
    length: int


class Patchable:
    """The elements of a source in little endian."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._data = source.data
        self._size = len(source.data)

    def at(self, position: int, *, implicit: bool) -> Element:
        """Return the element, item or delimiter at a position.

        Raises NotUnderstood, NeedMoreData if the head of a file ends there, BadEncoding if all of it does.
        """
        if position + 8 > self._size:
            raise self._source.lack(position + 8)
        if implicit:
            group, number, length = LITTLE.implicit.unpack_from(self._data, position)
            return Element(group << 16 | number, None, position, position + 8, length)
        group, number, vr, length = LITTLE.explicit.unpack_from(self._data, position)
        if vr in SHORT_VRS:
            return Element(group << 16 | number, vr, position, position + 8, length)
        if group == DELIMITERS:
            return Element(group << 16 | number, None, position, position + 8, 0)
        if vr not in LONG_VRS:
            raise NotUnderstood
        if position + 12 > self._size:
            raise self._source.lack(position + 12)
        (length,) = _LONG.unpack_from(self._data, position + 8)
        return Element(group << 16 | number, vr, position, position + 12, length)

    def value_of(self, element: Element, end: int) -> bytes:
        """Return a value that ends at `end`. Raises NeedMoreData or BadEncoding if it is not all there."""
        if end > self._size:
            raise self._source.lack(end)
        return self._data[element.value : end]

    def end_of(self, element: Element) -> int:
        """Return where an element ends; that may be beyond the data. Raises as `at`."""
        if element.length != UNDEFINED:
            return element.value + element.length
        if element.tag == PIXEL_DATA:
            return self._end_of_fragments(element.value)
        return end_of_value(self._source, element.vr, UNDEFINED, element.value)

    def with_length(self, element: Element, length: int) -> bytes:
        """Return the header of an element with another length. Raises NotUnderstood if that is too much."""
        if element.value - element.start == 8 and element.vr is not None:
            if length > _MAX_SHORT:
                raise NotUnderstood
            return self._data[element.start : element.value - 2] + _SHORT.pack(length)
        return self._data[element.start : element.value - 4] + _LONG.pack(length)

    def _end_of_fragments(self, position: int) -> int:
        while True:
            if position + 8 > self._size:
                raise NeedMoreData(self._source.total) if self._size < self._source.total else NotUnderstood
            tag, _, _, start, length = self.at(position, implicit=True)
            if tag == SEQUENCE_DELIMITER:
                return start
            if tag != ITEM or length == UNDEFINED:
                raise NotUnderstood
            position = start + length
