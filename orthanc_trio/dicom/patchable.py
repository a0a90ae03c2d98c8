"""Elements as a patch sees them: where each begins and ends, and its header with another length (PS3.5 §7).

Strict where `scan` is lenient: what is not understood is not patched.
"""

from collections.abc import Callable
from struct import Struct
from typing import Final, NamedTuple

from .scan import (
    LITTLE,
    LONG_VRS,
    PIXEL_DATA,
    SHORT_VRS,
    UNDEFINED,
    BadEncoding,
    Source,
    end_of_value,
)

DELIMITERS: Final = 0xFFFE
"""The group of items and delimiters."""
_MAX_SHORT: Final = 0xFFFE
_MAX_READS: Final = 100_000
"""Of fragments of one image; a file with more has to be at hand."""
_END_OF_FRAGMENTS: Final = b"\xfe\xff\xdd\xe0\0\0\0\0"
_SHORT: Final = Struct("<H")
_LONG: Final = Struct("<L")


Read = Callable[[int, int], bytes]
"""Reads a file: from an offset, up to a number of bytes."""


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
    """The elements of a source in little endian; `read` reads what is beyond the data at hand."""

    def __init__(self, source: Source, read: Read | None = None) -> None:
        self._source = source
        self._read = read
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
        """Skip encapsulated pixels, which need not be at hand: only the lengths of fragments are read."""
        number = 0
        while True:
            header = self._data[position : position + 8]
            if len(header) < 8:
                if position + 8 > self._source.total or self._read is None or number >= _MAX_READS:
                    raise self._source.lack(position + 8)
                number += 1
                header = self._read(position, 8)
                if len(header) < 8:
                    raise BadEncoding("The file is shorter than it was")
            position += 8
            if header == _END_OF_FRAGMENTS:
                return position
            length = int.from_bytes(header[4:], "little")
            if header[:4] != LITTLE.item or length == UNDEFINED:
                raise NotUnderstood
            position += length
