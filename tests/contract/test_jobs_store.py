"""The store of jobs over every index, with and without a log: what it was given is there after a crash."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from orthanc_trio.config.choice import IndexBackend
from orthanc_trio.index.index import Index
from orthanc_trio.index.memory import open_memory_index
from orthanc_trio.index.opening import open_index
from orthanc_trio.jobs.submission_log import NewJob, SubmissionLog
from orthanc_trio.services.jobs_store import IndexJobsStore

HALF = 2000


@asynccontextmanager
async def opened(index: Index, folder: Path, *, has_log: bool = True) -> AsyncIterator[IndexJobsStore]:
    """Open a store as a process does that begins; leaving is as if it was killed."""
    log = SubmissionLog.open(folder / "log", syncs=True, half_bytes=HALF) if has_log else None
    try:
        yield IndexJobsStore(index, log)
    finally:
        if log is not None:
            log.close()


async def contents(index: Index, folder: Path) -> tuple[list[bytes], dict[str, float | None]]:
    """Return the records and the outputs that a process finds."""
    async with opened(index, folder) as store:
        records = sorted(await store.load(bytes))
        uses = await store.output_uses()
        for file in uses:
            assert await store.load_output(file) == file.encode()
        return records, uses


def new_job(id: str, version: int = 0) -> NewJob:
    return NewJob(id, record(id, version), {f"{id}.archive": f"{id}.archive".encode()})


def record(id: str, version: int) -> bytes:
    return f"{id} {version}".encode()


on_each_index = pytest.mark.parametrize("kind", [*IndexBackend])


@pytest.mark.parametrize("has_log", [False, True])
@on_each_index
async def test_a_new_job_and_its_outputs_survive(
    kind: IndexBackend, tmp_path: Path, *, has_log: bool
) -> None:
    async with open_index(kind, tmp_path / "index") as index:
        async with opened(index, tmp_path, has_log=has_log) as store:
            assert await store.load(bytes) == []
            await store.insert(new_job("a"))
            await store.insert(NewJob("b", b"b 0", {}))
            assert await store.load_output("a.archive") == b"a.archive"
            assert await store.load_output("b.archive") is None
        assert await contents(index, tmp_path) == ([b"a 0", b"b 0"], {"a.archive": None})


@on_each_index
async def test_what_is_saved_later_is_newer_than_what_was_logged(kind: IndexBackend, tmp_path: Path) -> None:
    async with open_index(kind, tmp_path / "index") as index:
        async with opened(index, tmp_path) as store:
            await store.load(bytes)
            for id in "abc":
                await store.insert(new_job(id))
            await store.save({"a": record("a", 1)}, ["b"], {"b.archive": None, "c.archive": 5.0})
            assert await store.load_output("b.archive") is None
            await store.insert(new_job("d"))
        expected = [b"a 1", b"c 0", b"d 0"], {"a.archive": None, "c.archive": 5.0, "d.archive": None}
        assert await contents(index, tmp_path) == expected
        assert await contents(index, tmp_path) == expected


@on_each_index
async def test_saves_at_the_same_time_enter_a_logged_job_once(kind: IndexBackend, tmp_path: Path) -> None:
    async with open_index(kind, tmp_path / "index") as index:
        async with opened(index, tmp_path) as store:
            await store.load(bytes)
            for number in range(20):
                await store.insert(new_job(str(number)))
                async with trio.open_nursery() as nursery:
                    for other in range(number + 1):
                        changed = {str(other): record(str(other), number)}
                        nursery.start_soon(store.save, changed, (), {})
        records, _ = await contents(index, tmp_path)
        assert records == sorted(record(str(number), 19) for number in range(20))


@on_each_index
async def test_what_does_not_fit_into_the_log_goes_to_the_index(kind: IndexBackend, tmp_path: Path) -> None:
    async with open_index(kind, tmp_path / "index") as index:
        async with opened(index, tmp_path) as store:
            await store.load(bytes)
            for number in range(100):
                await store.insert(new_job(f"{number:03}"))
            await store.insert(NewJob("large", b"x" * HALF, {}))
        records, uses = await contents(index, tmp_path)
        assert (len(records), len(uses)) == (101, 100)


@on_each_index
async def test_the_news_that_come_with_a_new_job_are_entered_once(kind: IndexBackend, tmp_path: Path) -> None:
    async with open_index(kind, tmp_path / "index") as index:
        async with opened(index, tmp_path) as store:
            await store.load(bytes)
            await store.insert(new_job("a"))
            await store.insert(new_job("b"))
            await store.insert(NewJob("c", b"c 0", {}, {"a.archive": None, "b.archive": 5.0}))
        assert await contents(index, tmp_path) == ([b"a 0", b"b 0", b"c 0"], {"b.archive": 5.0})


IDS = st.sampled_from("abcde")
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("insert"), IDS),
        st.tuples(st.just("change"), IDS),
        st.tuples(st.just("remove"), IDS),
        st.tuples(st.just("drop"), IDS),
        st.just(("save", "")),
        st.just(("crash", "")),
    ),
    max_size=40,
)


@settings(deadline=None, max_examples=150)
@given(STEPS)
def test_any_history_with_crashes_leaves_what_was_said_last(steps: list[tuple[str, str]]) -> None:
    trio.run(follow, steps)


async def follow(steps: list[tuple[str, str]]) -> None:
    records: dict[str, bytes] = {}
    outputs: set[str] = set()
    with TemporaryDirectory() as name:
        folder = Path(name)
        async with open_memory_index() as index:
            version = 0
            while True:
                async with opened(index, folder) as store:
                    assert sorted(await store.load(bytes)) == sorted(records.values())
                    assert set(await store.output_uses()) == outputs
                    while steps:
                        (step, id), *steps = steps
                        version += 1
                        match step:
                            case "insert" if id not in records and f"{id}.archive" not in outputs:
                                await store.insert(new_job(id, version))
                                records[id] = record(id, version)
                                outputs.add(f"{id}.archive")
                            case "change" if id in records:
                                await store.save({id: record(id, version)}, (), {})
                                records[id] = record(id, version)
                            case "remove":
                                await store.save({}, [id], {})
                                records.pop(id, None)
                            case "drop":
                                await store.save({}, (), {f"{id}.archive": None})
                                outputs.discard(f"{id}.archive")
                            case "save":
                                await store.save({}, (), {})
                            case "crash":
                                break
                    else:
                        return
