"""One value of a file, raw, by its path through the sequences. Sans-I/O; safe in any thread.

Source: the Orthanc Book, `/instances/{id}/content`.
"""

from array import array
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from ..model.errors import BadFileFormat
from .dictionary import STANDARD, Dictionary, Entry
from .part10 import open_dataset
from .render import is_sequence
from .scan import (
    BIG,
    ITEM,
    ITEM_DELIMITER,
    MAX_DEPTH,
    PIXEL_DATA,
    UNDEFINED,
    BadEncoding,
    Header,
    NeedMoreData,
    Source,
    end_of_value,
    looks_explicit,
    read_header,
)

_UNITS = {
    2: (b"US", b"SS", b"OW", b"AT"),
    4: (b"UL", b"SL", b"FL", b"OL", b"OF"),
    8: (b"UV", b"SV", b"FD", b"OV", b"OD"),
}
_CODES = {2: "H", 4: "I", 8: "Q"}
_CODE_OF = {vr: _CODES[size] for size, vrs in _UNITS.items() for vr in vrs}
_MAX_DIGITS = 9


Ends = dict[int, int]
"""Where what has an undefined length ends, by its start, as far as that is known already."""


class Place(NamedTuple):
    """Where a dataset or an item lies; an item of undefined length ends before its limit."""

    start: int
    limit: int
    implicit: bool
    is_nested: bool = False
    """Whether it lies in an element whose depth was checked."""


class Leaf(NamedTuple):
    """Where a value lies, and the letter of its numbers in `array`, if any."""

    start: int
    end: int
    code: str | None


def read_content(
    data: bytes, path: Sequence[str], dictionary: Dictionary = STANDARD
) -> list[str] | bytes | None:
    """Return what lies at `path`, which is made of tags and of indexes in turn; None if there is nothing.

    A dataset or an item is the list of its tags as `gggg-eeee`, a sequence, and PixelData, the list of its
    indexes; of encapsulated PixelData the first is the table of offsets. A value comes with its padding,
    numbers in little endian.
    Raises UnknownDicomTag, or BadFileFormat if this is no DICOM file.
    """
    try:
        dataset = open_dataset(data, len(data))
    except (BadEncoding, NeedMoreData) as error:
        raise BadFileFormat("Cannot parse an invalid DICOM file") from error
    place = Place(dataset.start, len(dataset.source.data), dataset.implicit)
    return _descend(dataset.source, place, list(path), dictionary)


def _descend(
    source: Source, place: Place, path: list[str], dictionary: Dictionary
) -> list[str] | bytes | None:
    ends: Ends = {}
    for _ in range(MAX_DEPTH):
        if not path:
            return [f"{h.tag >> 16:04x}-{h.tag & 0xFFFF:04x}" for h, _ in elements(source, place, ends)]
        wanted = dictionary.tag_number(path.pop(0))
        found = next(((h, end) for h, end in elements(source, place, ends) if h.tag == wanted), None)
        if found is None:
            return None
        children = _children(source, place, *found, dictionary, ends)
        if isinstance(children, Leaf):
            return None if path else read_leaf(source, children)
        if not path:
            return [str(index) for index in range(len(children))]
        index = path.pop(0)
        if not (
            index.isascii() and index.isdigit() and len(index) <= _MAX_DIGITS and int(index) < len(children)
        ):
            return None
        child = children[int(index)]
        if isinstance(child, Leaf):
            return None if path else read_leaf(source, child)
        place = child
    return None


def elements(source: Source, place: Place, ends: Ends) -> Iterator[tuple[Header, int]]:
    """Yield the elements with the ends of their values, as far as they can be read.

    `ends` is for one walk through one source, empty at first.
    """
    position = place.start
    try:
        while position + 8 <= place.limit:
            header = read_header(source, position, implicit=place.implicit)
            if header.tag == ITEM_DELIMITER:
                return
            position = _end_of(source, header, ends, is_nested=place.is_nested)
            if position > place.limit:
                return
            yield header, position
    except (BadEncoding, NeedMoreData):
        return


def _end_of(source: Source, header: Header, ends: Ends, *, is_nested: bool) -> int:
    if header.length != UNDEFINED and is_nested:
        return header.start + header.length
    known = ends.get(header.start)
    return end_of_value(source, header.vr, header.length, header.start, ends) if known is None else known


def _children(
    source: Source, place: Place, header: Header, end: int, dictionary: Dictionary, ends: Ends
) -> Sequence[Place | Leaf] | Leaf:
    entry = dictionary.entry_of(header.tag)
    if header.tag == PIXEL_DATA:
        if header.length == UNDEFINED:
            return list(_fragments(source, header.start, end))
        return [leaf_of(source, header, end, entry)]
    if is_sequence(source, header, entry):
        implicit = place.implicit or header.vr is None
        return list(items(source, header.start, end, ends, implicit=implicit))
    return leaf_of(source, header, end, entry)


def leaf_of(source: Source, header: Header, end: int, entry: Entry) -> Leaf:
    """Return the place of a value."""
    vr = header.vr or entry.vr
    return Leaf(header.start, end, _CODE_OF.get(vr) if source.order is BIG else None)


def _fragments(source: Source, position: int, end: int) -> Iterator[Leaf]:
    while position + 8 <= end:
        tag, _, length, start = read_header(source, position, implicit=True)
        position = start + length
        if tag != ITEM or position > end:
            return
        yield Leaf(start, position, None)


def items(source: Source, position: int, end: int, ends: Ends, *, implicit: bool) -> Iterator[Place]:
    """Yield the places of the items of a sequence, as far as they can be read; `ends` as for its elements."""
    while position + 8 <= end:
        tag, _, length, start = read_header(source, position, implicit=True)
        if tag != ITEM:
            return
        item = Place(start, end, implicit or not looks_explicit(source, start), is_nested=True)
        if length == UNDEFINED:
            position = ends.get(start) or _end_of_item(source, item, ends)
        else:
            position = min(start + length, end)
            item = item._replace(limit=position)
        yield item


def _end_of_item(source: Source, item: Place, ends: Ends) -> int:
    found = [end for _, end in elements(source, item, ends)]
    return (found[-1] if found else item.start) + 8  # its delimiter


def read_leaf(source: Source, leaf: Leaf) -> bytes:
    """Return a value, numbers in little endian."""
    raw = source.data[leaf.start : leaf.end]
    if leaf.code is None:
        return raw
    numbers = array(leaf.code)
    numbers.frombytes(raw[: len(raw) // numbers.itemsize * numbers.itemsize])
    numbers.byteswap()
    return numbers.tobytes()
