"""Stable resources: when their changes are logged, and what restarts the wait."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio
import trio.testing
from msgspec import Struct

from orthanc_trio.bus import EventBus
from orthanc_trio.index.index import Index
from orthanc_trio.index.memory import open_memory_index
from orthanc_trio.index.transaction import Transaction
from orthanc_trio.model.event import ChangeEvent, Event
from orthanc_trio.model.resource import ResourceLevel
from orthanc_trio.services.registration import ResourceIds
from orthanc_trio.services.stability import Stability
from tests.support.services import START

IDS = ResourceIds("patient", "study", "series", "instance")
OTHER_SERIES = ResourceIds("patient", "study", "series2", "instance2")


def _create(tx: Transaction) -> None:
    row = None
    for level in (ResourceLevel.PATIENT, ResourceLevel.STUDY):
        row = tx.create(level, IDS.of(level), row, {})
    for ids in (IDS, OTHER_SERIES):
        tx.create(ResourceLevel.SERIES, ids.series, row, {})


class _Setting(Struct):
    """A running service on a clock that jumps, and what it told: (second, type, identifier)."""

    index: Index
    stability: Stability
    told: list[tuple[float, str, str]]


@asynccontextmanager
async def open_setting(stable_age_s: float = 10) -> AsyncIterator[_Setting]:
    bus, start = EventBus(), trio.current_time()
    async with open_memory_index() as index, trio.open_nursery() as nursery:
        await index.write(_create)
        stability = Stability(index, bus, stable_age_s=stable_age_s, now=lambda: START)
        setting = _Setting(index, stability, [])

        def hear(event: Event) -> None:
            assert isinstance(event, ChangeEvent)
            change = event.change
            assert stability.is_stable(change.id)
            setting.told.append((round(trio.current_time() - start, 3), change.type.wire_name, change.id))

        await nursery.start(stability.run)
        with bus.subscribed(hear):
            yield setting
        nursery.cancel_scope.cancel()


async def test_a_resource_is_stable_after_the_age_from_the_series_up(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_setting() as setting:
        assert setting.stability.is_stable("series")
        setting.stability.touch(IDS)
        assert not any(setting.stability.is_stable(id) for id in ("series", "study", "patient"))
        await trio.sleep(11)
        assert setting.told == [
            (10, "StableSeries", "series"),
            (10, "StableStudy", "study"),
            (10, "StablePatient", "patient"),
        ]
        page = await setting.index.read(lambda tx: tx.changes(limit=10))
        assert [change.type.wire_name for change in page.changes] == [type for _, type, _ in setting.told]


async def test_a_new_instance_restarts_the_wait_of_its_ancestors_only(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_setting() as setting:
        setting.stability.touch(IDS)
        await trio.sleep(6)
        setting.stability.touch(OTHER_SERIES)
        await trio.sleep(100)
        assert setting.told == [
            (10, "StableSeries", "series"),
            (16, "StableSeries", "series2"),
            (16, "StableStudy", "study"),
            (16, "StablePatient", "patient"),
        ]


async def test_nothing_is_told_of_a_resource_that_was_deleted_meanwhile(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_setting() as setting:
        setting.stability.touch(IDS)
        await setting.index.write(lambda tx: tx.delete("series"))
        await trio.sleep(11)
        assert [id for _, _, id in setting.told] == ["study", "patient"]
        assert setting.stability.is_stable("series")


async def test_an_age_of_zero_means_a_minute(autojump_clock: trio.testing.MockClock) -> None:
    async with open_setting(stable_age_s=0) as setting:
        setting.stability.touch(IDS)
        await trio.sleep(61)
        assert [time for time, _, _ in setting.told] == [60, 60, 60]


async def test_the_service_goes_on_after_it_was_idle(autojump_clock: trio.testing.MockClock) -> None:
    async with open_setting() as setting:
        for _ in range(2):
            setting.stability.touch(IDS)
            await trio.sleep(50)
        assert [time for time, type, _ in setting.told if type == "StableStudy"] == [10, 60]
