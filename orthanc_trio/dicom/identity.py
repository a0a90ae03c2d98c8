"""The new identities of what is modified or anonymised.

They are derived with a key from the old ones, not kept in a table: a job needs nothing but its key, whoever
does a part of it gets the same identities, and so does who does it again.
"""

import hmac
from collections.abc import Mapping
from typing import Final

from ..model.resource import ResourceLevel

_MAX_REMEMBERED: Final = 100_000
_MAX_SHIFT_DAYS: Final = 3650
_PADDING: Final = b" \0"

Original = tuple[ResourceLevel, bytes]
"""An identifier of a source, as its bytes without padding, and the level of the table that it belongs to."""


class IdentityMap:
    """Old identifiers -> new ones, each level in a table of its own; a reference to an instance is looked up
    in the table of the instances, and so stays true.

    `key` is a secret of at least 16 bytes: one per job, so that no two jobs give the same identities, or that
    of a pseudonym, so that all jobs do. `given` are identifiers that the user chose for the whole job.
    Padding does not count.
    Safe in any thread.
    """

    def __init__(self, key: bytes, given: Mapping[Original, bytes] | None = None) -> None:
        self._key = key
        self._given = dict(given or {})
        self._known: dict[Original, bytes] = {}

    def uid(self, table: ResourceLevel, original: bytes) -> bytes:
        """Return the new UID of an old one, which may be empty: `2.25.` and a UUID (PS3.5 §B.2)."""
        return self._look_up((table, original.strip(_PADDING)))

    def patient_id(self, original: bytes) -> bytes:
        """Return the new PatientID of an old one, which may be empty: a UUID of 36 characters."""
        return self._look_up((ResourceLevel.PATIENT, original.strip(_PADDING)))

    def days(self, patient_id: bytes) -> int:
        """Return by how many days the dates of a patient are shifted: 1 to 3650, into the past."""
        number = int.from_bytes(self._digest("Days", patient_id.strip(_PADDING)), "big")
        return -1 - number % _MAX_SHIFT_DAYS

    def _look_up(self, original: Original) -> bytes:
        given = self._given.get(original)
        if given is not None:
            return given
        new = self._known.get(original)
        if new is None:
            if len(self._known) >= _MAX_REMEMBERED:
                self._known.clear()
            new = self._known[original] = self._derive(*original)
        return new

    def _derive(self, table: ResourceLevel, original: bytes) -> bytes:
        number = int.from_bytes(self._digest(table.type_name, original), "big")
        # The bits that make it a random UUID (RFC 9562 §5.4).
        number = number & ~(0xF << 76) & ~(0x3 << 62) | 0x4 << 76 | 0x2 << 62
        if table is not ResourceLevel.PATIENT:
            return b"2.25.%d" % number
        digits = b"%032x" % number
        return b"-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))

    def _digest(self, purpose: str, original: bytes) -> bytes:
        return hmac.digest(self._key, purpose.encode() + b"\0" + original, "sha256")[:16]
