"""Searching in SQLite beyond the contract: old databases, the budget of quick reads, the use of indexes."""

from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from orthanc_trio.dicom.match import Equal, Like
from orthanc_trio.index.query import Condition, FindRequest, TagKey
from orthanc_trio.index.sqlite import open_sqlite_index
from orthanc_trio.index.sqlite_connection import open_reader, open_writer
from orthanc_trio.index.sqlite_find import Select
from orthanc_trio.index.sqlite_near import NearReader
from orthanc_trio.index.sqlite_schema import APPLICATION_ID, migrate, migrations
from orthanc_trio.index.sqlite_writing import SqliteTransaction
from orthanc_trio.model.resource import ResourceLevel
from tests.contract.index_search import fill

PATIENT, STUDY, SERIES, INSTANCE = ResourceLevel
BY_NAME = TagKey(PATIENT, "0010,0010")


def with_name(level: ResourceLevel, criterion: Equal | Like) -> FindRequest:
    return FindRequest(level=level, conditions=(Condition(BY_NAME, criterion),))


async def test_resources_of_an_old_database_are_found(tmp_path: Path) -> None:
    name = msgspec.json.encode({"0010,0010": "Äneas"})
    with closing(open_writer(tmp_path, is_synchronous=False)) as writer:
        writer.executescript(migrations()[1] + migrations()[2])
        writer.execute("INSERT INTO resources (level, id, tags) VALUES (1, 'p', ?)", (name,))
        writer.execute(
            "INSERT INTO resources (level, id, parent, tags, patient_tags) VALUES (2, 's', 1, X'7B7D', ?)",
            (name,),
        )
        writer.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        writer.execute("PRAGMA user_version = 2")
    async with open_sqlite_index(tmp_path, is_synchronous=False) as index:
        for level, id in ((PATIENT, "p"), (STUDY, "s")):
            request = with_name(level, Equal("ÄNEAS"))
            assert await index.read(lambda tx, request=request: tx.search(request)) == [id]  # type: ignore[misc]
            request = with_name(level, Like("*NEA?"))
            assert await index.read(lambda tx, request=request: tx.search(request)) == [id]  # type: ignore[misc]


def test_a_quick_read_gives_up_beyond_its_budget(tmp_path: Path) -> None:
    with closing(open_writer(tmp_path, is_synchronous=False)) as writer:
        migrate(writer)
        tx = SqliteTransaction(writer)
        for number in range(3000):
            tx.create(PATIENT, f"p{number}", None, {"0010,0010": f"Name{number}"})
    near = NearReader(open_reader(tmp_path))
    cheap = near.run(lambda tx: tx.search(with_name(PATIENT, Equal("name7"))))
    assert cheap is not None
    assert cheap.unwrap() == ["p7"]
    assert near.run(lambda tx: tx.search(with_name(PATIENT, Like("*7")))) is None
    for _ in range(500):  # neither what was given up nor what went before counts
        again = near.run(lambda tx: tx.search(with_name(PATIENT, Equal("name7"))))
        assert again is not None
    near.close()
    assert near.run(lambda tx: tx.search(with_name(PATIENT, Equal("name7")))) is None


def test_what_has_an_index_is_searched_by_it(tmp_path: Path) -> None:
    with closing(open_writer(tmp_path, is_synchronous=False)) as writer:
        migrate(writer)
        fill(SqliteTransaction(writer))
        for level in ResourceLevel:
            for criterion in (Equal("x"), Like("x*")):
                statement, arguments = Select(with_name(level, criterion)).ids(0, None)
                plan = writer.execute(f"EXPLAIN QUERY PLAN {statement}", arguments).fetchall()
                steps = " ".join(step[3] for step in plan)
                assert "_keys_by_" in steps
                assert "SCAN resources" not in steps


@pytest.mark.parametrize("level", ResourceLevel)
def test_what_is_within_a_name_is_searched_by_its_trigrams(tmp_path: Path, level: ResourceLevel) -> None:
    with closing(open_writer(tmp_path, is_synchronous=False)) as writer:
        migrate(writer)
        tx = SqliteTransaction(writer)
        for number in range(2000):
            name = {"0010,0010": f'Doe{number:04}^\'"Ann"'}
            patient = tx.create(PATIENT, f"PATIENT{number}", None, name)
            study = tx.create(STUDY, f"STUDY{number}", patient, {}, name)
            series = tx.create(SERIES, f"SERIES{number}", study, {})
            tx.create(INSTANCE, f"INSTANCE{number}", series, {})
    with closing(open_reader(tmp_path)) as reader:
        near = NearReader(reader)
        for pattern, number in (("*1234*", 1234), ('?OE17*5^*N"*', 1705), ("*0077^'\"A*", 77)):
            request = with_name(level, Like(pattern))
            found = near.run(lambda tx, request=request: tx.search(request))  # type: ignore[misc]
            assert found is not None, "too many steps for a quick read"
            assert f"{level.name}{number}" in found.unwrap()
