"""What users say of resources: labels, and the protection of patients from recycling.

Nothing of it is logged as a change. Source: the Orthanc Book, "Labels", "Recycling"; `/{level}/{id}/labels`,
`/patients/{id}/protected`.
"""

import re
from collections.abc import Callable

from ..bus import EventBus
from ..index.index import Index
from ..index.transaction import Transaction
from ..model.errors import ParameterOutOfRange, UnknownResource
from ..model.event import ResourcesTouched
from ..model.resource import ResourceLevel

_LABEL = re.compile(r"[A-Za-z0-9_-]{1,64}")


class Annotations:
    """Labels and protects resources. Safe to repeat."""

    def __init__(self, index: Index, bus: EventBus) -> None:
        self._index = index
        self._bus = bus

    async def labels_in_use(self) -> list[str]:
        """Return each label that some resource bears, ascending."""
        return await self._index.read(lambda tx: tx.labels_in_use())

    async def add_label(self, level: ResourceLevel, id: str, label: str) -> None:
        """Give a resource a label. Raises ParameterOutOfRange for a bad label, UnknownResource."""
        check_label(label)
        await self._change(level, id, lambda tx, row: tx.add_label(row, label))

    async def remove_label(self, level: ResourceLevel, id: str, label: str) -> None:
        """Take a label off, if it is there. Raises ParameterOutOfRange for a bad label, UnknownResource."""
        check_label(label)
        await self._change(level, id, lambda tx, row: tx.remove_label(row, label))

    async def set_protected(self, patient_id: str, *, is_protected: bool) -> None:
        """Protect a patient from recycling, or no longer. Raises UnknownResource."""
        await self._change(
            ResourceLevel.PATIENT, patient_id, lambda tx, row: tx.set_protected(row, is_protected)
        )

    async def _change(
        self, level: ResourceLevel, id: str, change: Callable[[Transaction, int], None]
    ) -> None:
        def write(tx: Transaction) -> None:
            found = tx.find(id)
            if found is None or found.level is not level:
                raise UnknownResource
            change(tx, found.row)

        await self._index.write(write)
        self._bus.publish(ResourcesTouched((id,)))


def check_label(label: str) -> None:
    """Raise ParameterOutOfRange unless this can be a label."""
    if not _LABEL.fullmatch(label):
        raise ParameterOutOfRange(
            "A label must be a non-empty, alphanumeric string, possibly with '_' or '-' characters,"
            f" with maximum 64 characters, but got: {label}"
        )
