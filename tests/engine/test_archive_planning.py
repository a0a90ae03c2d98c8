"""Planning while an archive is begun: early, of one view of the index, with the names it should have."""

import threading
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from orthanc_trio.config.choice import IndexBackend
from orthanc_trio.dicom.archive_names import file_names, media_file_name
from orthanc_trio.index.index import Index
from orthanc_trio.index.opening import open_index
from orthanc_trio.index.transaction import ReadTransaction, Transaction
from orthanc_trio.kinds.archive_plan import ArchiveArgs, ArchivePlan, archive_pages, media_pages
from orthanc_trio.kinds.archive_planning import take_pages
from orthanc_trio.model.errors import DatabaseError
from orthanc_trio.model.resource import Attachment, ResourceLevel

PATIENT, STUDY, SERIES, INSTANCE = ResourceLevel
FOLDER = "P - N/D/CT"
COUNT = 1000


def fill(tx: Transaction, numbers: list[str | None]) -> None:
    """Store one series, whose instances have these numbers."""
    patient = tx.create(PATIENT, "p", None, {})
    names = {"0010,0020": "P", "0010,0010": "N"}
    study = tx.create(STUDY, "s", patient, {"0008,1030": "D"}, names)
    series = tx.create(SERIES, "e", study, {"0008,0060": "CT"})
    for position, number in enumerate(numbers):
        add(tx, series, f"i{position:05}", number)


def add(tx: Transaction, series: int, id: str, number: str | None) -> None:
    row = tx.create(INSTANCE, id, series, {} if number is None else {"0020,0013": number})
    tx.attach(row, Attachment(type=1, uuid=f"file-{id}", size=1, uncompressed_size=1))


async def take_all(index: Index, args: ArchiveArgs) -> tuple[ArchivePlan, list[int]]:
    """Return the plan and the sizes of its pages."""
    plan, sizes = ArchivePlan(), []

    async def take(page: ArchivePlan) -> None:
        nonlocal plan
        await trio.lowlevel.checkpoint()
        plan = plan.extended(page)
        sizes.append(len(page.members))

    await take_pages(index, lambda tx: archive_pages(tx, args), take)
    return plan, sizes


@pytest.mark.parametrize(
    "numbers",
    [
        [str(COUNT - n) for n in range(COUNT)],
        [str(n % 7) for n in range(COUNT)],
        [None] * COUNT,
        ["3", "1", "2"],
    ],
    ids=["in reverse", "not unique", "missing", "few"],
)
async def test_pages_have_the_names_of_a_plan_that_is_made_at_once(
    tmp_path: Path, numbers: list[str | None]
) -> None:
    async with open_index(IndexBackend.SQLITE, tmp_path, is_synchronous=False) as index:
        await index.write(lambda tx: fill(tx, numbers))
        args = ArchiveArgs(resources=("s",), level=STUDY)
        plan, sizes = await take_all(index, args)
        media = await index.read(lambda tx: list(media_pages(tx, args)))
    expected = [(f"file-i{position:05}", name) for position, name in file_names("CT", numbers)]
    assert [(member.key, plan.path(member)) for member in plan.members] == [
        (key, f"{FOLDER}/{name}") for key, name in expected
    ]
    assert [member.key for page in media for member in page.members] == [
        f"file-i{position:05}" for position, _ in file_names("", numbers)
    ]
    names = [member.name for page in media for member in page.members]
    assert names == [media_file_name(position) for position in range(len(numbers))]
    assert sizes[0] <= 64


async def test_the_first_page_is_taken_before_the_last_one_is_made(tmp_path: Path) -> None:
    is_taken = threading.Event()
    taken: list[ArchivePlan] = []

    def pages(tx: ReadTransaction) -> Iterator[ArchivePlan]:
        all_pages = archive_pages(tx, ArchiveArgs(resources=("s",), level=STUDY))
        yield next(all_pages)
        assert is_taken.wait(5)
        yield from all_pages

    async def take(page: ArchivePlan) -> None:
        await trio.lowlevel.checkpoint()
        taken.append(page)
        is_taken.set()

    async with open_index(IndexBackend.SQLITE, tmp_path, is_synchronous=False) as index:
        await index.write(lambda tx: fill(tx, [str(n) for n in range(COUNT)]))
        await take_pages(index, pages, take)
    assert sum(len(page.members) for page in taken) == COUNT


async def test_all_pages_are_of_one_view_of_the_index(tmp_path: Path) -> None:
    is_stored = threading.Event()

    def pages(tx: ReadTransaction) -> Iterator[ArchivePlan]:
        all_pages = archive_pages(tx, ArchiveArgs(resources=("s",), level=STUDY))
        yield next(all_pages)
        assert is_stored.wait(5)
        yield from all_pages

    plan = ArchivePlan()
    async with open_index(IndexBackend.SQLITE, tmp_path, is_synchronous=False) as index:
        await index.write(lambda tx: fill(tx, [str(n) for n in range(COUNT)]))

        def store_one_more(tx: Transaction) -> None:
            series = tx.find("e")
            assert series is not None
            add(tx, series.row, "i00000-more", "0")  # it would change all names

        async def take(page: ArchivePlan) -> None:
            nonlocal plan
            if not is_stored.is_set():
                await index.write(store_one_more)
                is_stored.set()
            plan = plan.extended(page)

        await take_pages(index, pages, take)
    assert [member.name for member in plan.members] == [f"CT{number:06}.dcm" for number in range(COUNT)]


async def test_an_error_of_the_index_is_raised_after_the_pages_before_it(tmp_path: Path) -> None:
    taken: list[ArchivePlan] = []

    def pages(tx: ReadTransaction) -> Iterator[ArchivePlan]:
        yield ArchivePlan()
        raise DatabaseError("broken")

    async def take(page: ArchivePlan) -> None:
        await trio.lowlevel.checkpoint()
        taken.append(page)

    async with open_index(IndexBackend.SQLITE, tmp_path, is_synchronous=False) as index:
        with pytest.raises(DatabaseError, match="broken"):
            await take_pages(index, pages, take)
    assert taken == [ArchivePlan()]


@pytest.mark.parametrize("is_error", [True, False], ids=["an error", "a cancel"])
async def test_no_page_is_made_that_nobody_takes(tmp_path: Path, is_error: bool) -> None:
    made: list[int] = []
    has_ended = threading.Event()
    has_page = trio.Event()
    scope = trio.CancelScope()

    def pages(tx: ReadTransaction) -> Iterator[ArchivePlan]:
        for number in range(100):
            made.append(number)
            yield ArchivePlan()
            assert has_ended.wait(5)

    async def take(page: ArchivePlan) -> None:
        has_page.set()
        if is_error:
            raise ValueError("no more")
        scope.cancel()
        await trio.lowlevel.checkpoint()

    async def release() -> None:
        await has_page.wait()
        await wait_all_tasks_blocked()
        has_ended.set()

    async with (
        open_index(IndexBackend.SQLITE, tmp_path, is_synchronous=False) as index,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(release)
        with scope, pytest.raises(ValueError, match="no more") if is_error else nullcontext():
            await take_pages(index, pages, take)
    assert scope.cancelled_caught != is_error
    assert len(made) == 2  # the second one was in the making
