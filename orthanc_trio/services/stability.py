"""Tell when a patient, a study or a series has not grown for a while.

The state is in memory: after a restart everything is stable. Source: the Orthanc Book, "Stable resources".
"""

import logging
from collections import OrderedDict
from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple

import trio

from ..bus import EventBus
from ..index.index import Index
from ..index.transaction import Transaction
from ..model.errors import OrthancError
from ..model.event import Change, ChangeEvent, ChangeType
from ..model.resource import ResourceLevel
from .registration import ResourceIds

_DEFAULT_AGE_S = 60
_RETRY_S = 5.0
_STABLE = {
    ResourceLevel.SERIES: ChangeType.STABLE_SERIES,
    ResourceLevel.STUDY: ChangeType.STABLE_STUDY,
    ResourceLevel.PATIENT: ChangeType.STABLE_PATIENT,
}

logger = logging.getLogger(__name__)


class _Timer(NamedTuple):
    level: ResourceLevel
    deadline: float


class Stability:
    """One timer for each resource that grew lately. `stable_age_s` of 0 or less means 60."""

    def __init__(
        self, index: Index, bus: EventBus, *, stable_age_s: float, now: Callable[[], datetime]
    ) -> None:
        self._index = index
        self._bus = bus
        self._age_s = stable_age_s if stable_age_s > 0 else _DEFAULT_AGE_S
        self._now = now
        # All timers are equally long, so the order of the last restart is that of the deadlines.
        self._timers: OrderedDict[str, _Timer] = OrderedDict()
        self._touched = trio.Event()

    def touch(self, ids: ResourceIds) -> None:
        """Restart the timers of the ancestors of a new instance. Never waits."""
        deadline = trio.current_time() + self._age_s
        for level in _STABLE:
            self._timers[ids.of(level)] = _Timer(level, deadline)
            self._timers.move_to_end(ids.of(level))
        self._touched.set()

    def is_stable(self, id: str) -> bool:
        """Return whether no timer of the resource runs."""
        return id not in self._timers

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Log and publish the changes of resources that become stable, until cancelled."""
        task_status.started()
        while True:
            while not self._timers:
                self._touched = trio.Event()
                await self._touched.wait()
            await trio.sleep_until(next(iter(self._timers.values())).deadline)
            due = self._due()
            if due:
                await self._end(due)

    def _due(self) -> dict[str, _Timer]:
        now = trio.current_time()
        due: dict[str, _Timer] = {}
        for id, timer in self._timers.items():
            if timer.deadline > now:
                break
            due[id] = timer
        return due

    async def _end(self, due: dict[str, _Timer]) -> None:
        try:
            changes = await self._index.write(lambda tx: self._log(tx, due))
        except OrthancError as exc:
            logger.error("Cannot log stable resources: %s %s", exc.code.description, exc.details)
            await trio.sleep(_RETRY_S)
            return
        for id, timer in due.items():
            if self._timers.get(id) is timer:
                del self._timers[id]
        for change in changes:
            self._bus.publish(ChangeEvent(change))

    def _log(self, tx: Transaction, due: dict[str, _Timer]) -> list[Change]:
        date = self._now()
        changes = []
        for id, timer in due.items():
            row = tx.find(id)
            if row is not None:
                changes.append(tx.log_change(_STABLE[timer.level], row.row, date))
        return changes
