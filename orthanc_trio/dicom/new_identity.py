"""The new values of one file that are made of its old ones: identifiers, references, dates."""

from .date_shift import shifted
from .identity import IdentityMap
from .new_value import padded
from .rules import TABLE_OF, Act

_PADDING = b" \0"


class NewIdentity:
    """Old values -> new ones, for the file of the patient with the old identifier `patient_id`."""

    def __init__(self, identities: IdentityMap, patient_id: bytes, days: int | None) -> None:
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
            return padded(self._identities.patient_id(old), b"LO")
        table = TABLE_OF[act]
        if b"\\" in old:
            parts = (part.strip(_PADDING) for part in old.split(b"\\"))
            new = b"\\".join(self._identities.uid(table, part) if part else b"" for part in parts)
        else:
            new = self._identities.uid(table, old)
        return padded(new, b"UI")
