"""Remove resources. Source: the Orthanc Book, "Deleting"; `DELETE /{level}/{id}`."""

from collections.abc import Callable
from datetime import datetime

from ..bus import EventBus
from ..index.index import Index
from ..index.transaction import Deletion, Transaction
from ..model.event import ResourceDeleted, ResourcesTouched
from ..model.resource import Metadata, ResourceLevel
from .settling import Settling


class Removal:
    """Deletes resources with all that belongs to them."""

    def __init__(
        self, index: Index, bus: EventBus, *, settling: Settling, now: Callable[[], datetime]
    ) -> None:
        self._index = index
        self._bus = bus
        self._settling = settling
        self._now = now

    async def delete(self, level: ResourceLevel, id: str) -> Deletion | None:
        """Remove a resource, its descendants and the ancestors left empty; None if it does not exist.

        On return it is gone for good; its files follow in the background.
        """
        removed = await self._index.write(lambda tx: self._delete(tx, level, id))
        if removed is None:
            return None
        deletion, survivors = removed
        self._settling.collect()
        for ref in deletion.removed:
            self._bus.publish(ResourceDeleted(ref.level, ref.id))
        self._bus.publish(ResourcesTouched(survivors))
        return deletion

    def _delete(
        self, tx: Transaction, level: ResourceLevel, id: str
    ) -> tuple[Deletion, tuple[str, ...]] | None:
        row = tx.find(id)
        if row is None or row.level is not level:
            return None
        deletion = tx.delete(id)
        assert deletion is not None
        for survivor in deletion.surviving_rows:
            tx.set_metadata(survivor, {Metadata.LAST_UPDATE: f"{self._now():%Y%m%dT%H%M%S}"})
        lowest = deletion.remaining_ancestor
        above = tx.ancestors(lowest.id) if lowest is not None else []
        return deletion, tuple(ref.id for ref in ([lowest] if lowest else []) + above)
