"""What every index backend must do. A backend's test class inherits IndexContract and says how to open it."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, timedelta
from operator import methodcaller
from pathlib import Path

import pytest
import trio

from orthanc_trio.index.index import Index
from orthanc_trio.index.transaction import ReadTransaction, Transaction
from orthanc_trio.model.errors import DatabaseError
from orthanc_trio.model.event import Change, ChangeType
from orthanc_trio.model.resource import (
    Attachment,
    AttachmentType,
    LeafInstance,
    Metadata,
    ResourceLevel,
    ResourceRef,
    Statistics,
)

PATIENT, STUDY, SERIES, INSTANCE = ResourceLevel
NOW = datetime(2026, 11, 22, 5, 54, 1, 123456, tzinfo=UTC)


def dicom_file(key: str, size: int = 10) -> Attachment:
    return Attachment(
        type=AttachmentType.DICOM,
        uuid=key,
        size=size,
        uncompressed_size=2 * size,
        md5="m",
        uncompressed_md5="u",
    )


def store(tx: Transaction, path: str) -> int:
    """Store the instance of a path such as `p/s/e/i`, with the ancestors that it lacks; return its row."""
    row: int | None = None
    ids = path.split("/")
    for level, id in zip(ResourceLevel, ids, strict=False):
        found = tx.find(id)
        row = found.row if found else tx.create(level, id, row, {"0008,0018": f"uid-{id}", "0010,0010": id})
    assert row is not None
    if len(ids) == INSTANCE:
        tx.set_metadata(row, {Metadata.TRANSFER_SYNTAX: "1.2", Metadata.INDEX_IN_SERIES: ids[-1]})
        tx.attach(row, dicom_file(f"file-{ids[-1]}"))
    return row


def store_all(*paths: str) -> Callable[[Transaction], None]:
    """Return a function for `Index.write` that stores the instances of some paths."""

    def function(tx: Transaction) -> None:
        for path in paths:
            store(tx, path)

    return function


def row_of(tx: ReadTransaction, id: str) -> int:
    found = tx.find(id)
    assert found is not None
    return found.row


def log_changes(tx: Transaction, id: str, *types: ChangeType) -> list[Change]:
    return [tx.log_change(type, row_of(tx, id), NOW) for type in types]


def numbers(changes: tuple[Change, ...]) -> list[int]:
    return [change.seq for change in changes]


class Refused(Exception):
    """What a function of these tests raises."""


class IndexContract(ABC):
    """The promises of `index/index.py` and `index/transaction.py`."""

    @abstractmethod
    def open(self, folder: Path) -> AbstractAsyncContextManager[Index]: ...

    # Resources

    async def test_an_empty_index_answers_with_nothing(self, tmp_path: Path) -> None:
        def look(tx: ReadTransaction) -> Iterator[object]:
            yield from (tx.find("x"), tx.facts("x"), tx.statistics_of("x"), tx.load_plan("x"))
            yield from (
                tx.get_property("x"),
                *tx.ids(PATIENT),
                *tx.facts_of(["x"]),
                *tx.descendants("x", SERIES),
            )
            yield from (*tx.ancestors("x"), *tx.leaves("x"), *tx.forgotten_files(9), *tx.load_jobs())

        async with self.open(tmp_path) as index:
            assert set(await index.read(lambda tx: list(look(tx)))) == {None}
            assert await index.read(lambda tx: tx.statistics()) == Statistics(
                patients=0, studies=0, series=0, instances=0, disk_size=0, uncompressed_size=0
            )
            assert await index.write(lambda tx: tx.delete("x")) is None

    async def test_a_resource_is_found_by_its_identifier_whatever_its_level(self, tmp_path: Path) -> None:
        async with self.open(tmp_path) as index:
            await index.write(store_all("p/s/e/i"))
            found = await index.read(lambda tx: [tx.find(id) for id in ("p", "s", "e", "i", "none")])
        patient, study, series, instance, nothing = found
        assert patient and study and series and instance and not nothing
        assert (patient.level, study.level, series.level, instance.level) == tuple(ResourceLevel)
        assert patient.parent_row is None
        assert (study.parent_row, series.parent_row, instance.parent_row) == (
            patient.row,
            study.row,
            series.row,
        )

    async def test_identifiers_are_listed_in_order_page_by_page(self, tmp_path: Path) -> None:
        async with self.open(tmp_path) as index:
            await index.write(store_all("p3/c", "p1/b", "p2/a", "p1/d"))
            assert await index.read(lambda tx: tx.ids(PATIENT)) == ["p1", "p2", "p3"]
            assert await index.read(lambda tx: tx.ids(STUDY, 1, 2)) == ["b", "c"]
            assert await index.read(lambda tx: tx.ids(STUDY, 3)) == ["d"]
            assert await index.read(lambda tx: tx.ids(STUDY, 4, 2)) == []
            assert await index.read(lambda tx: tx.ids(STUDY, limit=0)) == []
            assert await index.read(lambda tx: tx.ids(STUDY, 1 << 70, 1 << 70)) == []

    async def test_the_same_identifier_cannot_be_created_twice(self, tmp_path: Path) -> None:
        async with self.open(tmp_path) as index:
            await index.write(store_all("p/s"))
            with pytest.raises(DatabaseError):
                await index.write(lambda tx: tx.create(STUDY, "s", row_of(tx, "p"), {}))
            with pytest.raises(DatabaseError):
                await index.write(lambda tx: tx.create(PATIENT, "s", None, {}))

    async def test_facts_hold_all_about_a_series(self, tmp_path: Path) -> None:
        def fill(tx: Transaction) -> None:
            store_all("p/s/e/2", "p/s/e/1", "p/s/other/9")(tx)
            store(tx, "p/s/e/3")
            tx.set_metadata(row_of(tx, "e"), {Metadata.LAST_UPDATE: "old", 1024: 'mine "\0" é'})
            tx.set_metadata(row_of(tx, "e"), {Metadata.LAST_UPDATE: "new"})

        async with self.open(tmp_path) as index:
            await index.write(fill)
            facts = await index.read(lambda tx: tx.facts("e"))
            assert facts is not None
            assert await index.read(lambda tx: tx.facts("e", SERIES)) == facts
            assert await index.read(lambda tx: tx.facts("e", STUDY)) is None
        assert (facts.level, facts.id, facts.parent) == (SERIES, "e", "s")
        assert facts.tags == {"0008,0018": "uid-e", "0010,0010": "e"}
        assert facts.metadata == {Metadata.LAST_UPDATE: "new", 1024: 'mine "\0" é'}
        assert facts.children == ("1", "2", "3")
        assert facts.indexes_in_series == ("1", "2", "3")
        assert facts.labels == ()
        assert facts.patient_tags is None
        assert facts.dicom is None
        assert not facts.is_protected

    async def test_facts_of_the_other_levels_hold_what_only_they_have(self, tmp_path: Path) -> None:
        async with self.open(tmp_path) as index:
            await index.write(store_all("p/s/e/i"))
            patient, study, series, instance = await index.read(lambda tx: tx.facts_of(["p", "s", "e", "i"]))
        assert (patient.parent, patient.children, patient.patient_tags) == (None, ("s",), None)
        assert study.patient_tags == patient.tags == {"0008,0018": "uid-p", "0010,0010": "p"}
        assert study.indexes_in_series == ()
        assert (series.dicom, series.patient_tags) == (None, None)
        assert (instance.children, instance.dicom) == ((), dicom_file("file-i"))

    async def test_a_child_without_index_in_series_has_none_there(self, tmp_path: Path) -> None:
        def fill(tx: Transaction) -> None:
            store(tx, "p/s/e/i1")
            tx.create(INSTANCE, "i0", row_of(tx, "e"), {})

        async with self.open(tmp_path) as index:
            await index.write(fill)
            facts = await index.read(lambda tx: tx.facts("e"))
        assert facts is not None
        assert facts.indexes_in_series == (None, "i1")

    async def test_facts_of_many_come_in_the_order_asked_for_without_the_unknown(
        self, tmp_path: Path
    ) -> None:
        async with self.open(tmp_path) as index:
            await index.write(store_all("p1/s1/e1/i1", "p2/s2/e2/i2"))
            wanted = ["i2", "unknown", "p1", "\ud800", "e2", "i1"]
            found = await index.read(lambda tx: tx.facts_of(wanted))
            one_by_one = await index.read(lambda tx: [tx.facts(id) for id in wanted])
        assert [facts.id for facts in found] == ["i2", "p1", "e2", "i1"]
        assert found == [facts for facts in one_by_one if facts]

    async def test_descendants_are_those_of_a_lower_level_in_order(self, tmp_path: Path) -> None:
        async with self.open(tmp_path) as index:
            await index.write(store_all("p/s2/e3/i1", "p/s1/e2/i3", "p/s1/e1/i2", "q/s3/e4/i4"))
            assert await index.read(lambda tx: tx.descendants("p", INSTANCE)) == ["i1", "i2", "i3"]
            assert await index.read(lambda tx: tx.descendants("p", STUDY)) == ["s1", "s2"]
            assert await index.read(lambda tx: tx.descendants("s1", SERIES)) == ["e1", "e2"]
            assert await index.read(lambda tx: tx.descendants("s1", STUDY)) == []
            assert await index.read(lambda tx: tx.descendants("s1", PATIENT)) == []

    async def test_ancestors_go_from_the_parent_up_to_the_patient(self, tmp_path: Path) -> None:
        async with self.open(tmp_path) as index:
            await index.write(store_all("p/s/e/i"))
            assert await index.read(lambda tx: tx.ancestors("i")) == [
                ResourceRef(SERIES, "e"),
                ResourceRef(STUDY, "s"),
                ResourceRef(PATIENT, "p"),
            ]
            assert await index.read(lambda tx: tx.ancestors("p")) == []

    async def test_leaves_are_the_instances_below_in_the_order_of_the_tree(self, tmp_path: Path) -> None:
        async with self.open(tmp_path) as index:
            await index.write(store_all("p/s2/e1/a", "p/s1/e3/c", "p/s1/e2/d", "p/s1/e2/b", "q/s3/e4/z"))
            leaves = await index.read(lambda tx: [tx.leaves(id) for id in ("p", "s1", "e2", "c", "none")])
        below = [[leaf.id for leaf in leaves_of_one] for leaves_of_one in leaves]
        assert below == [["b", "d", "c", "a"], ["b", "d", "c"], ["b", "d"], ["c"], []]

    async def test_a_leaf_says_what_an_archive_needs(self, tmp_path: Path) -> None:
        def fill(tx: Transaction) -> None:
            store(tx, "p/s/e")
            for id, tags in {
                "i1": {"0008,0018": "1.5", "0020,0013": "7", "0010,0010": "é"},
                "i2": {},
            }.items():
                row = tx.create(INSTANCE, id, row_of(tx, "e"), tags)
                tx.attach(row, dicom_file(f"file-{id}"))
            tx.set_metadata(row_of(tx, "i1"), {Metadata.TRANSFER_SYNTAX: "1.2.840"})
            tx.create(INSTANCE, "without-file", row_of(tx, "e"), {})

        async with self.open(tmp_path) as index:
            await index.write(fill)
            leaves = await index.read(lambda tx: tx.leaves("s"))
        full = LeafInstance(
            patient_id="p",
            study_id="s",
            series_id="e",
            id="i1",
            sop_instance_uid="1.5",
            instance_number="7",
            transfer_syntax="1.2.840",
            attachment=dicom_file("file-i1"),
        )
        assert leaves[0] == full
        assert (leaves[1].sop_instance_uid, leaves[1].instance_number, leaves[1].transfer_syntax) == (
            "",
            None,
            "",
        )
        assert len(leaves) == 2

    # Attachments and statistics

    async def test_attachments_are_listed_by_number(self, tmp_path: Path) -> None:
        extra = Attachment(type=1024, uuid="x", size=3, uncompressed_size=4, compression=1, md5="a")

        def fill(tx: Transaction) -> list[Attachment]:
            row = store(tx, "p/s/e")
            tx.attach(row, extra)
            tx.attach(row, dicom_file("y"))
            return tx.attachments(row)

        async with self.open(tmp_path) as index:
            assert await index.write(fill) == [dicom_file("y"), extra]
            assert await index.read(lambda tx: tx.attachments(row_of(tx, "p"))) == []

    async def test_an_attachment_of_the_same_type_or_key_is_refused(self, tmp_path: Path) -> None:
        async with self.open(tmp_path) as index:
            await index.write(store_all("p/s/e/i"))
            before = await index.read(lambda tx: tx.statistics())
            with pytest.raises(DatabaseError):
                await index.write(lambda tx: tx.attach(row_of(tx, "i"), dicom_file("new")))
            with pytest.raises(DatabaseError):
                await index.write(lambda tx: tx.attach(row_of(tx, "e"), dicom_file("file-i")))
            assert await index.read(lambda tx: tx.statistics()) == before

    async def test_known_files_are_those_that_an_attachment_bears(self, tmp_path: Path) -> None:
        async with self.open(tmp_path) as index:
            await index.write(store_all("p/s/e/1", "p/s/e/2"))
            await index.write(lambda tx: tx.delete("2"))
            known = await index.read(lambda tx: tx.known_files(["file-1", "file-2", "never"]))
        assert known == {"file-1"}

    async def test_statistics_follow_every_change(self, tmp_path: Path) -> None:
        def store_and_count(tx: Transaction) -> Statistics:
            store_all("p/s/e1/i1", "p/s/e1/i2", "p/s/e2/i3")(tx)
            return tx.statistics()

        async with self.open(tmp_path) as index:
            full = Statistics(
                patients=1, studies=1, series=2, instances=3, disk_size=30, uncompressed_size=60
            )
            assert await index.write(store_and_count) == full
            assert await index.read(lambda tx: tx.statistics()) == full
            await index.write(lambda tx: tx.delete("e1"))
            assert await index.read(lambda tx: tx.statistics()) == Statistics(
                patients=1, studies=1, series=1, instances=1, disk_size=10, uncompressed_size=20
            )

    async def test_statistics_of_a_resource_count_it_and_all_below(self, tmp_path: Path) -> None:
        def fill(tx: Transaction) -> None:
            store_all("p/s1/e1/i1", "p/s1/e2/i2", "p/s2/e3/i3")(tx)
            tx.attach(row_of(tx, "s1"), Attachment(type=1024, uuid="x", size=5, uncompressed_size=6))

        async with self.open(tmp_path) as index:
            await index.write(fill)
            assert await index.read(lambda tx: tx.statistics_of("s1")) == Statistics(
                patients=0, studies=1, series=2, instances=2, disk_size=25, uncompressed_size=46
            )
            assert await index.read(lambda tx: tx.statistics_of("i3")) == Statistics(
                patients=0, studies=0, series=0, instances=1, disk_size=10, uncompressed_size=20
            )

    # Deletion

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

    # Changes

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

    # Jobs and properties

    async def test_job_records_are_replaced_and_removed_with_their_plans(self, tmp_path: Path) -> None:
        async with self.open(tmp_path) as index:
            await index.write(lambda tx: tx.save_jobs({"a": b"1", "b": b"\0", "c": b"3"}))
            await index.write(lambda tx: tx.save_plan("a", b"plan a"))
            await index.write(lambda tx: tx.save_plan("b", b"plan b"))
            await index.write(lambda tx: tx.save_jobs({"a": b"new"}, ["b", "never"]))
            assert sorted(await index.read(lambda tx: tx.load_jobs())) == [b"3", b"new"]
            assert await index.read(lambda tx: (tx.load_plan("a"), tx.load_plan("b"))) == (b"plan a", None)

    async def test_a_plan_is_replaced_and_dropped(self, tmp_path: Path) -> None:
        async with self.open(tmp_path) as index:
            for plan in (b"one", b"two", None, None):
                await index.write(methodcaller("save_plan", "a", plan))
                assert await index.read(lambda tx: tx.load_plan("a")) == plan

    async def test_a_property_is_replaced(self, tmp_path: Path) -> None:
        async with self.open(tmp_path) as index:
            await index.write(lambda tx: tx.set_property("key", "old"))
            await index.write(lambda tx: tx.set_property("key", "new"))
            assert await index.read(lambda tx: tx.get_property("key")) == "new"
            assert await index.read(lambda tx: tx.get_property("KEY")) is None

    # Functions

    async def test_a_function_that_raises_leaves_no_trace(self, tmp_path: Path) -> None:
        def fail(tx: Transaction) -> None:
            store(tx, "p/s/e/new")
            tx.set_metadata(row_of(tx, "p"), {1024: "new", Metadata.LAST_UPDATE: "x"})
            log_changes(tx, "p", ChangeType.STABLE_PATIENT)
            tx.delete("old")
            tx.files_deleted(["file-gone"])
            tx.clear_changes()
            tx.save_jobs({"a": b"new"}, ["b"])
            tx.save_plan("a", b"new")
            tx.set_property("key", "new")
            raise Refused

        def fill(tx: Transaction) -> None:
            store_all("p/s/e/old", "p/s/e/gone")(tx)
            tx.set_metadata(row_of(tx, "p"), {1024: "old"})
            log_changes(tx, "old", ChangeType.NEW_INSTANCE)
            tx.delete("gone")
            tx.save_jobs({"a": b"old", "b": b"old"})
            tx.save_plan("b", b"old")

        async with self.open(tmp_path) as index:
            await index.write(fill)
            before = await index.read(dump)
            with pytest.raises(Refused):
                await index.write(fail)
            assert await index.read(dump) == before

    async def test_functions_that_fail_do_not_disturb_their_neighbours(self, tmp_path: Path) -> None:
        outcomes: dict[int, str] = {}

        def function(number: int, tx: Transaction) -> str:
            store(tx, f"p/s/e/{number:03}")
            if number % 3 == 0:
                raise Refused
            return f"{number:03}"

        async def call(number: int) -> None:
            try:
                outcomes[number] = await index.write(lambda tx: function(number, tx))
            except Refused:
                outcomes[number] = "refused"

        async with self.open(tmp_path) as index:
            async with trio.open_nursery() as nursery:
                for number in range(200):
                    nursery.start_soon(call, number)
            kept = await index.read(lambda tx: tx.ids(INSTANCE))
            statistics = await index.read(lambda tx: tx.statistics())
        expected = [f"{number:03}" for number in range(200) if number % 3]
        assert kept == expected
        assert (statistics.instances, statistics.disk_size) == (len(expected), 10 * len(expected))
        assert [outcomes[n] for n in range(200)] == [
            "refused" if n % 3 == 0 else f"{n:03}" for n in range(200)
        ]

    async def test_a_function_sees_those_that_came_before_it(self, tmp_path: Path) -> None:
        parents: list[int] = []

        async def call(number: int) -> None:
            await index.write(lambda tx: parents.append(row_of(tx, "p") if number else store(tx, "p")))

        async with self.open(tmp_path) as index:
            await index.write(store_all("p"))
            async with trio.open_nursery() as nursery:
                for number in range(100):
                    nursery.start_soon(call, number)
            assert len(set(parents)) == 1
            assert len(parents) == 100

    async def test_a_reader_cannot_change_anything(self, tmp_path: Path) -> None:
        async with self.open(tmp_path) as index:
            await index.write(store_all("p"))
            with pytest.raises((DatabaseError, AttributeError)):
                await index.read(lambda tx: tx.set_property("key", "value"))  # type: ignore[attr-defined]
            assert await index.read(lambda tx: tx.get_property("key")) is None

    async def test_a_cancelled_caller_leaves_all_or_nothing(self, tmp_path: Path) -> None:
        async with self.open(tmp_path) as index:
            finished = []
            for number in range(30):
                with trio.move_on_after(number * 20e-6) as scope:
                    await index.write(store_all(f"p{number}/s{number}/e{number}/i{number}"))
                    finished.append(f"i{number}")
                assert scope.cancelled_caught or f"i{number}" in finished
            kept = await index.read(lambda tx: tx.ids(INSTANCE))
            assert set(finished) <= set(kept)
            assert len(await index.read(lambda tx: tx.ids(PATIENT))) == len(kept)

    async def test_a_caller_that_is_cancelled_already_does_nothing(self, tmp_path: Path) -> None:
        async with self.open(tmp_path) as index:
            with trio.CancelScope() as scope:
                scope.cancel()
                await index.write(store_all("p"))
            assert scope.cancelled_caught
            with trio.CancelScope() as scope:
                scope.cancel()
                await index.read(lambda tx: tx.find("p"))
            assert scope.cancelled_caught
            assert await index.write(lambda tx: tx.find("p")) is None

    async def test_a_closed_index_refuses(self, tmp_path: Path) -> None:
        async with self.open(tmp_path) as index:
            pass
        with pytest.raises(DatabaseError):
            await index.read(lambda tx: tx.find("p"))
        with pytest.raises(DatabaseError):
            await index.write(store_all("p"))


def dump(tx: ReadTransaction) -> dict[str, object]:
    """Return all that can be seen of an index."""
    ids = [id for level in ResourceLevel for id in tx.ids(level)]
    return {
        "facts": tx.facts_of(ids),
        "attachments": [tx.attachments(row_of(tx, id)) for id in ids],
        "ancestors": [tx.ancestors(id) for id in ids],
        "leaves": [tx.leaves(id) for id in tx.ids(PATIENT)],
        "statistics": tx.statistics(),
        "statistics_of": [tx.statistics_of(id) for id in ids],
        "changes": tx.changes(limit=1000),
        "forgotten": tx.forgotten_files(1000),
        "jobs": sorted(tx.load_jobs()),
        "plans": [tx.load_plan(id) for id in ("a", "b")],
        "property": tx.get_property("key"),
    }
