"""Whatever is searched, the two backends of the index find the same, quick or not."""

import tempfile
from pathlib import Path
from typing import Any

import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orthanc_trio.dicom.match import Between, Equal, Like, OneOf
from orthanc_trio.index.memory import open_memory_index
from orthanc_trio.index.query import (
    Condition,
    FindRequest,
    LabelsCondition,
    LabelsConstraint,
    MetadataKey,
    Order,
    OrderType,
    TagKey,
)
from orthanc_trio.index.sqlite import open_sqlite_index
from orthanc_trio.index.transaction import Transaction
from orthanc_trio.model.resource import ResourceLevel

from .test_index_equivalence import IDS

LETTERS = "aAäÄßé[1%_\"' \U0010ffff\ud7ff"
VALUES = (
    st.text(LETTERS, max_size=3)
    | st.text('aÄ"1', min_size=3, max_size=5)
    | st.sampled_from(["1", "10", "9", "1.5", "-2", "1e3", "x"])
)
PATTERNS = st.text(LETTERS + "*?", max_size=6) | st.text('aÄ"1', min_size=2, max_size=4).map("*{}*".format)
TAGS = {
    ResourceLevel.PATIENT: ["0010,0010", "0010,0020", "0010,0040"],
    ResourceLevel.STUDY: ["0008,0020", "0008,0080"],
    ResourceLevel.SERIES: ["0008,0060", "0008,0070"],
    ResourceLevel.INSTANCE: ["0008,0018", "0020,0013"],
}
KEYS = st.sampled_from([TagKey(level, tag) for level, tags in TAGS.items() for tag in tags])
CRITERIA = st.one_of(
    VALUES.map(Equal),
    st.lists(VALUES, max_size=3).map(lambda texts: OneOf(tuple(texts))),
    st.builds(Between, VALUES, VALUES),
    PATTERNS.map(Like),
)
METADATA = st.sampled_from([MetadataKey(7), MetadataKey(1024)])
CONDITIONS = st.builds(Condition, KEYS | METADATA, CRITERIA, st.booleans())
LABELS = st.builds(
    LabelsCondition,
    st.lists(st.sampled_from("xyz"), max_size=3).map(tuple),
    st.sampled_from(LabelsConstraint),
)


@st.composite
def requests(draw: st.DrawFn) -> FindRequest:
    level = draw(st.sampled_from(ResourceLevel))
    upper = KEYS.filter(lambda key: key.level <= level)
    orders = st.builds(Order, upper | METADATA, st.sampled_from(OrderType), st.booleans())
    within = st.tuples(st.sampled_from([up for up in ResourceLevel if up <= level]), IDS)
    return FindRequest(
        level=level,
        conditions=tuple(draw(st.lists(CONDITIONS, max_size=3))),
        labels=draw(st.none() | LABELS),
        within=tuple(draw(st.lists(within, max_size=1))),
        order=tuple(draw(st.lists(orders, max_size=2))),
        since=draw(st.integers(0, 3)),
        limit=draw(st.none() | st.integers(0, 3)),
    )


@st.composite
def resources(draw: st.DrawFn) -> list[tuple[Any, ...]]:
    """Four levels of resources, each with the same identifiers as in the other test of equivalence."""
    nodes: list[tuple[Any, ...]] = []
    parents: list[str] = [""]
    for level in ResourceLevel:
        children = [
            parent + letter for parent in parents for letter in draw(st.sampled_from(["a", "b", "ab"]))
        ]
        for id in children:
            tags = st.dictionaries(st.sampled_from(TAGS[level]), VALUES)
            copied = st.dictionaries(st.sampled_from(TAGS[ResourceLevel.PATIENT]), VALUES)
            metadata = st.dictionaries(st.sampled_from([7, 1024]), VALUES)
            labels = st.sets(st.sampled_from("xy"))
            nodes.append((level, id, draw(tags), draw(copied), draw(metadata), draw(labels)))
        parents = children
    return nodes


def fill(tx: Transaction, nodes: list[tuple[Any, ...]]) -> None:
    for level, id, tags, copied, metadata, labels in nodes:
        parent = tx.find(id[:-1])
        row = tx.create(
            level, id, parent.row if parent else None, tags, copied if level is ResourceLevel.STUDY else None
        )
        tx.set_metadata(row, metadata)
        for label in labels:
            tx.add_label(row, label)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(resources(), st.lists(requests(), min_size=1, max_size=12))
def test_the_backends_find_the_same(nodes: list[tuple[Any, ...]], wanted: list[FindRequest]) -> None:
    async def main() -> None:
        with tempfile.TemporaryDirectory() as folder:
            async with (
                open_memory_index() as memory,
                open_sqlite_index(Path(folder), is_synchronous=False, readers=1) as sqlite,
            ):
                await memory.write(lambda tx: fill(tx, nodes))
                await sqlite.write(lambda tx: fill(tx, nodes))
                for request in wanted:
                    found = await memory.read(lambda tx, r=request: (tx.search(r), tx.count(r)))  # type: ignore[misc]
                    assert await sqlite.read(lambda tx, r=request: (tx.search(r), tx.count(r))) == found  # type: ignore[misc]
                    assert await sqlite.read(lambda tx, r=request: tx.search(r), is_quick=True) == found[0]  # type: ignore[misc]

    trio.run(main)
