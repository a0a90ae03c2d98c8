"""What only the SQLite backend promises: group commit, threads, its file, its schema."""

import sqlite3
import threading
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing
from pathlib import Path

import pytest
import trio
import trio.testing

from orthanc_trio.index.index import Index
from orthanc_trio.index.sqlite import open_sqlite_index
from orthanc_trio.index.sqlite_connection import DATABASE_NAME, open_reader, open_writer
from orthanc_trio.index.sqlite_reading import SqliteReadTransaction
from orthanc_trio.index.sqlite_schema import APPLICATION_ID, migrate, migrations
from orthanc_trio.index.sqlite_writer import MAX_GROUP, Writer
from orthanc_trio.index.sqlite_writing import SqliteTransaction
from orthanc_trio.index.transaction import ReadTransaction, Transaction
from orthanc_trio.model.errors import DatabaseError, FullStorage, IncompatibleDatabaseVersion
from orthanc_trio.model.event import ChangeType
from orthanc_trio.model.resource import ResourceLevel
from tests.contract.forest import dump, log_changes, row_of, store, store_all


def open_one(folder: Path, readers: int = 2) -> AbstractAsyncContextManager[Index]:
    return open_sqlite_index(folder, is_synchronous=False, readers=readers)


def outside_view(folder: Path) -> list[str]:
    """Return the patients that another connection sees."""
    with closing(sqlite3.connect(folder / DATABASE_NAME)) as connection:
        return [id for (id,) in connection.execute("SELECT id FROM resources WHERE level = 1 ORDER BY id")]


def file_names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


class Gate:
    """A function for the index that says when it has begun and holds its thread until it is released."""

    def __init__(self) -> None:
        self._token = trio.lowlevel.current_trio_token()
        self._release = threading.Event()
        self.begun = trio.Event()

    def __call__(self, _tx: ReadTransaction) -> str:
        self._token.run_sync_soon(self.begun.set)
        self._release.wait(5)
        return "released"

    def release(self) -> None:
        self._release.set()


@asynccontextmanager
async def held_writer(index: Index) -> AsyncIterator[trio.Nursery]:
    """Hold the writer busy inside the context; all that is written meanwhile becomes one group."""
    gate = Gate()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(index.write, gate)
        await gate.begun.wait()
        try:
            yield nursery
        finally:
            await trio.testing.wait_all_tasks_blocked()
            gate.release()


def create_patient(id: str) -> Callable[[Transaction], int]:
    return lambda tx: tx.create(ResourceLevel.PATIENT, id, None, {})


# Commits


async def test_what_was_written_is_there_after_reopening(tmp_path: Path) -> None:
    def fill(tx: Transaction) -> None:
        store_all("p/s/e/1", "p/s/e/2")(tx)
        log_changes(tx, "1", ChangeType.NEW_INSTANCE)
        log_changes(tx, "2", ChangeType.NEW_INSTANCE)
        tx.delete("2")
        tx.save_jobs({"a": b"1"})
        tx.save_plan("a", b"plan")
        tx.save_output("a.archive", b"zip")
        tx.note_output_use("a.archive", 1.5)
        tx.set_property("key", "value")

    async with open_one(tmp_path) as index:
        await index.write(fill)
        before = await index.read(dump)
    async with open_one(tmp_path) as index:
        assert await index.read(dump) == before
        (change,) = await index.write(lambda tx: log_changes(tx, "1", ChangeType.UPDATED_METADATA))
        assert change.seq == 3


async def test_another_connection_sees_what_is_committed(tmp_path: Path) -> None:
    async with open_one(tmp_path) as index:
        await index.write(create_patient("p"))
        assert outside_view(tmp_path) == ["p"]


async def test_functions_that_wait_share_one_commit(tmp_path: Path) -> None:
    seen: list[list[str]] = []

    def look(tx: Transaction) -> None:
        seen.append([*tx.ids(ResourceLevel.PATIENT), "but outside:", *outside_view(tmp_path)])

    async with open_one(tmp_path) as index, held_writer(index) as nursery:
        nursery.start_soon(index.write, create_patient("a"))
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(index.write, create_patient("b"))
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(index.write, look)
    assert seen == [["a", "b", "but outside:"]]
    assert outside_view(tmp_path) == ["a", "b"]


async def test_a_group_has_a_largest_size(tmp_path: Path) -> None:
    seen: list[int] = []

    def create(number: int) -> Callable[[Transaction], None]:
        def function(tx: Transaction) -> None:
            tx.create(ResourceLevel.PATIENT, f"p{number}", None, {})
            seen.append(len(outside_view(tmp_path)))

        return function

    async with open_one(tmp_path) as index, held_writer(index) as nursery:
        for number in range(MAX_GROUP + 5):
            nursery.start_soon(index.write, create(number))
    assert seen == [0] * MAX_GROUP + [MAX_GROUP] * 5


async def test_a_waiting_function_whose_caller_is_cancelled_never_runs(tmp_path: Path) -> None:
    async with open_one(tmp_path) as index:
        async with held_writer(index):
            with trio.CancelScope() as scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(index.write, create_patient("never"))
                    await trio.testing.wait_all_tasks_blocked()
                    scope.cancel()
            assert scope.cancelled_caught
        await index.write(create_patient("p"))
        assert await index.read(lambda tx: tx.ids(ResourceLevel.PATIENT)) == ["p"]


