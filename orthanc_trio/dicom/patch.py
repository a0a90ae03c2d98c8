"""A modification of the bytes of a file, in one walk over the headers of its elements (PS3.5 §7).

What stays is not looked at but copied in the longest runs there are, and what follows the last change is not
even that. Only what a walk in ascending order fully understands is done here; the rest is left to `edit`.
"""

from collections.abc import Mapping
from struct import Struct
from typing import Final, NamedTuple

from .new_identity import NewIdentity
from .new_value import encode_element
from .part10 import EncodedDataset
from .rules import REFERENCED_SOP_INSTANCE_UID, STUDY_REFERENCES, Act, Rules
from .scan import (
    ITEM,
    ITEM_DELIMITER,
    LITTLE,
    LONG_VRS,
    MAX_DEPTH,
    PIXEL_DATA,
    SEQUENCE_DELIMITER,
    SHORT_VRS,
    UNDEFINED,
    BadEncoding,
    NeedMoreData,
    end_of_value,
)
from .value import TEXT_VRS

_NEVER: Final = 1 << 32
_FIRST_REPEATING_GROUP: Final = 0x5000
_MAX_SHORT: Final = 0xFFFE
_SHORT: Final = Struct("<H")
_LONG: Final = Struct("<L")
_DELIMITERS: Final = 0xFFFE
# Members of an Enum cost a lookup by name each time.
_NOTE, _REMOVE, _CLEAR, _REPLACE = Act.NOTE, Act.REMOVE, Act.CLEAR, Act.REPLACE


class NotUnderstood(Exception):
    """The bytes are of a kind that is left to `edit`."""


class Patched(NamedTuple):
    """The new dataset: `head`, and then the source from `tail_offset` on.

    `noted` are values of the source, of those tags whose act is NOTE, and new ones of the mapped identifiers.
    """

    head: bytes
    tail_offset: int
    noted: dict[int, bytes]


class _Element(NamedTuple):
    """The header of an element: where it begins, its VR (None if implicit), and where its value does."""

    tag: int
    vr: bytes | None
    start: int
    value: int
    length: int


def patch(opened: EncodedDataset, rules: Rules, identity: NewIdentity, new: Mapping[int, bytes]) -> Patched:
    """Do to a dataset what the rules say; `new` are the replacements, encoded as the dataset is.

    Raises NotUnderstood, and NeedMoreData if the head of a file ends too early.
    """
    if opened.is_deflated or opened.source.order is not LITTLE or rules.has_paths:
        raise NotUnderstood
    walk = _Walk(opened, rules, identity, new)
    try:
        walk.top_level(opened.start)
    except BadEncoding as error:
        raise NotUnderstood from error
    return walk.result()


