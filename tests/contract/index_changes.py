"""The contract of the index: what vanishes, the log of changes, jobs and properties."""

from datetime import timedelta
from operator import methodcaller
from pathlib import Path

from orthanc_trio.index.transaction import Transaction
from orthanc_trio.model.event import Change, ChangeType
from orthanc_trio.model.resource import (
    ResourceRef,
)

from .forest import (
    INSTANCE,
    NOW,
    PATIENT,
    SERIES,
    STUDY,
    Backend,
    log_changes,
    numbers,
    row_of,
    store,
    store_all,
)


class DeletionContract(Backend):
    """What goes with a resource, and what stays."""

    async def test_deleting_takes_descendants_and_ancestors_left_empty(self, tmp_path: Path) -> None:
        async with self.open(tmp_path) as index:
            await index.write(store_all("p/s1/e1/i2", "p/s1/e1/i1", "p/s2/e2/i3"))
            deletion = await index.write(lambda tx: tx.delete("e1"))
            assert deletion is not None
            assert deletion.removed == (
                ResourceRef(INSTANCE, "i1"),
                ResourceRef(INSTANCE, "i2"),
                ResourceRef(SERIES, "e1"),
                ResourceRef(STUDY, "s1"),
            )
            assert sorted(deletion.files) == ["file-i1", "file-i2"]
            assert deletion.remaining_ancestor == ResourceRef(PATIENT, "p")
            assert deletion.surviving_rows == (await index.read(lambda tx: row_of(tx, "p")),)
            assert await index.read(lambda tx: [tx.find(ref.id) for ref in deletion.removed]) == [None] * 4
            assert await index.read(lambda tx: tx.descendants("p", INSTANCE)) == ["i3"]

    async def test_surviving_rows_go_from_the_bottom_up(self, tmp_path: Path) -> None:
        async with self.open(tmp_path) as index:
            await index.write(store_all("p/s/e/1", "p/s/e/2"))
            rows = await index.read(lambda tx: tuple(row_of(tx, id) for id in ("e", "s", "p")))
            deletion = await index.write(lambda tx: tx.delete("2"))
        assert deletion is not None
        assert deletion.surviving_rows == rows
        assert deletion.remaining_ancestor == ResourceRef(SERIES, "e")

    async def test_deleting_the_last_instance_empties_the_index(self, tmp_path: Path) -> None:
        async with self.open(tmp_path) as index:
            await index.write(store_all("p/s/e/i"))
            deletion = await index.write(lambda tx: tx.delete("i"))
            assert deletion is not None
            assert [ref.id for ref in deletion.removed] == ["i", "e", "s", "p"]
            assert (deletion.remaining_ancestor, deletion.surviving_rows) == (None, ())
            statistics = await index.read(lambda tx: tx.statistics())
            assert (statistics.patients, statistics.instances, statistics.disk_size) == (0, 0, 0)

    async def test_a_resource_that_comes_back_bears_nothing_of_its_past(self, tmp_path: Path) -> None:
        def replace(tx: Transaction) -> None:
            log_changes(tx, "i", ChangeType.NEW_INSTANCE)
            tx.set_metadata(row_of(tx, "p"), {1024: "gone"})
            tx.delete("p")
            tx.create(PATIENT, "p", None, {"0010,0020": "new"})

        async with self.open(tmp_path) as index:
            await index.write(store_all("p/s/e/i"))
            await index.write(replace)
            facts = await index.read(lambda tx: tx.facts("p"))
            assert facts is not None
            assert (facts.tags, facts.metadata, facts.children) == ({"0010,0020": "new"}, {}, ())
            assert (await index.read(lambda tx: tx.changes(limit=9))).changes == ()

    async def test_forgotten_files_are_a_queue(self, tmp_path: Path) -> None:
        async with self.open(tmp_path) as index:
            await index.write(store_all("p/s/e/1", "p/s/e/2", "p/s/e/3"))
            for id in ("2", "3", "1"):
                await index.write(methodcaller("delete", id))
            assert await index.read(lambda tx: tx.forgotten_files(2)) == ["file-2", "file-3"]
            await index.write(lambda tx: tx.files_deleted(["file-3", "never"]))
            assert await index.read(lambda tx: tx.forgotten_files(9)) == ["file-2", "file-1"]
            await index.write(lambda tx: tx.files_deleted(["file-2", "file-1"]))
            assert await index.read(lambda tx: tx.forgotten_files(9)) == []


