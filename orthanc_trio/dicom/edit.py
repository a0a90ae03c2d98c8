"""A modification of a file by pydicom: right for every encoding that pydicom reads, and slow.

It is done where `patch` does not understand a file, and is the second opinion on it. Values that stay are
written as the bytes that were read.
"""

import zlib
from collections.abc import Iterable, Iterator, Mapping
from io import BytesIO

from pydicom import dcmread
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset, FileDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_dataset
from pydicom.filewriter import write_dataset
from pydicom.sequence import Sequence
from pydicom.tag import BaseTag

from .dictionary import Dictionary, is_private
from .new_identity import NewIdentity
from .new_value import NewElements
from .part10 import DEFLATED
from .reencode import item_of, reencode
from .rules import REFERENCED_SOP_INSTANCE_UID, STUDY_REFERENCES, Act, Rules
from .tag_path import TagPath
from .transfer_syntax import Coding, TransferSyntax
from .value import TEXT_VRS

_Element = DataElement | RawDataElement
_Steps = tuple[tuple[int, int], ...]
"""The way to an item: sequences and indexes."""


def read_file(data: bytes) -> FileDataset:
    """Return a file as pydicom reads it, with its values as bytes. Raises what pydicom raises."""
    return dcmread(BytesIO(data), force=True)


def encode_dataset(dataset: FileDataset, syntax: str, dictionary: Dictionary, *, as_read: bool) -> bytes:
    """Return a dataset in the transfer syntax `syntax`, without meta information.

    If `as_read` it stays in the encoding that it was read in, which may be another than the syntax says.
    Otherwise that is Explicit VR Little Endian.
    """
    implicit, little = dataset.original_encoding if as_read else (False, True)
    target = TransferSyntax(syntax, Coding.OTHER, is_implicit=bool(implicit), is_little_endian=bool(little))
    reencode(dataset, target, dictionary)
    # Of another character set only what is new is written; pydicom is not to decode the rest.
    dataset.set_original_encoding(implicit, little, dataset._character_set)
    file = DicomBytesIO()
    file.is_implicit_VR, file.is_little_endian = target.is_implicit, target.is_little_endian
    write_dataset(file, dataset)
    encoded = file.getvalue()
    return _deflate(encoded) if syntax in DEFLATED else encoded


def _deflate(data: bytes) -> bytes:
    deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    deflated = deflater.compress(data) + deflater.flush()
    return deflated + b"\0" * (len(deflated) % 2)


def value_of(element: _Element) -> bytes:
    """Return the bytes of a value that is no sequence."""
    if isinstance(element, RawDataElement):
        return element.value or b""
    value = element.value
    if isinstance(value, bytes):
        return value
    parts = value if isinstance(value, list) or element.VM > 1 else [value]
    return "\\".join("" if part is None else str(part) for part in parts).encode("ascii", "replace")


def values_of(dataset: Dataset, tags: Iterable[int]) -> dict[int, bytes]:
    """Return the values of those of the tags that a dataset has."""
    return {tag: value_of(item_of(dataset, tag)) for tag in tags if tag in dataset}


def edit(dataset: FileDataset, rules: Rules, identity: NewIdentity, new: NewElements) -> None:
    """Do to a dataset what the rules say; `new` are elements of explicit VR."""
    _Editor(rules, identity).edit(dataset, new.top)
    for path in rules.modification.path_removals:
        for item in _items_at(dataset, path, rules.dictionary):
            if path.tag in item:
                del item[path.tag]
    for path, element in new.at_paths:
        for item in _items_at(dataset, path, rules.dictionary):
            _set(item, element)


def remove(dataset: Dataset, tags: Iterable[int]) -> None:
    """Remove those of the tags that a dataset has."""
    for tag in tags:
        dataset.pop(tag, None)