@pytest.mark.parametrize("method", ["write", "read"])
async def test_a_function_that_has_begun_gives_its_result_in_spite_of_a_cancel(
    tmp_path: Path, method: str
) -> None:
    results: list[str] = []

    async def call(index: Index, gate: Gate) -> None:
        results.append(await (index.write(gate) if method == "write" else index.read(gate)))

    async with open_one(tmp_path) as index:
        gate = Gate()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(call, index, gate)
            await gate.begun.wait()
            nursery.cancel_scope.cancel()
            gate.release()
    assert results == ["released"]


async def test_closing_ends_only_when_all_that_waits_is_done(tmp_path: Path) -> None:
    async with trio.open_nursery() as nursery:
        async with open_one(tmp_path) as index:
            gate = Gate()
            nursery.start_soon(index.write, gate)
            await gate.begun.wait()
            nursery.start_soon(index.write, create_patient("p"))
            nursery.start_soon(index.read, lambda tx: tx.find("p"))
            await trio.testing.wait_all_tasks_blocked()
            gate.release()
        assert outside_view(tmp_path) == ["p"]


async def test_closing_merges_the_log_into_the_file(tmp_path: Path) -> None:
    async with open_one(tmp_path) as index:
        await index.write(create_patient("p"))
        assert f"{DATABASE_NAME}-wal" in file_names(tmp_path)
    assert file_names(tmp_path) == [DATABASE_NAME]


async def test_a_full_disk_fails_the_group_and_the_writer_goes_on(tmp_path: Path) -> None:
    connection = open_writer(tmp_path, is_synchronous=False)
    migrate(connection)
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count = {pages + 5}")
    writer = Writer(connection)
    await writer.run(create_patient("before"))
    outcomes: list[type[Exception]] = []

    async def call(function: Callable[[Transaction], object]) -> None:
        try:
            await writer.run(function)
        except (DatabaseError, FullStorage) as exc:
            outcomes.append(type(exc))

    gate = Gate()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(writer.run, gate)
        await gate.begun.wait()
        nursery.start_soon(call, create_patient("neighbour"))
        nursery.start_soon(call, lambda tx: tx.save_plan("a", bytes(1 << 20)))
        await trio.testing.wait_all_tasks_blocked()
        gate.release()
    assert FullStorage in outcomes
    # SQLite may take the whole group back; then no caller of it was told a success.
    assert ("neighbour" in outside_view(tmp_path)) == (len(outcomes) == 1)
    await writer.run(create_patient("later"))
    assert outside_view(tmp_path)[-1] == "later"
    for thread in writer.close():
        await trio.to_thread.run_sync(thread.join, limiter=trio.CapacityLimiter(1))


# Reads


async def test_a_view_does_not_change_while_a_function_reads(tmp_path: Path) -> None:
    gate = Gate()
    views: list[list[str]] = []

    def look_twice(tx: ReadTransaction) -> None:
        views.append(tx.ids(ResourceLevel.PATIENT))
        gate(tx)
        views.append(tx.ids(ResourceLevel.PATIENT))

    async with open_one(tmp_path) as index:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(index.read, look_twice)
            await gate.begun.wait()
            await index.write(create_patient("p"))
            gate.release()
        assert views == [[], []]
        assert await index.read(lambda tx: tx.ids(ResourceLevel.PATIENT)) == ["p"]


async def test_functions_read_at_the_same_time(tmp_path: Path) -> None:
    barrier = threading.Barrier(3)
    async with open_one(tmp_path, readers=3) as index, trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(index.read, lambda _: barrier.wait(5))


