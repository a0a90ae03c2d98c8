"""How much may be stored, and what makes room: sync, inside the write that adds to it.

Source: the Orthanc Book, "Recycling/Protection"; `MaximumStorageSize`, `MaximumPatientCount`,
`MaximumStorageMode`.
"""

import logging

from msgspec import Struct

from ..config.choice import MaximumStorageMode
from ..index.index import Index
from ..index.transaction import Transaction
from ..model.errors import FullStorage
from ..model.resource import ResourceRef

_logger = logging.getLogger(__name__)


class StorageLimits(Struct, frozen=True, kw_only=True):
    """How much may be stored; 0 is no limit."""

    bytes: int = 0
    """Of all files as they are stored."""
    patients: int = 0
    mode: MaximumStorageMode = MaximumStorageMode.RECYCLE

    @property
    def is_limited(self) -> bool:
        """Whether there is any limit."""
        return bool(self.bytes or self.patients)


async def apply_limits(index: Index, limits: StorageLimits) -> None:
    """Make room at the start, where the limits are lower than they were; what is beyond them may stay."""
    if limits.mode is MaximumStorageMode.RECYCLE:
        try:
            await index.write(lambda tx: make_room(tx, limits))
        except FullStorage:
            _logger.warning(
                "More is stored than the limits of the storage allow, and nothing can be recycled"
            )


def make_room(
    tx: Transaction, limits: StorageLimits, *, size: int = 0, patients: int = 0, spared: str | None = None
) -> tuple[ResourceRef, ...]:
    """Remove patients until `size` bytes and `patients` patients fit in; return all that was removed.

    The patients go that received nothing for the longest time, never a protected one, nor `spared`.
    Raises FullStorage if there is none, or the mode is to reject.
    """
    removed: list[ResourceRef] = []
    while limits.is_limited and _is_beyond(tx, limits, size, patients):
        victim = tx.oldest_patient(spared) if limits.mode is MaximumStorageMode.RECYCLE else None
        deletion = tx.delete(victim) if victim is not None else None
        if deletion is None:
            raise FullStorage
        removed.extend(deletion.removed)
    return tuple(removed)


def _is_beyond(tx: Transaction, limits: StorageLimits, size: int, patients: int) -> bool:
    now = tx.statistics()
    return (0 < limits.bytes < now.disk_size + size) or (0 < limits.patients < now.patients + patients)
