"""The new values of one file that are made of its old ones: identifiers, references, dates."""

from collections.abc import Mapping

from ..model.resource import ResourceLevel
from .date_shift import shifted
from .identity import IdentityMap, Original
from .new_value import padded
from .rules import TABLE_OF, Act

_PADDING = b" \0"


class NewIdentity:
    """Old values -> new ones, for the file of the patient with the old identifier `patient_id`.

    `days` are those by which dates move, if not those of the patient. `given` are the identifiers that the
    user chose for this file: references in it follow.
    """

    def __init__(
        self,
        identities: IdentityMap,
        patient_id: bytes,
        days: int | None = None,
        given: Mapping[Original, bytes] | None = None,
    ) -> None:
        self._given = given or {}
        self._identities = identities
        self._patient_id = patient_id
        self._days = days

    def value(self, act: Act, old: bytes, *, is_nested: bool) -> bytes:
        """Return what a value becomes, padded. At the top an identifier that is empty gets one as well."""
        if act is Act.SHIFT:
            days = self._identities.days(self._patient_id) if self._days is None else self._days
            return padded(shifted(old, days), b"DA")
        if act is Act.NAME_PATIENT:
            return padded(b"Anonymized" + self._identities.patient_id(self._patient_id)[:8], b"PN")
        old = old.strip(_PADDING)
        if not old and (is_nested or act is Act.MAP_UID):
            return b""
        if act is Act.MAP_PATIENT:
            chosen = self._given.get((ResourceLevel.PATIENT, old))
            return padded(self._identities.patient_id(old) if chosen is None else chosen, b"LO")
        table = TABLE_OF[act]
        if b"\\" in old:
            parts = (part.strip(_PADDING) for part in old.split(b"\\"))
            new = b"\\".join(self._uid(table, part) if part else b"" for part in parts)
        else:
            new = self._uid(table, old)
        return padded(new, b"UI")

    def _uid(self, table: ResourceLevel, old: bytes) -> bytes:
        chosen = self._given.get((table, old))
        return self._identities.uid(table, old) if chosen is None else chosen