class ChangeContract(Backend):
    """The log of changes."""

    async def test_a_change_is_told_and_kept_alike(self, tmp_path: Path) -> None:
        local = NOW.astimezone(tz=None)

        def fill(tx: Transaction) -> list[Change]:
            store(tx, "p/s/e/i")
            return [
                tx.log_change(ChangeType.NEW_INSTANCE, row_of(tx, "i"), NOW),
                tx.log_change(ChangeType.STABLE_STUDY, row_of(tx, "s"), local + timedelta(microseconds=1)),
            ]

        async with self.open(tmp_path) as index:
            told = await index.write(fill)
            kept = (await index.read(lambda tx: tx.changes(limit=9))).changes
        assert list(kept) == told
        assert kept[0] == Change(seq=1, type=ChangeType.NEW_INSTANCE, level=INSTANCE, id="i", date=NOW)
        assert (kept[1].seq, kept[1].level, kept[1].id) == (2, STUDY, "s")
        assert kept[1].date - kept[0].date == timedelta(microseconds=1)

    async def test_changes_come_page_by_page(self, tmp_path: Path) -> None:
        async with self.open(tmp_path) as index:
            await index.write(store_all("p"))
            await index.write(lambda tx: log_changes(tx, "p", *[ChangeType.STABLE_PATIENT] * 5))
            first = await index.read(lambda tx: tx.changes(limit=2))
            last = await index.read(lambda tx: tx.changes(since=3, limit=2))
            beyond = await index.read(lambda tx: tx.changes(since=5, limit=2))
            none = await index.read(lambda tx: tx.changes(limit=0))
        assert (numbers(first.changes), first.is_done, first.last_seq) == ([1, 2], False, 5)
        assert (numbers(last.changes), last.is_done) == ([4, 5], True)
        assert (beyond.changes, beyond.is_done, beyond.last_seq) == ((), True, 5)
        assert (none.changes, none.is_done) == ((), False)

    async def test_changes_of_an_interval_come_from_either_end(self, tmp_path: Path) -> None:
        async with self.open(tmp_path) as index:
            await index.write(store_all("p"))
            await index.write(lambda tx: log_changes(tx, "p", *[ChangeType.STABLE_PATIENT] * 6))
            first = await index.read(lambda tx: tx.changes(since=1, to=5, limit=2))
            last = await index.read(lambda tx: tx.changes(since=1, to=5, limit=2, from_end=True))
            whole = await index.read(lambda tx: tx.changes(since=1, to=5, limit=4, from_end=True))
            newest = await index.read(lambda tx: tx.changes(limit=1, from_end=True))
            huge = await index.read(lambda tx: tx.changes(since=1 << 70, to=1 << 71, limit=1 << 70))
        assert (numbers(first.changes), first.is_done) == ([2, 3], False)
        assert (numbers(last.changes), last.is_done) == ([4, 5], False)
        assert (numbers(whole.changes), whole.is_done) == ([2, 3, 4, 5], True)
        assert numbers(newest.changes) == [6]
        assert (huge.changes, huge.is_done) == ((), True)

    async def test_changes_are_chosen_by_type(self, tmp_path: Path) -> None:
        kinds = [ChangeType.NEW_PATIENT, ChangeType.STABLE_PATIENT, ChangeType.MODIFIED_PATIENT] * 2
        async with self.open(tmp_path) as index:
            await index.write(store_all("p"))
            await index.write(lambda tx: log_changes(tx, "p", *kinds))
            page = await index.read(
                lambda tx: tx.changes(types=[ChangeType.MODIFIED_PATIENT, ChangeType.NEW_PATIENT], limit=3)
            )
            rest = await index.read(lambda tx: tx.changes(since=4, types=iter([kinds[0]]), limit=3))
        assert (numbers(page.changes), page.is_done) == ([1, 3, 4], False)
        assert (numbers(rest.changes), rest.is_done, rest.last_seq) == ([], True, 6)

    async def test_changes_vanish_with_their_resource_and_numbers_never_return(self, tmp_path: Path) -> None:
        async with self.open(tmp_path) as index:
            await index.write(store_all("p/s/e/1", "p/s/e/2"))
            await index.write(lambda tx: log_changes(tx, "1", ChangeType.NEW_INSTANCE))
            await index.write(lambda tx: log_changes(tx, "2", *[ChangeType.NEW_INSTANCE] * 2))
            await index.write(lambda tx: tx.delete("2"))
            page = await index.read(lambda tx: tx.changes(limit=9))
            assert (numbers(page.changes), page.last_seq) == ([1], 3)
            await index.write(lambda tx: tx.clear_changes())
            page = await index.read(lambda tx: tx.changes(limit=9))
            assert (page.changes, page.is_done, page.last_seq) == ((), True, 3)
            (change,) = await index.write(lambda tx: log_changes(tx, "1", ChangeType.UPDATED_METADATA))
            assert change.seq == 4


