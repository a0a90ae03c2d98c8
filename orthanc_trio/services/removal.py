"""Remove resources. Source: the Orthanc Book, "Deleting"; `DELETE /{level}/{id}`."""

from collections.abc import Callable, Sequence
from datetime import datetime

from msgspec import Struct

from ..bus import EventBus
from ..index.index import Index
from ..index.transaction import Deletion, Transaction
from ..model.errors import ReadOnlyServer
from ..model.event import ResourceDeleted, ResourcesTouched
from ..model.resource import Metadata, ResourceLevel
from .settling import Settling

_BATCH = 100
"""So many removals share a commit."""

Target = tuple[ResourceLevel | None, str]
"""A resource by its identifier, of a given level or any."""


class Removed(Struct, frozen=True):
    """What one removal did, to be told when it is committed."""

    deletion: Deletion
    survivors: tuple[str, ...]


class Removal:
    """Deletes resources with all that belongs to them."""

    def __init__(
        self,
        index: Index,
        bus: EventBus,
        *,
        settling: Settling,
        now: Callable[[], datetime],
        is_read_only: bool = False,
    ) -> None:
        self._index = index
        self._bus = bus
        self._settling = settling
        self._now = now
        self._is_read_only = is_read_only

    async def delete(self, level: ResourceLevel, id: str) -> Deletion | None:
        """Remove a resource, its descendants and the ancestors left empty; None if it does not exist.

        On return it is gone for good; its files follow in the background. Raises ReadOnlyServer.
        """
        removed = await self._index.write(lambda tx: self._delete(tx, level, id))
        if removed is None:
            return None
        self._tell(removed)
        return removed.deletion

    async def delete_many(self, targets: Sequence[Target]) -> None:
        """Do the same with many resources; those that do not exist, or no longer, are passed over."""
        for start in range(0, len(targets), _BATCH):
            await self._delete_batch(targets[start : start + _BATCH])

    async def _delete_batch(self, targets: Sequence[Target]) -> None:
        for removed in await self._index.write(lambda tx: [self._delete(tx, *target) for target in targets]):
            if removed is not None:
                self._tell(removed)

    def _tell(self, removed: Removed) -> None:
        self._settling.collect()
        for ref in removed.deletion.removed:
            self._bus.publish(ResourceDeleted(ref.level, ref.id))
        self._bus.publish(ResourcesTouched(removed.survivors))

    def _delete(self, tx: Transaction, level: ResourceLevel | None, id: str) -> Removed | None:
        if self._is_read_only:
            raise ReadOnlyServer
        row = tx.find(id)
        if row is None or level not in (None, row.level):
            return None
        deletion = tx.delete(id)
        assert deletion is not None
        for survivor in deletion.surviving_rows:
            tx.set_metadata(survivor, {Metadata.LAST_UPDATE: f"{self._now():%Y%m%dT%H%M%S}"})
        lowest = deletion.remaining_ancestor
        above = tx.ancestors(lowest.id) if lowest is not None else []
        return Removed(deletion, tuple(ref.id for ref in ([lowest] if lowest else []) + above))
