"""Where the elements of a dataset lie, found by their headers alone (PS3.5 §7); no value is looked at.

Nothing in the bytes is trusted: every length is checked against the data, and nesting and counts are bounded.
Files in the wild are careless: explicit and implicit VR may be mixed, VRs unknown.
"""

from collections.abc import Callable, Container
from struct import Struct
from typing import NamedTuple

MAX_ELEMENTS = 4_000_000
"""Elements of a dataset before its pixels, nested ones apart; as many nested ones in one sequence."""
MAX_DEPTH = 64
"""Sequences within sequences."""
UNDEFINED = 0xFFFFFFFF
PIXEL_DATA = 0x7FE00010
ITEM = 0xFFFEE000
ITEM_DELIMITER = 0xFFFEE00D
SEQUENCE_DELIMITER = 0xFFFEE0DD
SHORT_VRS = frozenset(b"AE AS AT CS DA DS DT FL FD IS LO LT PN SH SL SS ST TM UI UL US".split())
"""VRs whose length has two bytes; those of LONG_VRS have four (PS3.5 §7.1.2)."""
LONG_VRS = frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())


class NeedMoreData(Exception):
    """The head of a file ends before all that is needed; it takes at least `needed` bytes."""

    def __init__(self, needed: int) -> None:
        super().__init__(needed)
        self.needed = needed


class BadEncoding(Exception):
    """The bytes are no dataset."""


class ByteOrder:
    """The layouts of an element's header in one order of bytes."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.explicit = Struct(prefix + "HH2sH")
        self.implicit = Struct(prefix + "HHL")
        self.length = Struct(prefix + "L")
        self.item = Struct(prefix + "HH").pack(ITEM >> 16, ITEM & 0xFFFF)
        self.empty_items = (self.item + bytes(4)) * 1024


LITTLE = ByteOrder("<")
BIG = ByteOrder(">")


class Source(NamedTuple):
    """Encoded elements: the bytes at hand and the number that there are in all."""

    data: bytes
    total: int
    order: ByteOrder = LITTLE

    def lack(self, end: int) -> NeedMoreData | BadEncoding:
        """Return the error for data that should reach to `end` and does not."""
        if len(self.data) < end <= self.total:
            return NeedMoreData(end)
        return BadEncoding(f"{end} bytes expected, {self.total} present")


Element = tuple[bytes | None, int, int]
"""One element: its VR as written (None if implicit), and where its value starts and ends in the data.

