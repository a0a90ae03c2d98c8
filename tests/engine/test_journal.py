"""The journal: what is saved at once, what later and together, and what happens when saving fails."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
from msgspec import Raw
from msgspec.structs import replace
from trio.testing import MockClock, wait_all_tasks_blocked

from orthanc_trio.jobs.journal import (
    LAZY_DELAY_S,
    RETRY_DELAY_S,
    Journal,
    UnsavedStore,
    decode_record,
)
from orthanc_trio.jobs.submission_log import NewJob
from orthanc_trio.model.error_code import ErrorCode
from orthanc_trio.model.errors import DatabaseError
from orthanc_trio.model.job import JobFault, JobOutput, JobRecord, JobState
from tests.support.jobs import EPOCH, MemoryStore, make_record

A = make_record(id="a")
B = make_record(id="b")


def saved(store: MemoryStore, id: str) -> JobRecord:
    return decode_record(store.records[id])


@asynccontextmanager
async def running_journal(store: MemoryStore) -> AsyncIterator[Journal]:
    journal = Journal(store)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(journal.run)
        yield journal
        nursery.cancel_scope.cancel()


class GatedStore(MemoryStore):
    """Each write waits for the test."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = trio.Semaphore(0)
        self.before_write = self.gate.acquire


async def test_a_saved_record_is_in_the_store_at_once() -> None:
    store = MemoryStore()
    await Journal(store).save(A)
    assert saved(store, "a") == A


@pytest.mark.parametrize("user_data", [None, Raw(b"null"), Raw(b'{"\xc3\xa9":[1]}')])
async def test_a_record_survives_the_store_with_all_its_fields(user_data: Raw | None) -> None:
    fault = JobFault(code=ErrorCode.TIMEOUT, details="x", payload={"Type": "Dimse"})
    output = JobOutput(key="k", file="f", filename="n", media_type="m", size_bytes=2**40)
    record = make_record(
        cursor=Raw(b'{"x":1}'),
        user_data=user_data,
        content={"a": [1, None]},
        fault=fault,
        outputs=(output,),
        retry_at=EPOCH,
        running_since=EPOCH,
    )
    store = MemoryStore()
    await Journal(store).save(record)
    assert await Journal(store).load() == [record]


async def test_noted_records_are_saved_together(autojump_clock: MockClock) -> None:
    store = MemoryStore()
    async with running_journal(store) as journal:
        for done in range(50):
            journal.note(replace(A, done=float(done)))
            journal.note(B)
        await trio.sleep(2 * LAZY_DELAY_S)
    assert store.writes == 1
    assert saved(store, "a").done == 49


async def test_an_idle_journal_writes_nothing(autojump_clock: MockClock) -> None:
    store = MemoryStore()
    async with running_journal(store) as journal:
        await journal.save(A)
        await trio.sleep(60)
    assert store.writes == 1


async def test_a_record_that_was_saved_meanwhile_is_not_saved_again(autojump_clock: MockClock) -> None:
    store = MemoryStore()
    async with running_journal(store) as journal:
        journal.note(A)
        await journal.save(replace(A, done=1.0))
        await trio.sleep(60)
    assert store.writes == 1


async def test_fleeting_jobs_are_never_written(autojump_clock: MockClock) -> None:
    store = MemoryStore()
    record = make_record(is_durable=False)
    async with running_journal(store) as journal:
        journal.note(record)
        await journal.save(record)
        await journal.save_plan(record, b"plan")
        assert await journal.load_plan(record) == b"plan"
        await journal.drop_plan(record)
        assert await journal.load_plan(record) is None
        await journal.erase(record)
        await trio.sleep(60)
    assert store.writes == 0


async def test_saves_of_two_records_do_not_wait_for_each_other() -> None:
    store = GatedStore()
    journal = Journal(store)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(journal.save, A)
        nursery.start_soon(journal.save, B)
        await wait_all_tasks_blocked()
        assert store.gate.statistics().tasks_waiting == 2
        store.gate.release()
        store.gate.release()
    assert store.records.keys() == {"a", "b"}


async def test_saves_of_one_record_follow_each_other_and_the_newest_wins() -> None:
    store = GatedStore()
    journal = Journal(store)
    async with trio.open_nursery() as nursery:
        for done in (1.0, 2.0, 3.0):
            nursery.start_soon(journal.save, replace(A, done=done))
            await wait_all_tasks_blocked()
        assert store.gate.statistics().tasks_waiting == 1
        store.gate.release()
        await wait_all_tasks_blocked()
        store.gate.release()
    assert (store.writes, saved(store, "a").done) == (2, 3.0)


async def test_a_lazy_save_leaves_alone_what_is_being_saved(autojump_clock: MockClock) -> None:
    store = GatedStore()
    async with running_journal(store) as journal:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(journal.save, A)
            await wait_all_tasks_blocked()
            journal.note(replace(A, done=1.0))
            await trio.sleep(2 * LAZY_DELAY_S)
            assert store.gate.statistics().tasks_waiting == 1
            store.gate.release()
        store.gate.release()
        await trio.sleep(2 * LAZY_DELAY_S)
    assert saved(store, "a").done == 1.0


