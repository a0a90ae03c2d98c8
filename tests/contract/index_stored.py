"""The contract of the index: attachments that come and go, new tags, and whose turn it is to make room."""

from collections.abc import Callable
from pathlib import Path

from orthanc_trio.index.transaction import MainTags, Transaction
from orthanc_trio.model.resource import Attachment

from .forest import Backend, row_of, store, store_all


def extra(key: str, *, type: int = 1024, revision: int = 0) -> Attachment:
    return Attachment(type=type, uuid=key, size=5, uncompressed_size=6, revision=revision)


def renew(*ids: str) -> Callable[[Transaction], None]:
    def function(tx: Transaction) -> None:
        for id in ids:
            tx.renew(row_of(tx, id))

    return function


class StoredContract(Backend):
    """What is kept for resources, and for how long."""

    async def test_a_detached_file_is_forgotten_and_its_place_is_free(self, tmp_path: Path) -> None:
        def replace(tx: Transaction) -> None:
            row = row_of(tx, "i")
            tx.detach(row, 1024)
            tx.attach(row, extra("y", revision=3))
            tx.detach(row, 1025)

        async with self.open(tmp_path) as index:
            await index.write(lambda tx: tx.attach(store(tx, "p/s/e/i"), extra("x")))
            before = await index.read(lambda tx: tx.statistics())
            await index.write(replace)
            found = await index.read(lambda tx: tx.attachments(row_of(tx, "i")))
            assert found[1:] == [extra("y", revision=3)]
            assert await index.read(lambda tx: tx.forgotten_files(10)) == ["x"]
            assert await index.read(lambda tx: tx.known_files(["x", "y"])) == {"y"}
            assert await index.read(lambda tx: tx.statistics()) == before

    async def test_the_tags_of_a_resource_can_be_replaced(self, tmp_path: Path) -> None:
        async with self.open(tmp_path) as index:
            await index.write(store_all("p/s"))
            await index.write(lambda tx: tx.set_tags(row_of(tx, "p"), {"0010,0010": "new"}))
            await index.write(lambda tx: tx.set_tags(row_of(tx, "s"), {"0008,0050": "a"}, {"0010,0010": "b"}))
            assert await index.read(lambda tx: tx.tags_of(["p", "s"])) == {
                "p": MainTags({"0010,0010": "new"}, {}),
                "s": MainTags({"0008,0050": "a"}, {"0010,0010": "b"}),
            }

    async def test_the_patient_that_was_renewed_first_is_the_oldest(self, tmp_path: Path) -> None:
        async with self.open(tmp_path) as index:
            await index.write(store_all("p1", "p2", "p3"))
            assert await index.read(lambda tx: tx.oldest_patient()) is None
            await index.write(renew("p1", "p2", "p3", "p1", "p1"))
            assert await index.read(lambda tx: tx.oldest_patient()) == "p2"
            assert await index.read(lambda tx: tx.oldest_patient("p2")) == "p3"
            await index.write(lambda tx: tx.delete("p2"))
            await index.write(lambda tx: tx.delete("p3"))
            assert await index.read(lambda tx: tx.oldest_patient()) == "p1"
            assert await index.read(lambda tx: tx.oldest_patient("p1")) is None

    async def test_a_protected_patient_has_no_turn_until_it_is_free_again(self, tmp_path: Path) -> None:
        async with self.open(tmp_path) as index:
            await index.write(store_all("p1", "p2"))
            await index.write(renew("p1", "p2"))
            await index.write(lambda tx: tx.set_protected(row_of(tx, "p1"), True))
            await index.write(renew("p1"))
            assert await index.read(lambda tx: tx.oldest_patient()) == "p2"
            assert await index.read(lambda tx: tx.oldest_patient("p2")) is None
            await index.write(lambda tx: tx.set_protected(row_of(tx, "p1"), False))
            assert await index.read(lambda tx: tx.oldest_patient()) == "p2"
            assert await index.read(lambda tx: tx.oldest_patient("p2")) == "p1"