class _Walk:
    def __init__(
        self, opened: EncodedDataset, rules: Rules, identity: NewIdentity, new: Mapping[int, bytes]
    ) -> None:
        self._source = opened.source
        self._data = opened.source.data
        self._size = len(self._data)
        self._implicit = opened.implicit
        self._rules = rules
        self._sequences = rules.sequences
        self._identity = identity
        self._new = new
        self._noted: dict[int, bytes] = {}
        self._pieces: list[bytes] = []
        self._copied = opened.start
        self._created = iter(rules.created)

    def result(self) -> Patched:
        return Patched(b"".join(self._pieces), self._copied, self._noted)

    # --- the dataset itself

    def top_level(self, position: int) -> None:
        """Walk through the dataset that begins at `position`."""
        # The hot loop: what stays as it is, and what goes, should cost next to nothing.
        data, last, get, unpack = self._data, self._size - 8, self._rules.top.get, LITTLE.explicit.unpack_from
        implicit, removes_private = self._implicit, self._rules.removes_private
        previous, created = -1, next(self._created, _NEVER)
        while position <= last:
            group, number, vr, length = unpack(data, position)
            tag = group << 16 | number
            if tag <= previous:
                raise NotUnderstood
            previous = tag
            if tag >= created:
                created = self._create(created, tag, position)
            act = get(tag)
            if implicit:
                (length,) = _LONG.unpack_from(data, position + 4)
                is_plain = length != UNDEFINED and tag not in self._sequences
            else:
                is_plain = vr in SHORT_VRS
            if is_plain and number and group < _FIRST_REPEATING_GROUP:
                if act is None and not (removes_private and group & 1):
                    position += 8 + length
                    continue
                if act is None or act is _REMOVE:
                    self._cut(position, position := position + 8 + length)
                    continue
            position = self._top_element(self._element(position, implicit=implicit), act)
        if position > self._source.total:
            raise NotUnderstood
        if position + 8 <= self._source.total or (created != _NEVER and position > self._size):
            raise NeedMoreData(self._source.total)
        self._create(created, _NEVER, position)

    def _create(self, created: int, tag: int, position: int) -> int:
        """Write the elements that belong before `tag` and are missing; return the next one."""
        while created < tag:
            act = self._rules.top[created]
            if act is _REPLACE:
                element = self._new[created]
            else:
                value = self._noted[created] = self._identity.value(act, b"", is_nested=False)
                vr = self._rules.dictionary.entry_of(created).vr
                element = encode_element(created, vr, value, implicit=self._implicit)
            self._replace(position, position, element)
            created = next(self._created, _NEVER)
        return next(self._created, _NEVER) if created == tag else created

    def _cut(self, start: int, end: int) -> None:
        """Go on after `end`, having copied what comes before `start`."""
        if self._copied != start:
            self._pieces.append(self._data[self._copied : start])
        self._copied = end

    def _replace(self, start: int, end: int, element: bytes) -> None:
        self._cut(start, end)
        if element:
            self._pieces.append(element)

    def _top_element(self, element: _Element, act: Act | None) -> int:
        """Treat one element; return the place after it."""
        if act is None and self._rules.removes(element.tag, is_nested=False):
            act = _REMOVE
        if act is None or act > _REPLACE:
            changed, end = self._inner(element, act, ())
        else:
            end = self._end(element)
            changed = self._simple(element, end, act)
        if changed is not None:
            self._replace(element.start, end, changed)
        return end

    def _simple(self, element: _Element, end: int, act: Act) -> bytes | None:
        """Return what an element becomes by an act that does not depend on its value; None if it stays."""
        if act is _CLEAR:
            return self._with_length(element, 0) if element.length else None
        if act is _REMOVE:
            return b""
        if act is _NOTE:
            self._noted[element.tag] = self._value(element, end)
            return None
        return self._new[element.tag] if act is _REPLACE else None

    # --- elements in general

    def _element(self, position: int, *, implicit: bool) -> _Element:
        if position + 8 > self._size:
            raise self._source.lack(position + 8)
        if implicit:
            group, number, length = LITTLE.implicit.unpack_from(self._data, position)
            return _Element(group << 16 | number, None, position, position + 8, length)
        group, number, vr, length = LITTLE.explicit.unpack_from(self._data, position)
        if vr in SHORT_VRS:
            return _Element(group << 16 | number, vr, position, position + 8, length)
        if group == _DELIMITERS:
            return _Element(group << 16 | number, None, position, position + 8, 0)
        if vr not in LONG_VRS:
            raise NotUnderstood
        if position + 12 > self._size:
            raise self._source.lack(position + 12)
        (length,) = _LONG.unpack_from(self._data, position + 8)
        return _Element(group << 16 | number, vr, position, position + 12, length)

    def _value(self, element: _Element, end: int) -> bytes:
        if end > self._size:
            raise self._source.lack(end)
        return self._data[element.value : end]

    def _end(self, element: _Element) -> int:
        if element.length != UNDEFINED:
            return element.value + element.length
        if element.tag == PIXEL_DATA:
            return self._end_of_fragments(element.value)
        return end_of_value(self._source, element.vr, UNDEFINED, element.value)

    def _end_of_fragments(self, position: int) -> int:
        while True:
            if position + 8 > self._size:
                raise NeedMoreData(self._source.total) if self._size < self._source.total else NotUnderstood
            group, number, length = LITTLE.implicit.unpack_from(self._data, position)
            position += 8
            match group << 16 | number:
                case 0xFFFEE000 if length != UNDEFINED:
                    position += length
                case 0xFFFEE0DD:
                    return position
                case _:
                    raise NotUnderstood

    def _with_length(self, element: _Element, length: int) -> bytes:
        """Return the header of an element with another length."""
        if element.value - element.start == 8 and element.vr is not None:
            if length > _MAX_SHORT:
                raise NotUnderstood
            return self._data[element.start : element.value - 2] + _SHORT.pack(length)
        return self._data[element.start : element.value - 4] + _LONG.pack(length)

    def _inner(
        self, element: _Element, act: Act | None, parents: tuple[int, ...]
    ) -> tuple[bytes | None, int]:
        """Treat what depends on the value: a sequence, or a value that is mapped to another one.

        Return what the element becomes, None if it stays, and the place after it.
        """
        if self._is_sequence(element):
            if self._rules.is_anonymization:
                return self._sequence(element, parents)
            return None, self._end(element)
        end = self._end(element)
        if act is None:
            return None, end
        value = self._identity.value(act, self._value(element, end), is_nested=bool(parents))
        if not parents:
            self._noted[element.tag] = value
        return self._with_length(element, len(value)) + value, end

    def _is_sequence(self, element: _Element) -> bool:
        if element.vr == b"SQ" or (
            element.length == UNDEFINED and element.vr in (None, b"UN") and element.tag != PIXEL_DATA
        ):
            return True
        if element.vr is None:
            return element.tag in self._sequences
        if element.vr == b"UN" and element.tag in self._sequences:
            raise NotUnderstood
        return False

    # --- sequences

    def _sequence(self, element: _Element, parents: tuple[int, ...]) -> tuple[bytes | None, int]:
        limit = None if element.length == UNDEFINED else element.value + element.length
        if len(parents) >= MAX_DEPTH:
            raise NotUnderstood
        if limit is not None and limit > self._size:
            raise self._source.lack(limit)
        implicit = element.vr in (None, b"UN")
        changed, end = self._items(element.value, limit, (*parents, element.tag), implicit=implicit)
        if changed is None:
            return None, end
        if limit is None:
            return self._data[element.start : element.value] + changed, end
        return self._with_length(element, len(changed)) + changed, end

    def _items(
        self, position: int, limit: int | None, parents: tuple[int, ...], *, implicit: bool
    ) -> tuple[bytes | None, int]:
        """Return the items of a sequence with what ends it, None if they stay, and the place after it."""
        pieces: list[bytes] = []
        copied = position
        while limit is None or position < limit:
            tag, _, start, value, length = self._element(position, implicit=True)
            if tag == SEQUENCE_DELIMITER and limit is None:
                position = value
                break
            if tag != ITEM:
                raise NotUnderstood
            inner = None if length == UNDEFINED else value + length
            if limit is not None and inner is not None and inner > limit:
                raise NotUnderstood
            changed, position = self._item(value, inner, parents, implicit=implicit)
            if changed is not None:
                header = self._data[start : value - 4] + _LONG.pack(
                    UNDEFINED if inner is None else len(changed)
                )
                pieces += (self._data[copied:start], header, changed)
                copied = position
        if limit is not None and position != limit:
            raise NotUnderstood
        if not pieces:
            return None, position
        pieces.append(self._data[copied:position])
        return b"".join(pieces), position

    def _item(
        self, position: int, limit: int | None, parents: tuple[int, ...], *, implicit: bool
    ) -> tuple[bytes | None, int]:
        """Return the elements of an item with what ends it, None if they stay, and the place after it."""
        pieces: list[bytes] = []
        copied, previous = position, -1
        while limit is None or position < limit:
            element = self._element(position, implicit=implicit)
            if element.tag == ITEM_DELIMITER and limit is None:
                position = element.value
                break
            if element.tag <= previous or element.tag >> 16 == _DELIMITERS:
                raise NotUnderstood
            previous = element.tag
            changed, position = self._nested_element(element, parents)
            if changed is not None:
                pieces += (self._data[copied : element.start], changed)
                copied = position
        if limit is not None and position != limit:
            raise NotUnderstood
        if not pieces:
            return None, position
        pieces.append(self._data[copied:position])
        return b"".join(pieces), position

    def _nested_element(self, element: _Element, parents: tuple[int, ...]) -> tuple[bytes | None, int]:
        tag = element.tag
        act = self._rules.act(tag, is_nested=True)
        if tag == REFERENCED_SOP_INSTANCE_UID and parents == STUDY_REFERENCES:
            act = Act.MAP_STUDY
        if act is _REMOVE or (act is _CLEAR and not self._is_text(element)):
            return b"", self._end(element)
        if act is _CLEAR:
            end = self._end(element)
            return (self._with_length(element, 0) if element.length else None), end
        return self._inner(element, act, parents)

    def _is_text(self, element: _Element) -> bool:
        return (element.vr or self._rules.dictionary.entry_of(element.tag).vr) in TEXT_VRS
