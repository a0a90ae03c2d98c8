"""What the library says is always what the index says, however long it has been kept."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

import trio

from orthanc_trio.index.index import Index
from orthanc_trio.index.memory import open_memory_index
from orthanc_trio.index.transaction import ReadTransaction, Transaction
from orthanc_trio.model.event import ChangeEvent, ChangeType, ResourceDeleted, ResourcesTouched
from orthanc_trio.model.resource import Metadata, ResourceLevel
from orthanc_trio.services.library import Library
from orthanc_trio.storage.memory import MemoryArea
from tests.contract.forest import log_changes, row_of, store_all
from tests.support.storage import opened_storage

T = TypeVar("T")
STUDY, SERIES = ResourceLevel.STUDY, ResourceLevel.SERIES


@asynccontextmanager
async def open_library() -> AsyncIterator[tuple[Index, Library]]:
    async with open_memory_index() as index, opened_storage(MemoryArea()) as storage:
        yield index, Library(index, storage, is_stable=lambda id: id == "stable")


def touch(tx: Transaction) -> None:
    tx.set_metadata(row_of(tx, "s"), {Metadata.LAST_UPDATE: "later"})


async def test_a_resource_is_described_once_until_it_is_touched() -> None:
    async with open_library() as (index, library):
        await index.write(store_all("p/s/e/i"))
        first = await library.describe(STUDY, "s")
        assert await library.describe(STUDY, "s") is first
        library.notice(ResourcesTouched(("s",)))
        await index.write(touch)
        again = await library.describe(STUDY, "s")
        assert again is not None
        assert again.facts.metadata[Metadata.LAST_UPDATE] == "later"


async def test_a_resource_is_not_described_at_another_level() -> None:
    async with open_library() as (index, library):
        await index.write(store_all("p/s/e/i"))
        assert await library.describe(STUDY, "s") is not None
        assert await library.describe(SERIES, "s") is None


async def test_a_deleted_resource_is_forgotten() -> None:
    async with open_library() as (index, library):
        await index.write(store_all("p/s/e/i"))
        await library.describe(STUDY, "s")
        await index.write(lambda tx: tx.delete("s"))
        library.notice(ResourceDeleted(STUDY, "s"))
        assert await library.describe(STUDY, "s") is None


class SlowIndex:
    """An index whose reads end only when they are let go, to let events come in between."""

    def __init__(self, index: Index) -> None:
        self._index = index
        self.has_read = trio.Event()
        self.may_return = trio.Event()
        self.write = index.write
        self.write_here = index.write_here
        self.read_at_once = index.read_at_once

    async def read(self, function: Callable[[ReadTransaction], T], *, is_quick: bool = False) -> T:
        result = await self._index.read(function, is_quick=is_quick)
        self.has_read.set()
        await self.may_return.wait()
        return result


async def test_what_was_read_before_a_change_is_not_kept_after_it() -> None:
    async with open_memory_index() as index, opened_storage(MemoryArea()) as storage:
        slow = SlowIndex(index)
        library = Library(slow, storage, is_stable=lambda _: False)
        await index.write(store_all("p/s/e/i"))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(library.describe, STUDY, "s")
            await slow.has_read.wait()
            await index.write(touch)
            library.notice(ResourcesTouched(("s",)))
            slow.may_return.set()
        described = await library.describe(STUDY, "s")
        assert described is not None
        assert described.facts.metadata[Metadata.LAST_UPDATE] == "later"


async def test_a_page_joins_what_is_kept_and_what_is_new_in_ascending_order() -> None:
    async with open_library() as (index, library):
        await index.write(store_all("p/s/b/1", "p/s/a/2", "p/s/c/3"))
        await library.describe(SERIES, "b")
        assert [each.facts.id for each in await library.describe_level(SERIES)] == ["a", "b", "c"]
        assert [each.facts.id for each in await library.describe_level(SERIES, 1, 1)] == ["b"]
        described = await library.describe_descendants("p", ResourceLevel.INSTANCE)
        assert [each.facts.id for each in described] == ["1", "2", "3"]


async def test_a_change_of_a_resource_makes_its_description_untrue() -> None:
    async with open_library() as (index, library):
        await index.write(store_all("p/s/e/i"))
        first = await library.describe(STUDY, "s")
        logged = await index.write(lambda tx: log_changes(tx, "s", ChangeType.STABLE_STUDY))
        library.notice(ChangeEvent(logged[0]))
        assert await library.describe(STUDY, "s") is not first


async def test_an_ancestor_is_found_by_its_level() -> None:
    async with open_library() as (index, library):
        await index.write(store_all("p/s/e/i"))
        found = await library.ancestor("i", STUDY)
        assert found is not None
        assert found.facts.id == "s"
        assert await library.ancestor("p", STUDY) is None
