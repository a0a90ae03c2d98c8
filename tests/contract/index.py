"""What every index backend must do. A backend's test class inherits IndexContract and says how to open it."""

from pathlib import Path

import pytest
import trio

from orthanc_trio.index.transaction import Transaction
from orthanc_trio.model.errors import DatabaseError
from orthanc_trio.model.event import ChangeType
from orthanc_trio.model.resource import (
    Metadata,
    ResourceLevel,
)

from .forest import (
    INSTANCE,
    PATIENT,
    Refused,
    dump,
    log_changes,
    row_of,
    store,
    store_all,
)
from .index_annotations import AnnotationContract
from .index_changes import ChangeContract, DeletionContract, JobContract
from .index_resources import FileContract, ResourceContract
from .index_search import SearchContract
from .index_stored import StoredContract


class IndexContract(
    ResourceContract,
    AnnotationContract,
    FileContract,
    SearchContract,
    StoredContract,
    DeletionContract,
    ChangeContract,
    JobContract,
):
    """The promises of `index/index.py`, and by inheritance those of `index/transaction.py`."""

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
            tx.save_output("a", b"new")
            tx.save_output("b", None)
            tx.note_output_use("c", 2.0)
            tx.set_property("key", "new")
            raise Refused

        def fill(tx: Transaction) -> None:
            store_all("p/s/e/old", "p/s/e/gone")(tx)
            tx.set_metadata(row_of(tx, "p"), {1024: "old"})
            log_changes(tx, "old", ChangeType.NEW_INSTANCE)
            tx.delete("gone")
            tx.save_jobs({"a": b"old", "b": b"old"})
            tx.save_plan("b", b"old")
            tx.save_output("b", b"old")
            tx.save_output("c", b"old")
            tx.note_output_use("c", 1.0)

        async with self.open(tmp_path) as index:
            await index.write(fill)
            before = await index.read(dump)
            with pytest.raises(Refused):
                await index.write(fail)
            assert await index.read(dump) == before

    async def test_threads_write_in_place_together_with_tasks(self, tmp_path: Path) -> None:
        def refuse(tx: Transaction) -> None:
            store(tx, "p/s/e/refused")
            raise Refused

        async with self.open(tmp_path) as index:

            async def from_thread(number: int) -> None:
                await trio.to_thread.run_sync(index.write_here, store_all(f"p/s/e/thread-{number}"))

            async def refused() -> None:
                with pytest.raises(Refused):
                    await trio.to_thread.run_sync(index.write_here, refuse)

            async with trio.open_nursery() as nursery:
                for number in range(10):
                    nursery.start_soon(from_thread, number)
                    nursery.start_soon(index.write, store_all(f"p/s/e/task-{number}"))
                    nursery.start_soon(refused)
            found = await index.read(lambda tx: tx.descendants("p", ResourceLevel.INSTANCE))
            assert found == sorted(f"{kind}-{n}" for kind in ("thread", "task") for n in range(10))
        with pytest.raises(DatabaseError, match="closed"):
            index.write_here(store_all("p/s/e/late"))

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

    async def test_a_look_at_once_gives_what_a_read_gives(self, tmp_path: Path) -> None:
        def refuse(_: object) -> None:
            raise Refused

        async with self.open(tmp_path) as index:
            await index.write(store_all("p/s/e/i"))
            found = index.read_at_once(lambda tx: tx.find("i"))
            assert found is not None
            assert found.unwrap() == await index.read(lambda tx: tx.find("i"))
            refused = index.read_at_once(refuse)
            assert refused is not None
            with pytest.raises(Refused):
                refused.unwrap()
