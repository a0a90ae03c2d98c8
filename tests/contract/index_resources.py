"""The contract of the index: resources and their files."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from orthanc_trio.index.transaction import MainTags, PlacedInstance, ReadTransaction, Transaction
from orthanc_trio.model.errors import DatabaseError
from orthanc_trio.model.resource import (
    Attachment,
    LeafInstance,
    Metadata,
    ResourceLevel,
    ResourceRef,
    Statistics,
)

from .forest import (
    INSTANCE,
    PATIENT,
    SERIES,
    STUDY,
    Backend,
    dicom_file,
    row_of,
    store,
    store_all,
)


class ResourceContract(Backend):
    """Finding, listing and telling the facts of resources."""

    async def test_an_empty_index_answers_with_nothing(self, tmp_path: Path) -> None:
        def look(tx: ReadTransaction) -> Iterator[object]:
            yield from (tx.find("x"), tx.facts("x"), tx.statistics_of("x"), tx.load_plan("x"))
            yield from (
                tx.get_property("x"),
                *tx.ids(PATIENT),
                *tx.facts_of(["x"]),
                *tx.descendants("x", SERIES),
            )
            yield from (
                *tx.ancestors("x"),
                *tx.series_paths("x"),
                *tx.numbered("x"),
                *tx.leaves(["x"]),
                *tx.forgotten_files(9),
                *tx.load_jobs(bytes),
            )

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
        assert nothing is None
        assert patient
        assert study
        assert series
        assert instance
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
        assert patient.tags == {"0008,0018": "uid-p", "0010,0010": "p"}
        assert study.patient_tags == {"0010,0010": "patient of s"}
        assert study.indexes_in_series == ()
        assert (series.dicom, series.patient_tags) == (None, None)
        assert (instance.children, instance.dicom) == ((), dicom_file("file-i"))

    async def test_tags_of_many_come_without_the_unknown(self, tmp_path: Path) -> None:
        async with self.open(tmp_path) as index:
            await index.write(store_all("p/s/e/i"))
            found = await index.read(lambda tx: tx.tags_of(["s", "none", "i"]))
        assert found == {
            "s": MainTags({"0008,0018": "uid-s", "0010,0010": "s"}, {"0010,0010": "patient of s"}),
            "i": MainTags({"0008,0018": "uid-i", "0010,0010": "i"}, {}),
        }

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

    async def test_series_are_found_from_every_level_in_the_order_of_the_tree(self, tmp_path: Path) -> None:
        async with self.open(tmp_path) as index:
            await index.write(store_all("p/s2/e1/a", "p/s1/e3/c", "p/s1/e2/d", "p/s1/e2/b", "q/s3/e4/z"))
            ids = ("p", "s1", "e2", "c", "none")
            paths = await index.read(lambda tx: [tx.series_paths(id) for id in ids])
        assert paths == [
            [("p", "s1", "e2"), ("p", "s1", "e3"), ("p", "s2", "e1")],
            [("p", "s1", "e2"), ("p", "s1", "e3")],
            [("p", "s1", "e2")],
            [("p", "s1", "e3")],
            [],
        ]

    async def test_the_instances_of_a_series_are_listed_with_their_numbers(self, tmp_path: Path) -> None:
        def fill(tx: Transaction) -> None:
            store(tx, "p/s/e")
            store(tx, "p/s/f/other")
            for id, tags in {"i2": {"0020,0013": "7", "0010,0010": "é"}, "i1": {}}.items():
                tx.create(INSTANCE, id, row_of(tx, "e"), tags)

        async with self.open(tmp_path) as index:
            await index.write(fill)
            numbered = await index.read(lambda tx: [tx.numbered(id) for id in ("e", "none")])
        assert numbered == [[("i1", None), ("i2", "7")], []]

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
            tx.attach(row_of(tx, "s"), dicom_file("no-instance"))

        ids = ("i2", "i1", "none", "without-file", "s", "i2")
        async with self.open(tmp_path) as index:
            await index.write(fill)
            leaves = await index.read(lambda tx: tx.leaves(ids))
        full = LeafInstance(
            id="i1",
            sop_instance_uid="1.5",
            instance_number="7",
            transfer_syntax="1.2.840",
            attachment=dicom_file("file-i1"),
        )
        bare = LeafInstance(
            id="i2",
            sop_instance_uid="",
            instance_number=None,
            transfer_syntax="",
            attachment=dicom_file("file-i2"),
        )
        assert leaves == [bare, full, bare]

    async def test_one_look_tells_what_an_archive_of_one_instance_needs(self, tmp_path: Path) -> None:
        def fill(tx: Transaction) -> None:
            store(tx, "p/s/e/i")
            tx.attach(row_of(tx, "i"), Attachment(type=1024, uuid="x", size=3, uncompressed_size=4))
            tx.attach(row_of(tx, "e"), Attachment(type=1024, uuid="y", size=5, uncompressed_size=6))
            tx.create(INSTANCE, "without-file", row_of(tx, "e"), {})
            tx.attach(row_of(tx, "s"), dicom_file("no-instance"))
            store(tx, "q/t/f/other")

        async with self.open(tmp_path) as index:
            await index.write(fill)
            placed = await index.read(lambda tx: tx.placed("i"))
            leaves = await index.read(lambda tx: tx.leaves(["i"]))
            others = ("p", "s", "e", "without-file", "none", "\ud800")
            assert await index.read(lambda tx: {tx.placed(id) for id in others}) == {None}
        parents = [{"0008,0018": f"uid-{id}", "0010,0010": id} for id in ("p", "s", "e")]
        assert placed == PlacedInstance(leaves[0], 24, *parents)


class FileContract(Backend):
    """Attachments and statistics."""

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
