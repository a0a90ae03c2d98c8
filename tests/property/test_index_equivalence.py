"""The two backends of the index cannot be told apart by any sequence of functions."""

import tempfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orthanc_trio.index.index import Index
from orthanc_trio.index.memory import open_memory_index
from orthanc_trio.index.sqlite import open_sqlite_index
from orthanc_trio.index.transaction import Deletion, Transaction
from orthanc_trio.model.errors import DatabaseError
from orthanc_trio.model.event import ChangeType
from orthanc_trio.model.resource import Attachment, ResourceLevel
from tests.contract.forest import Refused, dump, store

Step = Callable[[Transaction], object]

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
DATES = st.integers(0, 10**15).map(lambda n: datetime(2026, 1, 1, tzinfo=UTC) + timedelta(microseconds=n))


@st.composite
def paths(draw: st.DrawFn) -> str:
    """A path of one to four identifiers in a forest where each has at most two children."""
    depth = draw(st.integers(1, 4))
    id = ""
    return "/".join([id := id + draw(st.sampled_from("ab")) for _ in range(depth)])


IDS = paths().map(lambda path: path.split("/")[-1])


def on_row(act: Callable[[Transaction, int], object]) -> Callable[[str], Step]:
    """Return a step that acts on the resource of an identifier, if there is one."""

    def step_on(id: str) -> Step:
        def step(tx: Transaction) -> object:
            found = tx.find(id)
            return found and act(tx, found.row)

        return step

    return step_on


def delete(id: str) -> Step:
    def step(tx: Transaction) -> object:
        deletion = tx.delete(id)
        return deletion and comparable(deletion)

    return step


def comparable(deletion: Deletion) -> tuple[object, ...]:
    # Numbers of rows belong to a backend.
    rows = len(deletion.surviving_rows)
    return (deletion.removed, deletion.files, deletion.remaining_ancestor, rows)


def changes(arguments: dict[str, Any]) -> Step:
    return lambda tx: tx.changes(**arguments)


def refuse(_tx: Transaction) -> None:
    raise Refused


def attach(type: int, key: str, size: int) -> Callable[[str], Step]:
    attachment = Attachment(type=type, uuid=key, size=size, uncompressed_size=size + 1)
    return on_row(lambda tx, row: tx.attach(row, attachment))


def steps() -> st.SearchStrategy[Step]:
    metadata = st.dictionaries(st.integers(1, 40), TEXT, max_size=20)
    numbers = st.integers(0, 12)
    types = st.sampled_from(ChangeType)
    return st.one_of(
        paths().map(lambda path: lambda tx: store(tx, path) and None),
        paths().map(lambda path: lambda tx: store(tx, path) and None),
        IDS.map(delete),
        st.builds(lambda id, values: on_row(lambda tx, row: tx.set_metadata(row, values))(id), IDS, metadata),
        st.builds(
            lambda id, type, value: on_row(lambda tx, row: tx.revise_metadata(row, type, value))(id),
            IDS,
            st.integers(1, 4),
            TEXT,
        ),
        st.builds(
            lambda id, type: on_row(lambda tx, row: tx.remove_metadata(row, type))(id), IDS, st.integers(1, 4)
        ),
        st.builds(
            lambda id, label: on_row(lambda tx, row: tx.add_label(row, label))(id), IDS, st.sampled_from("xy")
        ),
        st.builds(
            lambda id, label: on_row(lambda tx, row: tx.remove_label(row, label))(id),
            IDS,
            st.sampled_from("xy"),
        ),
        st.builds(lambda id, yes: on_row(lambda tx, row: tx.set_protected(row, yes))(id), IDS, st.booleans()),
        IDS.map(on_row(lambda tx, row: tx.renew(row))),
        st.builds(lambda id, type: on_row(lambda tx, row: tx.detach(row, type))(id), IDS, st.integers(1, 3)),
        st.builds(
            lambda id, text: on_row(lambda tx, row: tx.set_tags(row, {"0010,0010": text}))(id), IDS, TEXT
        ),
        st.builds(lambda id, type: lambda tx: tx.statistics_of(id, type), IDS, st.integers(1, 3)),
        st.builds(lambda id, *how: attach(*how)(id), IDS, st.integers(1, 3), st.sampled_from("xyz"), numbers),
        st.builds(
            lambda id, *how: on_row(lambda tx, row: tx.log_change(how[0], row, how[1]))(id), IDS, types, DATES
        ),
        st.fixed_dictionaries(
            {"since": numbers, "limit": numbers, "types": st.sets(types), "from_end": st.booleans()},
            optional={"to": numbers},
        ).map(changes),
        st.builds(
            lambda id, level: lambda tx: tx.descendants(id, level), IDS, st.sampled_from(ResourceLevel)
        ),
        st.builds(
            lambda level, *page: lambda tx: tx.ids(level, *page),
            st.sampled_from(ResourceLevel),
            numbers,
            numbers,
        ),
        numbers.map(lambda limit: lambda tx: tx.files_deleted(tx.forgotten_files(limit)[-2:])),
        st.just(lambda tx: tx.clear_changes()),
        st.just(lambda tx: (tx.statistics(), tx.known_files("xyz"))),
        st.builds(
            lambda id, data, gone: lambda tx: tx.save_jobs({id: data}, gone),
            st.sampled_from("ab"),
            st.binary(max_size=3),
            st.lists(st.sampled_from("ab"), max_size=1),
        ),
        st.builds(
            lambda id, plan: lambda tx: tx.save_plan(id, plan),
            st.sampled_from("ab"),
            st.none() | st.binary(max_size=3),
        ),
        st.builds(
            lambda file, data: lambda tx: tx.save_output(file, data),
            st.sampled_from("ab"),
            st.none() | st.binary(max_size=3),
        ),
        st.builds(
            lambda file, used_s: lambda tx: tx.note_output_use(file, used_s),
            st.sampled_from("ab"),
            st.sampled_from((1.0, 2.0)),
        ),
        TEXT.map(lambda value: lambda tx: tx.set_property("key", value)),
        st.just(refuse),
    )


async def outcome(index: Index, function: list[Step]) -> object:
    """Return what the steps of one function returned, or the error of the first that failed."""
    try:
        return await index.write(lambda tx: [step(tx) for step in function])
    except (Refused, DatabaseError) as exc:
        return type(exc)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.lists(steps(), min_size=1, max_size=8), min_size=1, max_size=8))
def test_the_backends_cannot_be_told_apart(functions: list[list[Step]]) -> None:
    async def main() -> None:
        with tempfile.TemporaryDirectory() as folder:
            async with (
                open_memory_index() as memory,
                open_sqlite_index(Path(folder), is_synchronous=False, readers=1) as sqlite,
            ):
                for function in functions:
                    assert await outcome(memory, function) == await outcome(sqlite, function)
                    assert await memory.read(dump) == await sqlite.read(dump)

    trio.run(main)
