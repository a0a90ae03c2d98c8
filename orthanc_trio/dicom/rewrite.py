"""The header of a DICOM file -> that after a modification; what follows is copied by whoever stores it.

Source: the Orthanc Book, "Anonymization and modification of DICOM files"; PS3.10 §7; PS3.15 Annex E.
"""

import sys
import warnings
from collections.abc import Mapping
from typing import Final, NamedTuple

from ..model.errors import BadFileFormat, OrthancError
from .charset import Charset, charset_of, default_charset
from .dictionary import STANDARD, Dictionary
from .identity import IdentityMap
from .modification import IDENTIFIERS, PATIENT_ID, SERIES_INSTANCE_UID, SOP_INSTANCE_UID, Modification
from .new_identity import NewIdentity
from .new_value import Encoding, NewElements, encode_new
from .part10 import EXPLICIT_LITTLE, NATIVE, EncodedDataset, encode_meta, open_dataset
from .patch import patch
from .patchable import NotUnderstood, Read
from .rules import BURNED_IN_ANNOTATION, SOP_CLASS_UID, SPECIFIC_CHARACTER_SET, Act, Rules
from .scan import PIXEL_DATA, BadEncoding, NeedMoreData, scan

Values = Mapping[int, bytes]
"""Values of a dataset by tag."""
_WANTED: Final = (SPECIFIC_CHARACTER_SET, BURNED_IN_ANNOTATION, *IDENTIFIERS)
_WANTED_END: Final = SERIES_INSTANCE_UID + 1
_CHARSET: Final = (SPECIFIC_CHARACTER_SET,)
_CHARSET_END: Final = SPECIFIC_CHARACTER_SET + 1
_INVALID: Final = "Cannot parse an invalid DICOM file"
_UID_HEADER_BYTES: Final = 8
_MAX_ENCODINGS: Final = 64
_OFFSET_TABLES: Final = (0x7FE00001, 0x7FE00002)
"""Where the frames of encapsulated pixels lie."""
_PADDING: Final = b" \0"


class Rewritten(NamedTuple):
    """The result for one file: `head`, and then the bytes of the source from `tail_offset` on."""

    head: bytes
    tail_offset: int
    sop_instance_uid: str
    is_burned_in: bool
    """Whether the source says that its pixels show who the patient is: (0028,0301) is YES."""

    def whole(self, source: bytes) -> bytes:
        """Return the resulting file, given all of the source's."""
        return self.head + source[self.tail_offset :] if self.tail_offset < len(source) else self.head


