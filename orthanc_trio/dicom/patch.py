"""A modification of the bytes of a file, in one walk over the headers of its elements (PS3.5 §7).

What stays is not looked at but copied in the longest runs there are, and what follows the last change is not
even that. Only what a walk in ascending order fully understands is done here; the rest is left to `edit`.
"""

from collections.abc import Mapping
from itertools import count
from struct import Struct
from typing import Final, NamedTuple

from .new_identity import NewIdentity
from .new_value import NewElements, encode_element
from .part10 import EncodedDataset
from .patchable import DELIMITERS, Element, NotUnderstood, Patchable, Read
from .path_tree import Nodes, nodes_in, replacements_in
from .rules import REFERENCED_SOP_INSTANCE_UID, STUDY_REFERENCES, Act, Rules
from .scan import (
    ITEM,
    ITEM_DELIMITER,
    LITTLE,
    MAX_DEPTH,
    PIXEL_DATA,
    SEQUENCE_DELIMITER,
    SHORT_VRS,
    UNDEFINED,
    BadEncoding,
    NeedMoreData,
)
from .value import TEXT_VRS

_NEVER: Final = 1 << 32
_FIRST_REPEATING_GROUP: Final = 0x5000
_LONG: Final = Struct("<L")
_DELIMITER_BYTES: Final = 8
_NOTHING: Final[Mapping[int, bytes]] = {}
# Members of an Enum cost a lookup by name each time.
_NOTE, _REMOVE, _CLEAR, _REPLACE = Act.NOTE, Act.REMOVE, Act.CLEAR, Act.REPLACE


class Patched(NamedTuple):
    """The new dataset: `head`, and then the source from `tail_offset` on.

    `noted` are values of the source, of those tags whose act is NOTE, and new ones of the mapped identifiers.
    """

    head: bytes
    tail_offset: int
    noted: dict[int, bytes]


class _Place(NamedTuple):
    """Where an item is: the sequences that lead to it, and what paths ask for in it."""

    parents: tuple[int, ...]
    nodes: Nodes


def patch(
    opened: EncodedDataset,
    rules: Rules,
    identity: NewIdentity,
    new: NewElements,
    read: Read | None = None,
) -> Patched:
    """Do to a dataset what the rules say; `new` are the replacements, encoded as the dataset is.

    Raises NotUnderstood, and NeedMoreData if the head of a file ends too early.
    """
    if opened.is_deflated or opened.source.order is not LITTLE or _are_paths_into_others(rules):
        raise NotUnderstood
    walk = _Walk(opened, rules, identity, new, Patchable(opened.source, read))
    try:
        walk.top_level(opened.start)
    except BadEncoding as error:
        raise NotUnderstood from error
    return walk.result()


def _are_paths_into_others(rules: Rules) -> bool:
    """Tell whether paths lead into sequences that are new, or are kept but for this."""
    acts = (rules.top.get(sequence) for node in rules.paths for sequence, _ in node.children)
    return any(act is Act.REPLACE or act is Act.KEEP for act in acts)