A value of undefined length includes its delimiter; if implicit, its VR is SQ.
"""


class Header(NamedTuple):
    """The decoded header of an element; its value starts at `start`."""

    tag: int
    vr: bytes | None
    length: int
    start: int


class Scan(NamedTuple):
    """What a scan found: elements by tag, and the place of the header that ended it (None: end of data)."""

    elements: dict[int, Element]
    stop: int | None


def looks_explicit(source: Source, position: int) -> bool:
    """Tell whether the element at `position` has a VR; an implicit length looks like one only above 16 kB."""
    vr = source.data[position + 4 : position + 6]
    return len(vr) == 2 and all(0x41 <= letter <= 0x5A for letter in vr)


def read_header(source: Source, position: int, *, implicit: bool) -> Header:
    """Decode one header. Raises NeedMoreData or BadEncoding if the data end within it."""
    data, _, order = source
    if position + 8 > len(data):
        raise source.lack(position + 8)
    group, number, vr, length = order.explicit.unpack_from(data, position)
    tag = group << 16 | number
    if not implicit and vr in LONG_VRS:
        if position + 12 > len(data):
            raise source.lack(position + 12)
        return Header(tag, vr, order.length.unpack_from(data, position + 8)[0], position + 12)
    if implicit or not (vr.isalpha() and vr.isupper()):
        return Header(tag, None, order.length.unpack_from(data, position + 4)[0], position + 8)
    return Header(tag, vr, length, position + 8)


def scan(source: Source, start: int, wanted: Container[int], stop_at: int, *, implicit: bool) -> Scan:
    """Find the `wanted` elements between `start` and the first tag from `stop_at` on.

    Of several elements with one tag the last counts. Garbage after the last element is passed over.
    Raises NeedMoreData if the head ends first, BadEncoding if the bytes are no dataset.
    """
    find = _scan_implicit if implicit else _scan_explicit
    return find(source, start, wanted, stop_at)


def _scan_explicit(source: Source, position: int, wanted: Container[int], stop_at: int) -> Scan:
    # The hot loop, with a hundred turns per file and more: the common case is written out here.
    data, _, order = source
    last, unpack, short_vrs = len(data) - 8, order.explicit.unpack_from, SHORT_VRS
    elements: dict[int, Element] = {}
    tag = previous = -1
    vr: bytes | None = None
    for _ in range(MAX_ELEMENTS):
        if position > last:
            is_garbage = tag <= previous or not (vr in short_vrs or vr in LONG_VRS)
            return _at_end(source, position, elements, tag if is_garbage else None)
        previous = tag
        group, number, vr, length = unpack(data, position)
        tag = group << 16 | number
        if tag >= stop_at:
            return Scan(elements, position)
        if vr in short_vrs:
            start = position + 8
            position = start + length
        else:
            tag, vr, length, start = read_header(source, position, implicit=False)
            position = end_of_value(source, vr, length, start)
        if tag in wanted:
            elements[tag] = (vr, start, position)
    raise BadEncoding("too many elements")


def _scan_implicit(source: Source, position: int, wanted: Container[int], stop_at: int) -> Scan:
    data, _, order = source
    last, unpack = len(data) - 8, order.implicit.unpack_from
    elements: dict[int, Element] = {}
    tag = previous = -1
    for _ in range(MAX_ELEMENTS):
        if position > last:
            return _at_end(source, position, elements, tag if tag <= previous else None)
        previous = tag
        group, number, length = unpack(data, position)
        tag = group << 16 | number
        if tag >= stop_at:
            return Scan(elements, position)
        start = position + 8
        # Only a long value can be deep.
        position = start + length if length < MAX_DEPTH * 8 else end_of_value(source, None, length, start)
        if tag in wanted:
            elements[tag] = (b"SQ" if length == UNDEFINED else None, start, position)
    raise BadEncoding("too many elements")


def _at_end(source: Source, position: int, elements: dict[int, Element], garbage: int | None) -> Scan:
    """End a scan at the end of the data.

    If the last element runs beyond it, the data were cut off; unless its tag is handed over as `garbage`:
    then it cannot be an element at all, but is what follows the dataset.
    """
    size = len(source.data)
    if position > source.total and garbage is not None:
        elements.pop(garbage, None)
    elif position > size:
        raise source.lack(position)
    elif size < source.total:
        raise NeedMoreData(min(position + 8, source.total))
    return Scan(elements, None)


def end_of_value(
    source: Source, vr: bytes | None, length: int, start: int, ends: dict[int, int] | None = None
) -> int:
    """Return where a value ends, with its delimiter if the length is undefined.

    A known length is not checked against the data. If the length is undefined, `ends` gets the end of all of
    undefined length in it by the start: who looks inside would walk through each again for each outer one.
    Raises BadEncoding if sequences nest too deep in it.
    """
    if length == UNDEFINED:
        return _skip_sequence(source, start, None, implicit=vr is None, ends=ends)
    end = start + length
    if end <= len(source.data) and _may_be_deep(source, start, end, MAX_DEPTH):
        _skip_sequence(source, start, end, implicit=vr is None)
    return end


def _may_be_deep(source: Source, start: int, end: int, allowed: int) -> bool:
    """Tell, without parsing, whether a value is a sequence that may hold more than `allowed` levels."""
    return source.data.startswith(source.order.item, start, end) and _has_items(source, start, end, allowed)


def _has_items(source: Source, start: int, end: int, allowed: int) -> bool:
    """Tell whether the bytes hold more than `allowed` tags of items: each level needs one."""
    data, item = source.data, source.order.item
    if end - start <= 8 * allowed:
        return False
    for _ in range(allowed + 1):
        start = data.find(item, start, end) + 4
        if start < 4:
            return False
    return True


class _Frame(NamedTuple):
    """A sequence or an item being walked through; `limit` is where it must have ended, None if unknown."""

    implicit: bool
    limit: int | None


def _skip_sequence(
    source: Source,
    position: int,
    limit: int | None,
    *,
    implicit: bool,
    ends: dict[int, int] | None = None,
) -> int:
    """Return the end of the sequence whose first item is at `position`.

    Raises BadEncoding if it is too deep or too long. Other faults are passed over if the limit is known.
    """
    frames = [_Frame(implicit, limit)]  # sequences and items in turn, a sequence first
    starts = [position]
    for _ in range(MAX_ELEMENTS):
        limit = frames[-1].limit
        if limit is not None and position >= limit:
            position = limit
            frames.pop()
        elif len(frames) > 2 * MAX_DEPTH:
            raise BadEncoding("sequences too deep")
        elif len(frames) % 2:
            position = _walk_item(source, position, frames)
        else:
            position = _walk_element(source, position, frames)
        if ends is not None and len(frames) > len(starts):
            starts.append(position)
        elif ends is not None and len(frames) < len(starts):
            ends[starts.pop()] = position
        if not frames:
            return position
    raise BadEncoding("too many elements")


def _walk_item(source: Source, position: int, frames: list[_Frame]) -> int:
    implicit, limit = frames[-1]
    after = _past_empty_items(source, position, limit)
    if after > position:
        return after
    tag, _, length, start = read_header(source, position, implicit=True)
    if tag == ITEM:
        frame = _Frame(implicit or not looks_explicit(source, start), limit)
        return _enter(source, start, length, frame, frames, is_suspect=_has_items)
    if tag == SEQUENCE_DELIMITER:
        frames.pop()
        return start
    if limit is None:
        raise BadEncoding("no item where one must be")
    return limit


def _past_empty_items(source: Source, position: int, limit: int | None) -> int:
    """Return the place after most of the empty items at `position`: a file may have millions of them."""
    data, empty_items = source.data, source.order.empty_items
    size = len(empty_items)
    last = (len(data) if limit is None else min(limit, len(data))) - size
    while position <= last and data.startswith(empty_items, position):
        position += size
    return position


def _walk_element(source: Source, position: int, frames: list[_Frame]) -> int:
    implicit, limit = frames[-1]
    tag, vr, length, start = read_header(source, position, implicit=implicit)
    if tag == ITEM_DELIMITER:
        frames.pop()
        return start
    return _enter(source, start, length, _Frame(vr is None, limit), frames, is_suspect=_may_be_deep)


def _enter(
    source: Source,
    start: int,
    length: int,
    frame: _Frame,
    frames: list[_Frame],
    *,
    is_suspect: Callable[[Source, int, int, int], bool],
) -> int:
    """Step into what begins at `start`, or over it if its length is known and it is not suspect of depth."""
    if length == UNDEFINED:
        frames.append(frame)
        return start
    end = start + length
    if frame.limit is not None:
        end = min(end, frame.limit)
    elif end > len(source.data):
        raise source.lack(end)
    if not is_suspect(source, start, end, MAX_DEPTH - (len(frames) + 1) // 2):
        return end
    frames.append(_Frame(frame.implicit, end))
    return start