class _Editor:
    def __init__(self, rules: Rules, identity: NewIdentity) -> None:
        self._rules = rules
        self._identity = identity

    def edit(self, dataset: Dataset, new: Mapping[int, bytes]) -> None:
        for tag in list(dataset.keys()):
            self._apply(dataset, tag, self._rules.act(tag, is_nested=False), ())
        for created in self._rules.created:
            act = self._rules.top[created]
            if act is Act.REPLACE:
                _set(dataset, new[created])
            elif created not in dataset:
                value = self._identity.value(act, b"", is_nested=False)
                dataset[created] = _raw(created, self._rules.dictionary.entry_of(created).vr.decode(), value)

    def _apply(self, dataset: Dataset, tag: BaseTag, act: Act | None, steps: _Steps) -> None:
        element, known = item_of(dataset, tag), self._rules.dictionary
        if (act is None or act > Act.REPLACE) and _is_sequence(element, known):
            if self._rules.is_anonymization:
                self._edit_items(dataset[tag], steps)
        elif act is Act.REMOVE or (act is Act.CLEAR and steps and not _is_text(element, known)):
            del dataset[tag]
        elif act is Act.CLEAR:
            dataset[tag] = _cleared(element, known)
        elif act is not None and act > Act.REPLACE:
            value = self._identity.value(act, value_of(element), is_nested=bool(steps))
            dataset[tag] = _with_value(element, value)

    def _edit_items(self, sequence: DataElement, steps: _Steps) -> None:
        for index, item in enumerate(sequence.value):
            inner = (*steps, (int(sequence.tag), index))
            for tag in list(item.keys()):
                self._apply(item, tag, self._nested_act(tag, inner), inner)

    def _nested_act(self, tag: int, steps: _Steps) -> Act | None:
        if any(_matches(path, tag, steps) for path in self._rules.modification.path_keeps):
            return Act.KEEP
        if (
            tag == REFERENCED_SOP_INSTANCE_UID
            and tuple(sequence for sequence, _ in steps) == STUDY_REFERENCES
        ):
            return Act.MAP_STUDY
        return self._rules.act(tag, is_nested=True)


def _matches(path: TagPath, tag: int, steps: _Steps) -> bool:
    return (
        path.tag == tag
        and len(path.parents) == len(steps)
        and all(
            parent.sequence == sequence and parent.index in (None, index)
            for parent, (sequence, index) in zip(path.parents, steps, strict=True)
        )
    )


def _items_at(dataset: Dataset, path: TagPath, dictionary: Dictionary) -> list[Dataset]:
    """Return the items that a path leads to; those that do not exist are passed over."""
    items = [dataset]
    for parent in path.parents:
        sequences = [
            item[parent.sequence].value
            for item in items
            if parent.sequence in item and _is_sequence(item_of(item, parent.sequence), dictionary)
        ]
        wanted = slice(None) if parent.index is None else slice(parent.index, parent.index + 1)
        items = [item for sequence in sequences for item in list(sequence)[wanted]]
    return items


def _set(dataset: Dataset, encoded: bytes) -> None:
    for element in _elements_of(encoded):
        dataset[element.tag] = element


def _elements_of(encoded: bytes) -> Iterator[_Element]:
    parsed = read_dataset(BytesIO(encoded), is_implicit_VR=False, is_little_endian=True)
    return (item_of(parsed, tag) for tag in list(parsed.keys()))


def _is_sequence(element: _Element, dictionary: Dictionary) -> bool:
    """Tell whether an element is one; a private one without a VR is taken for bytes."""
    if element.VR == "SQ":
        return True
    return (
        element.VR in (None, "UN")
        and not is_private(element.tag)
        and dictionary.entry_of(element.tag).vr == b"SQ"
    )


def _is_text(element: _Element, dictionary: Dictionary) -> bool:
    return (element.VR.encode() if element.VR else dictionary.entry_of(element.tag).vr) in TEXT_VRS


def _cleared(element: _Element, dictionary: Dictionary) -> _Element:
    if _is_sequence(element, dictionary):
        return DataElement(element.tag, "SQ", Sequence())
    return _with_value(element, b"")


def _with_value(element: _Element, value: bytes) -> _Element:
    if isinstance(element, RawDataElement):
        return element._replace(value=value, length=len(value))
    return _raw(element.tag, element.VR, value)


def _raw(tag: int, vr: str, value: bytes) -> RawDataElement:
    return RawDataElement(BaseTag(tag), vr, len(value), value, 0, is_implicit_VR=False, is_little_endian=True)