class Rewriter:
    """A modification made ready for many files. Safe in any thread, and for a repetition: the same file gives
    the same result.

    `identities` are those of the job. `default_encoding` is that of files without a character set.
    """

    def __init__(
        self,
        modification: Modification,
        identities: IdentityMap,
        *,
        default_encoding: str = "Latin1",
        dictionary: Dictionary = STANDARD,
    ) -> None:
        self._rules = Rules(modification, dictionary)
        self._modification = modification
        self._identities = identities
        self._chosen = modification.chosen_identifiers
        self._default = default_charset(default_encoding)
        self._needs_identifiers = modification.is_anonymization and (
            modification.pseudonym is not None
            or modification.shift_dates is True
            or bool(IDENTIFIERS.keys() & modification.replacements.keys())
        )
        self._encoded: dict[tuple[bool, Charset], NewElements] = {}

    def rewrite(self, data: bytes, total: int | None = None, read: Read | None = None) -> Rewritten:
        """Rewrite a Part 10 file, or its first bytes if it has `total` bytes in all.

        With `read`, which gets an offset and a size, compressed pixels are skipped and need not be at hand.

        Raises NeedMoreData if these do not reach far enough, BadFileFormat if this is no DICOM file or a new
        value is none of its VR, and what else `encode_new` raises. A compressed file that gets new pixels is
        in Explicit VR Little Endian afterwards.
        """
        total = len(data) if total is None else total
        try:
            return self._patch(_opened(data, total), read)
        except NotUnderstood:
            if len(data) < total:
                raise NeedMoreData(total) from None
        return self.rewrite_by_pydicom(data)

    def rewrite_by_pydicom(self, data: bytes) -> Rewritten:
        """Do the same by reading all of a file, editing and writing it; this is for files of odd encoding.

        Raises as `rewrite`.
        """
        opened = _opened(data, len(data))
        if opened.source.total == sys.maxsize:
            raise BadFileFormat("The file inflates to too much")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # what is odd in a file is no news here
                return self._edit(data, opened.transfer_syntax)
        except OrthancError:
            raise
        except Exception as error:
            # pydicom raises anything for what it has not met before.
            raise BadFileFormat(_INVALID) from error

    def _patch(self, opened: EncodedDataset, read: Read | None) -> Rewritten:
        if self._gets_native_pixels(opened.transfer_syntax):
            raise NotUnderstood
        before = self._read_before(opened)
        new = self._new(before, implicit=opened.implicit)
        patched = patch(opened, self._rules, self._identity(before), new, read)
        replaced = {
            tag: new.top[tag][_UID_HEADER_BYTES:]
            for tag in (SOP_CLASS_UID, SOP_INSTANCE_UID)
            if tag in new.top
        }
        after = patched.noted | replaced
        return _rewritten(after, opened.transfer_syntax, patched.head, patched.tail_offset)

    def _gets_native_pixels(self, syntax: str) -> bool:
        """Tell whether a file in a compressed syntax gets new pixels, which are native."""
        return PIXEL_DATA in self._modification.replacements and syntax not in NATIVE

    def _read_before(self, opened: EncodedDataset) -> Values:
        """Return those old values of a file that have to be known beforehand."""
        wanted, stop = (_WANTED, _WANTED_END) if self._needs_identifiers else (_CHARSET, _CHARSET_END)
        try:
            found = scan(opened.source, opened.start, wanted, stop, implicit=opened.implicit)
        except BadEncoding as error:
            raise NotUnderstood from error
        data = opened.source.data
        return {tag: data[start:end] for tag, (_, start, end) in found.elements.items()}

    def _edit(self, data: bytes, syntax: str) -> Rewritten:
        from . import edit  # pydicom is large, and mostly not needed

        is_native = self._gets_native_pixels(syntax)
        dataset = edit.read_file(data)
        before = edit.values_of(dataset, _WANTED)
        new = self._new(before, implicit=False)
        edit.edit(dataset, self._rules, self._identity(before), new)
        after = before | edit.values_of(dataset, (SOP_CLASS_UID, SOP_INSTANCE_UID))
        if is_native:
            edit.remove(dataset, _OFFSET_TABLES)
            syntax = EXPLICIT_LITTLE
        encoded = edit.encode_dataset(dataset, syntax, self._rules.dictionary, as_read=not is_native)
        return _rewritten(after, syntax, encoded, len(data))

    def _identity(self, before: Values) -> NewIdentity:
        """Return what is derived from the identifiers of a file."""
        days = self._modification.shift_dates
        given = {
            (table, before[tag].strip(_PADDING)): self._chosen[table]
            for tag, table in IDENTIFIERS.items()
            if tag in before and table in self._chosen
        }
        return NewIdentity(
            self._identities,
            before.get(PATIENT_ID, b""),
            None if isinstance(days, bool) else days,
            given,
        )

    def _new(self, before: Values, *, implicit: bool) -> NewElements:
        """Return the replacements, encoded for a file."""
        key = implicit, self._charset(before)
        found = self._encoded.get(key)
        if found is None:
            if len(self._encoded) >= _MAX_ENCODINGS:
                self._encoded.clear()
            found = self._encoded[key] = self._encode(*key)
        return found

    def _charset(self, before: Values) -> Charset:
        """Return the character set of the result."""
        match self._rules.top[SPECIFIC_CHARACTER_SET]:
            case Act.REPLACE:
                value = str(self._modification.replacements[SPECIFIC_CHARACTER_SET]).encode("ascii", "ignore")
            case Act.NOTE:
                value = before.get(SPECIFIC_CHARACTER_SET, b"")
            case _:
                value = b""
        return charset_of(value, self._default)

    def _encode(self, implicit: bool, charset: Charset) -> NewElements:
        how = Encoding(implicit, charset, self._modification.private_creator, self._rules.dictionary)
        return NewElements(
            {tag: encode_new(tag, value, how) for tag, value in self._modification.replacements.items()},
            tuple(
                (new.path, encode_new(new.path.tag, new.value, how))
                for new in self._modification.path_replacements
            ),
        )


def _opened(data: bytes, total: int) -> EncodedDataset:
    try:
        return open_dataset(data, total)
    except BadEncoding as error:
        raise BadFileFormat(_INVALID) from error


def _rewritten(after: Values, syntax: str, dataset: bytes, tail_offset: int) -> Rewritten:
    uid = after.get(SOP_INSTANCE_UID, b"").rstrip(_PADDING)
    meta = encode_meta(after.get(SOP_CLASS_UID, b"").strip(_PADDING), uid, syntax)
    is_burned_in = after.get(BURNED_IN_ANNOTATION, b"").strip(_PADDING) == b"YES"
    return Rewritten(meta + dataset, tail_offset, uid.decode("ascii", "replace"), is_burned_in)
