"""The contract of the index: labels, protection, and metadata that users revise."""

from functools import partial
from pathlib import Path

from orthanc_trio.index.transaction import MetadataItem, Transaction
from orthanc_trio.model.resource import Attachment, AttachmentType, Statistics

from .forest import INSTANCE, Backend, row_of, store, store_all


class AnnotationContract(Backend):
    """What users say of resources."""

    async def test_labels_are_listed_once_and_in_order(self, tmp_path: Path) -> None:
        def label(tx: Transaction) -> None:
            for id, text in (("p", "b"), ("p", "a"), ("p", "b"), ("i", "c"), ("s", "a")):
                tx.add_label(row_of(tx, id), text)

        async with self.open(tmp_path) as index:
            await index.write(store_all("p/s/e/i"))
            assert await index.read(lambda tx: tx.labels_in_use()) == []
            await index.write(label)
            assert await index.read(lambda tx: tx.labels_in_use()) == ["a", "b", "c"]
            facts = await index.read(lambda tx: tx.facts_of(["p", "s", "e", "i"]))
        assert [found.labels for found in facts] == [("a", "b"), ("a",), (), ("c",)]

    async def test_a_label_can_be_taken_off_also_if_it_is_not_there(self, tmp_path: Path) -> None:
        def relabel(tx: Transaction) -> None:
            row = store(tx, "p")
            tx.add_label(row, "a")
            tx.remove_label(row, "a")
            tx.remove_label(row, "never")

        async with self.open(tmp_path) as index:
            await index.write(relabel)
            assert await index.read(lambda tx: tx.labels_in_use()) == []

    async def test_labels_and_metadata_die_with_their_resource(self, tmp_path: Path) -> None:
        def annotate(tx: Transaction) -> None:
            row = row_of(tx, "i1")
            tx.add_label(row, "x")
            tx.revise_metadata(row, 1024, "a")
            tx.revise_metadata(row, 1024, "b")

        async with self.open(tmp_path) as index:
            await index.write(store_all("p/s/e/i1", "p/s/e/i2"))
            await index.write(annotate)
            await index.write(lambda tx: tx.delete("i1"))
            assert await index.read(lambda tx: tx.labels_in_use()) == []
            row = await index.write(lambda tx: store(tx, "p/s/e/i1"))
            assert await index.read(lambda tx: tx.metadata_item(row, 1024)) is None

    async def test_a_patient_is_protected_until_it_is_not(self, tmp_path: Path) -> None:
        def protect(tx: Transaction, *, is_protected: bool) -> None:
            tx.set_protected(row_of(tx, "p"), is_protected)

        async with self.open(tmp_path) as index:
            await index.write(store_all("p/s"))
            for is_protected in (True, False):
                await index.write(partial(protect, is_protected=is_protected))
                facts = await index.read(lambda tx: tx.facts("p"))
                assert facts is not None
                assert facts.is_protected is is_protected

    async def test_each_revision_of_metadata_has_the_next_number(self, tmp_path: Path) -> None:
        def revise(tx: Transaction) -> list[int]:
            return [tx.revise_metadata(row_of(tx, "s"), 1024, value) for value in ("a", "b", "b")]

        async with self.open(tmp_path) as index:
            row = await index.write(lambda tx: store(tx, "p/s"))
            assert await index.write(revise) == [0, 1, 2]
            assert await index.read(lambda tx: tx.metadata_item(row, 1024)) == MetadataItem("b", 2)
            assert await index.read(lambda tx: tx.metadata_item(row, 1025)) is None

    async def test_what_the_server_itself_writes_is_no_revision(self, tmp_path: Path) -> None:
        def write(tx: Transaction) -> MetadataItem | None:
            row = store(tx, "p")
            tx.set_metadata(row, {7: "a"})
            tx.set_metadata(row, {7: "b"})
            return tx.metadata_item(row, 7)

        async with self.open(tmp_path) as index:
            assert await index.write(write) == MetadataItem("b", 0)
            assert await index.write(lambda tx: tx.revise_metadata(row_of(tx, "p"), 7, "c")) == 1

    async def test_removed_metadata_begin_anew(self, tmp_path: Path) -> None:
        def revise(tx: Transaction) -> list[int]:
            row = store(tx, "p")
            revisions = [tx.revise_metadata(row, 1024, "a"), tx.revise_metadata(row, 1024, "b")]
            tx.remove_metadata(row, 1024)
            tx.remove_metadata(row, 1025)
            return [*revisions, tx.revise_metadata(row, 1024, "c")]

        async with self.open(tmp_path) as index:
            assert await index.write(revise) == [0, 1, 0]

    async def test_statistics_can_be_those_of_one_type_of_attachment(self, tmp_path: Path) -> None:
        def fill(tx: Transaction) -> None:
            row = store(tx, "p/s/e/i")
            tx.attach(row, Attachment(type=1024, uuid="x", size=5, uncompressed_size=6))

        async with self.open(tmp_path) as index:
            await index.write(fill)
            found = await index.read(lambda tx: tx.statistics_of("e", AttachmentType.DICOM))
            assert found == Statistics(
                patients=0, studies=0, series=1, instances=1, disk_size=10, uncompressed_size=20
            )
            extra = await index.read(lambda tx: tx.statistics_of("i", 1024))
            assert extra is not None
            assert (extra.disk_size, extra.uncompressed_size) == (5, 6)
            assert len(await index.read(lambda tx: tx.ids(INSTANCE))) == 1