async def test_a_reader_that_failed_serves_the_next(tmp_path: Path) -> None:
    async with open_one(tmp_path, readers=1) as index:
        for _ in range(3):
            with pytest.raises(ZeroDivisionError):
                await index.read(lambda _: 1 // 0)
        assert await index.read(lambda tx: tx.find("p")) is None


async def test_a_thread_survives_a_function_that_asks_for_its_end(tmp_path: Path) -> None:
    def leave(tx: ReadTransaction) -> None:
        raise SystemExit(1)

    async with open_one(tmp_path, readers=1) as index:
        with pytest.raises(SystemExit):
            await index.read(leave)
        with pytest.raises(SystemExit):
            await index.write(leave)
        await index.write(create_patient("p"))
        assert await index.read(lambda tx: tx.ids(ResourceLevel.PATIENT)) == ["p"]


def test_many_resources_take_as_many_queries_as_one(tmp_path: Path) -> None:
    statements: list[str] = []

    def count(function: Callable[[ReadTransaction], object]) -> int:
        statements.clear()
        function(SqliteReadTransaction(reader))
        return len(statements)

    with closing(open_writer(tmp_path, is_synchronous=False)) as writer:
        migrate(writer)
        fill(writer, [f"p/s{n % 3}/e{n % 7}-{n % 3}/i{n:02}" for n in range(50)])
        with closing(open_reader(tmp_path)) as reader:
            reader.set_trace_callback(statements.append)
            ids = [f"i{n:02}" for n in range(50)]
            assert count(lambda tx: tx.facts_of(ids)) == count(lambda tx: tx.facts_of(ids[:1])) <= 5
            assert count(lambda tx: tx.leaves(ids)) == count(lambda tx: tx.numbered("e0")) == 1
            assert count(lambda tx: tx.series_paths("p")) == count(lambda tx: tx.series_paths("i07")) == 2


def fill(connection: sqlite3.Connection, paths: Iterable[str]) -> None:
    transaction = SqliteTransaction(connection)
    for path in paths:
        store(transaction, path)
    transaction.finish()


def test_no_query_walks_through_a_whole_table(tmp_path: Path) -> None:
    def run_all(tx: ReadTransaction) -> None:
        dump(tx)
        tx.known_files(["file-i"])
        tx.descendants("p", ResourceLevel.INSTANCE)
        row_of(tx, "i")

    with closing(open_writer(tmp_path, is_synchronous=False)) as writer:
        migrate(writer)
        fill(writer, ["p/s/e/i"])
        statements: list[str] = []
        with closing(open_reader(tmp_path)) as reader:
            reader.set_trace_callback(statements.append)
            run_all(SqliteReadTransaction(reader))
            reader.set_trace_callback(None)
            # What was asked for, and what a query made itself; its own steps are walked too.
            bounded = ("SCAN wanted", "SCAN chain", "SCAN tree", "SCAN (subquery-")
            plans = {
                (step, sql)
                for sql in statements
                for *_, step in reader.execute(f"EXPLAIN QUERY PLAN {sql}")
                if step.startswith("SCAN") and not step.startswith(bounded)
            }
    # All jobs are loaded, and the names of all outputs; the oldest files and patients begin their table, and
    # the totals are all of theirs.
    small = (
        "SCAN jobs",
        "SCAN outputs",
        "SCAN forgotten_files",
        "SCAN recycling",
        "SCAN statistics",
        "SCAN sqlite_sequence",
    )
    assert [plan for plan in plans if not plan[0].startswith(small)] == []


# The file and its schema


def test_every_migration_has_its_own_number() -> None:
    assert list(migrations()) == list(range(1, len(migrations()) + 1))


async def test_two_processes_may_open_a_new_index_at_the_same_moment(tmp_path: Path) -> None:
    async with open_one(tmp_path) as one, open_one(tmp_path) as other:
        await one.write(create_patient("a"))
        await other.write(create_patient("b"))
        assert await one.read(lambda tx: tx.ids(ResourceLevel.PATIENT)) == ["a", "b"]


@pytest.mark.parametrize(
    "sql",
    [
        f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = 1000; CREATE TABLE resources (x)",
        "CREATE TABLE Resources (internalId INTEGER PRIMARY KEY)",
    ],
    ids=["a newer version", "another program"],
)
async def test_a_database_that_is_not_ours_is_refused_and_left_alone(tmp_path: Path, sql: str) -> None:
    with closing(sqlite3.connect(tmp_path / DATABASE_NAME)) as connection:
        connection.executescript(sql)
        tables = connection.execute("SELECT sql FROM sqlite_master").fetchall()
    with pytest.raises(IncompatibleDatabaseVersion):
        async with open_one(tmp_path):
            pass
    with closing(sqlite3.connect(tmp_path / DATABASE_NAME)) as connection:
        assert connection.execute("SELECT sql FROM sqlite_master").fetchall() == tables


async def test_a_file_that_is_no_database_is_refused_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / DATABASE_NAME).write_bytes(b"no database at all" * 100)
    with pytest.raises(DatabaseError, match="not a database"):
        async with open_one(tmp_path):
            pass


async def test_a_folder_that_cannot_be_made_is_refused_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DatabaseError, match="Not a directory"):
        async with open_one(tmp_path / "file" / "folder"):
            pass


async def test_a_database_that_is_a_folder_is_refused_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / DATABASE_NAME).mkdir()
    with pytest.raises(DatabaseError, match="unable to open"):
        async with open_one(tmp_path):
            pass


async def test_patients_of_the_first_schema_get_their_turn_in_the_order_of_their_arrival(
    tmp_path: Path,
) -> None:
    with closing(open_writer(tmp_path, is_synchronous=False)) as writer:
        writer.executescript(migrations()[1])
        writer.executescript(
            "INSERT INTO resources (level, id, tags, is_protected) VALUES"
            " (1, 'protected', X'7B7D', 1), (1, 'old', X'7B7D', 0), (1, 'new', X'7B7D', 0);"
            f"PRAGMA user_version = 1; PRAGMA application_id = {APPLICATION_ID}"
        )
    async with open_one(tmp_path) as index:
        assert await index.read(lambda tx: tx.oldest_patient()) == "old"
        assert await index.read(lambda tx: tx.oldest_patient("old")) == "new"
        await index.write(lambda tx: tx.delete("old"))
        assert await index.read(lambda tx: tx.oldest_patient("new")) is None