async def test_an_error_reaches_the_caller_and_the_record_is_saved_later(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    store = MemoryStore()
    store.is_failing = True
    async with running_journal(store) as journal:
        with pytest.raises(DatabaseError):
            await journal.save(A)
        await trio.sleep(3 * RETRY_DELAY_S)
        assert not store.records
        store.is_failing = False
        await trio.sleep(2 * RETRY_DELAY_S)
    assert saved(store, "a") == A
    assert {record.levelno for record in caplog.records} == {logging.WARNING}


async def test_after_a_failed_save_the_newer_state_is_kept() -> None:
    store = MemoryStore()
    store.is_failing = True
    journal = Journal(store)

    async def note_a_newer_state() -> None:
        journal.note(replace(A, done=2.0))

    store.before_write = note_a_newer_state
    with pytest.raises(DatabaseError):
        await journal.save(A)
    store.is_failing, store.before_write = False, trio.lowlevel.checkpoint
    await journal.flush()
    assert saved(store, "a").done == 2.0


async def test_a_caller_that_leaves_while_it_waits_leaves_its_record_to_the_lazy_save(
    autojump_clock: MockClock,
) -> None:
    store = GatedStore()
    async with running_journal(store) as journal:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(journal.save, A)
            await wait_all_tasks_blocked()
            with trio.move_on_after(0.01):
                await journal.save(replace(A, done=1.0))
            store.gate.release()
        store.gate.release()
        await trio.sleep(2 * LAZY_DELAY_S)
    assert saved(store, "a").done == 1.0


async def test_a_forgotten_job_is_removed_with_its_plan(autojump_clock: MockClock) -> None:
    store = MemoryStore()
    async with running_journal(store) as journal:
        await journal.save(A)
        await journal.save_plan(A, b"plan")
        journal.forget(A)
        await trio.sleep(2 * LAZY_DELAY_S)
    assert (store.records, store.plans) == ({}, {})


async def test_an_erased_job_is_removed_at_once() -> None:
    store = MemoryStore()
    journal = Journal(store)
    await journal.save(A)
    await journal.erase(A)
    assert store.records == {}


async def test_the_last_save_waits_for_saves_under_way() -> None:
    store = GatedStore()
    journal = Journal(store)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(journal.save, A)
        await wait_all_tasks_blocked()
        journal.note(B)
        nursery.start_soon(journal.flush)
        await wait_all_tasks_blocked()
        assert store.gate.statistics().tasks_waiting == 1
        store.gate.release()
        store.gate.release()
    assert store.records.keys() == {"a", "b"}


async def test_an_unreadable_record_is_passed_over(caplog: pytest.LogCaptureFixture) -> None:
    store = MemoryStore()
    await Journal(store).save(A)
    store.records |= {"x": b"{not json", "y": b'{"id":"y"}'}
    assert await Journal(store).load() == [A]
    assert len(caplog.records) == 2


async def test_a_new_job_has_no_plan_and_the_store_is_not_asked() -> None:
    store = MemoryStore()
    store.plans["a"] = b"of an earlier life"
    assert await Journal(store).load_plan(A) is None


async def test_a_restored_job_without_a_cursor_may_have_a_plan() -> None:
    store = MemoryStore()
    await Journal(store).save(A)
    await Journal(store).save_plan(A, b"plan")
    journal = Journal(store)
    await journal.load()
    assert await journal.load_plan(A) == b"plan"


async def test_a_job_with_a_cursor_has_a_plan() -> None:
    store = MemoryStore()
    journal = Journal(store)
    record = replace(A, cursor=Raw(b"1"))
    await journal.save_plan(record, b"plan")
    assert await journal.load_plan(record) == b"plan"
    await journal.drop_plan(record)
    assert await journal.load_plan(record) is None


async def test_with_an_unsaved_store_nothing_is_written_and_earlier_jobs_are_shown() -> None:
    earlier = MemoryStore()
    await Journal(earlier).save(A)
    await Journal(earlier).save_plan(A, b"earlier")
    store = UnsavedStore(earlier)
    journal = Journal(store)
    assert await journal.load() == [A]
    assert await journal.load_plan(A) == b"earlier"
    planned = replace(B, cursor=Raw(b"1"), state=JobState.PAUSED)
    await journal.save(planned)
    await journal.save_plan(planned, b"new")
    assert await journal.load_plan(planned) == b"new"
    await journal.erase(planned)
    assert await journal.load_plan(planned) is None
    assert (list(earlier.records), earlier.plans) == (["a"], {"a": b"earlier"})


async def test_an_unsaved_store_keeps_outputs_in_memory_and_shows_earlier_ones() -> None:
    earlier = MemoryStore()
    earlier.outputs = {"old": b"old"}
    store = UnsavedStore(earlier)
    assert await store.output_uses() == {"old": None}
    await store.insert(NewJob("a", b"{}", {"a.archive": b"a"}))
    await store.insert(NewJob("b", b"{}", {"b.archive": b"b"}))
    await store.save({}, (), {"a.archive": None, "b.archive": 1.0})
    files = ("old", "a.archive", "b.archive")
    assert [await store.load_output(file) for file in files] == [b"old", None, b"b"]
    await store.save({}, (), {"b.archive": None})
    assert await store.load_output("b.archive") is None
    assert (earlier.outputs, earlier.records) == ({"old": b"old"}, {})


async def test_outputs_to_be_dropped_are_dropped_though_a_save_failed(autojump_clock: MockClock) -> None:
    store = MemoryStore()
    store.outputs = {"x": b""}
    async with running_journal(store) as journal:
        store.is_failing = True
        journal.drop_outputs(["x"])
        await trio.sleep(5)
        assert store.outputs == {"x": b""}
        store.is_failing = False
        await trio.sleep(5)
        assert store.outputs == {}