class JobContract(Backend):
    """Jobs, plans and properties."""

    async def test_job_records_are_replaced_and_removed_with_their_plans(self, tmp_path: Path) -> None:
        async with self.open(tmp_path) as index:
            await index.write(lambda tx: tx.save_jobs({"a": b"1", "b": b"\0", "c": b"3"}))
            await index.write(lambda tx: tx.save_plan("a", b"plan a"))
            await index.write(lambda tx: tx.save_plan("b", b"plan b"))
            await index.write(lambda tx: tx.save_jobs({"a": b"new"}, ["b", "never"]))
            assert sorted(await index.read(lambda tx: tx.load_jobs(bytes))) == [b"3", b"new"]
            assert await index.read(lambda tx: (tx.load_plan("a"), tx.load_plan("b"))) == (b"plan a", None)

    async def test_a_plan_is_replaced_and_dropped(self, tmp_path: Path) -> None:
        async with self.open(tmp_path) as index:
            for plan in (b"one", b"two", None, None):
                await index.write(methodcaller("save_plan", "a", plan))
                assert await index.read(lambda tx: tx.load_plan("a")) == plan

    async def test_an_output_is_saved_replaced_and_dropped(self, tmp_path: Path) -> None:
        async with self.open(tmp_path) as index:
            await index.write(lambda tx: tx.save_output("other", b""))
            for data in (b"one", b"two" * 10_000, None, None):
                await index.write(methodcaller("save_output", "a", data))
                assert await index.read(lambda tx: tx.load_output("a")) == data
                files = ["other"] if data is None else ["a", "other"]
                assert sorted(await index.read(lambda tx: tx.output_uses())) == files
            assert await index.read(lambda tx: tx.load_output("other")) == b""

    async def test_the_last_use_of_an_output_is_kept_with_it(self, tmp_path: Path) -> None:
        async with self.open(tmp_path) as index:
            for file in ("a", "b"):
                await index.write(methodcaller("save_output", file, b""))
            for file, used_s in (("a", 1.5), ("a", 2.5), ("unknown", 1.0)):
                await index.write(methodcaller("note_output_use", file, used_s))
            assert await index.read(lambda tx: tx.output_uses()) == {"a": 2.5, "b": None}

    async def test_a_property_is_replaced(self, tmp_path: Path) -> None:
        async with self.open(tmp_path) as index:
            await index.write(lambda tx: tx.set_property("key", "old"))
            await index.write(lambda tx: tx.set_property("key", "new"))
            assert await index.read(lambda tx: tx.get_property("key")) == "new"
            assert await index.read(lambda tx: tx.get_property("KEY")) is None