class _Walk:
    def __init__(
        self,
        opened: EncodedDataset,
        rules: Rules,
        identity: NewIdentity,
        new: NewElements,
        elements: Patchable,
    ) -> None:
        self._source = opened.source
        self._elements = elements
        self._data = opened.source.data
        self._size = len(self._data)
        self._implicit = opened.implicit
        self._rules = rules
        self._sequences = rules.sequences
        self._identity = identity
        self._new = new.top
        self._at_paths = new.at_paths
        self._top = _Place((), rules.paths)
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
            position = self._top_element(self._elements.at(position, implicit=implicit), act)
        if position > self._source.total:
            raise NotUnderstood
        if position + 8 <= self._source.total:
            raise NeedMoreData(position + 8)
        if created != _NEVER and position > self._size:
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

    def _top_element(self, element: Element, act: Act | None) -> int:
        """Treat one element; return the place after it."""
        if act is None and self._rules.removes(element.tag, is_nested=False):
            act = _REMOVE
        if act is None or act > _REPLACE:
            changed, end = self._inner(element, act, self._top)
        else:
            end = self._elements.end_of(element)
            changed = self._simple(element, end, act)
        if changed is not None:
            self._replace(element.start, end, changed)
        return end

    def _simple(self, element: Element, end: int, act: Act) -> bytes | None:
        """Return what an element becomes by an act that does not depend on its value; None if it stays."""
        if act is _CLEAR:
            return self._elements.with_length(element, 0) if element.length else None
        if act is _REMOVE:
            return b""
        if act is _NOTE:
            self._noted[element.tag] = self._elements.value_of(element, end)
            return None
        return self._new[element.tag] if act is _REPLACE else None

    # --- values

    def _inner(self, element: Element, act: Act | None, place: _Place) -> tuple[bytes | None, int]:
        """Treat what depends on the value: a sequence, or a value that is mapped to another one.

        Return what the element becomes, None if it stays, and the place after it.
        """
        if self._is_sequence(element):
            if self._rules.is_anonymization or any(node.leads_into(element.tag) for node in place.nodes):
                return self._sequence(element, place)
            return None, self._elements.end_of(element)
        end = self._elements.end_of(element)
        if act is None:
            return None, end
        value = self._identity.value(
            act, self._elements.value_of(element, end), is_nested=bool(place.parents)
        )
        if not place.parents:
            self._noted[element.tag] = value
        return self._elements.with_length(element, len(value)) + value, end

    def _is_sequence(self, element: Element) -> bool:
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

    def _sequence(self, element: Element, place: _Place) -> tuple[bytes | None, int]:
        limit = None if element.length == UNDEFINED else element.value + element.length
        if len(place.parents) >= MAX_DEPTH:
            raise NotUnderstood
        if limit is not None and limit > self._size:
            raise self._source.lack(limit)
        changed, end = self._items(element, limit, place)
        if changed is None:
            return None, end
        if limit is None:
            return self._data[element.start : element.value] + changed, end
        return self._elements.with_length(element, len(changed)) + changed, end

    def _items(self, sequence: Element, limit: int | None, place: _Place) -> tuple[bytes | None, int]:
        """Return the items of a sequence with what ends it, None if they stay, and the place after it."""
        pieces: list[bytes] = []
        position = copied = sequence.value
        implicit = sequence.vr in (None, b"UN")
        parents = (*place.parents, sequence.tag)
        for index in count():
            if limit is not None and position >= limit:
                break
            tag, _, _, value, length = self._elements.at(position, implicit=True)
            if tag == SEQUENCE_DELIMITER and limit is None:
                position = value
                break
            end = None if length == UNDEFINED else value + length
            if tag != ITEM or (limit is not None and end is not None and end > limit):
                raise NotUnderstood
            inner = _Place(parents, nodes_in(place.nodes, sequence.tag, index) if place.nodes else ())
            changed, position = self._item(value, end, inner, implicit=implicit)
            if changed is not None:
                size = _LONG.pack(UNDEFINED if end is None else len(changed))
                pieces += (self._data[copied : value - 4], size, changed)
                copied = position
        if limit is not None and position != limit:
            raise NotUnderstood
        return self._joined(pieces, copied, position)

    def _joined(self, pieces: list[bytes], copied: int, end: int) -> tuple[bytes | None, int]:
        return (b"".join((*pieces, self._data[copied:end])) if pieces else None), end

    def _item(
        self, position: int, limit: int | None, place: _Place, *, implicit: bool
    ) -> tuple[bytes | None, int]:
        """Return the elements of an item with what ends it, None if they stay, and the place after it."""
        pieces: list[bytes] = []
        copied, previous = position, -1
        new = self._new_in(place, implicit=implicit)
        made = sorted(new, reverse=True)
        while (element := self._next_in_item(position, limit, implicit=implicit)) is not None:
            if element.tag <= previous:
                raise NotUnderstood
            previous = element.tag
            while made and made[-1] <= element.tag:
                if (tag := made.pop()) != element.tag:
                    pieces += (self._data[copied:position], new[tag])
                    copied = position
            changed, position = self._nested_element(element, place, new)
            if changed is not None:
                pieces += (self._data[copied : element.start], changed)
                copied = position
        if made:
            pieces += (self._data[copied:position], *(new[tag] for tag in reversed(made)))
            copied = position
        return self._joined(pieces, copied, position if limit is not None else position + _DELIMITER_BYTES)

    def _next_in_item(self, position: int, limit: int | None, *, implicit: bool) -> Element | None:
        """Return the element at a position, None at the end of the item."""
        if limit is not None and position >= limit:
            if position != limit:
                raise NotUnderstood
            return None
        element = self._elements.at(position, implicit=implicit)
        if element.tag >> 16 == DELIMITERS:
            if element.tag != ITEM_DELIMITER or limit is not None:
                raise NotUnderstood
            return None
        return element

    def _new_in(self, place: _Place, *, implicit: bool) -> Mapping[int, bytes]:
        """Return what paths put into an item."""
        if not place.nodes:
            return _NOTHING
        new = {tag: self._at_paths[number][1] for tag, number in replacements_in(place.nodes).items()}
        if new and implicit != self._implicit:
            raise NotUnderstood
        return new

    def _nested_element(
        self, element: Element, place: _Place, new: Mapping[int, bytes]
    ) -> tuple[bytes | None, int]:
        tag = element.tag
        if tag in new:
            return new[tag], self._elements.end_of(element)
        act = self._nested_act(tag, place)
        if act is _REMOVE or (act is _CLEAR and not self._is_text(element)):
            return b"", self._elements.end_of(element)
        if act is Act.KEEP:
            return None, self._elements.end_of(element)
        if act is _CLEAR:
            end = self._elements.end_of(element)
            return (self._elements.with_length(element, 0) if element.length else None), end
        return self._inner(element, act, place)

    def _nested_act(self, tag: int, place: _Place) -> Act | None:
        for node in place.nodes:
            if tag in node.removals:
                return _REMOVE
        if any(tag in node.keeps for node in place.nodes):
            if any(node.leads_into(tag) for node in place.nodes):
                raise NotUnderstood
            return Act.KEEP
        if tag == REFERENCED_SOP_INSTANCE_UID and place.parents == STUDY_REFERENCES:
            return Act.MAP_STUDY if self._rules.is_anonymization else None
        return self._rules.act(tag, is_nested=True)

    def _is_text(self, element: Element) -> bool:
        return (element.vr or self._rules.dictionary.entry_of(element.tag).vr) in TEXT_VRS
