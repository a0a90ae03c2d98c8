"""Thousands of jobs wait: each change writes its own row, and a restart brings all back in their order."""

from collections.abc import Mapping, Sequence

import pytest

from orthanc_trio.jobs.options import Limits
from orthanc_trio.jobs.submission_log import OutputNews
from orthanc_trio.model.job import JobState, SubmitOptions
from tests.support.jobs import CountArgs, CountKind, MemoryStore, Rig, running_engine

MANY = 3000


class CountingStore(MemoryStore):
    """Notes how many rows each save writes or removes, if any."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[int] = []

    async def save(
        self, records: Mapping[str, bytes], removed: Sequence[str], output_news: OutputNews
    ) -> None:
        if rows := len(records) + len(removed):
            self.rows.append(rows)
        await super().save(records, removed, output_news)


async def fill(rig: Rig) -> list[str]:
    """Submit jobs with priorities in turn; return their ids in the order in which they are to run."""
    await rig.engine.hold(type="Count")
    ids: dict[int, list[str]] = {}
    for number in range(MANY):
        options = SubmitOptions(priority=number % 3)
        record = await rig.engine.submit("Count", CountArgs(label=str(number)), options)
        ids.setdefault(options.priority, []).append(record.id)
    return [id for priority in sorted(ids, reverse=True) for id in ids[priority]]


@pytest.mark.time_limit(60)
async def test_a_change_among_many_pending_jobs_writes_one_row() -> None:
    store = CountingStore()
    async with running_engine(store=store) as rig:
        ids = await fill(rig)
        assert store.rows == [1] * MANY
        store.rows.clear()
        await rig.engine.submit("Count", CountArgs())
        await rig.engine.pause(ids[0])
        await rig.engine.cancel(ids[1])
        await rig.engine.delete(ids[1])
        assert store.rows == [1] * 4
        assert rig.engine.count(JobState.PENDING) == MANY - 1


@pytest.mark.time_limit(60)
async def test_many_pending_jobs_come_back_unwritten_and_run_in_their_order() -> None:
    store, kind = CountingStore(), CountKind()
    async with running_engine(kind, store=store, history_size=MANY) as rig:
        ids = await fill(rig)
        rig.crash()
    assert kind.effects == []
    after = CountingStore()
    after.records, after.holds = store.records, store.holds
    limits = Limits(types={"Count": 1})
    async with running_engine(kind, store=after, history_size=MANY, limits=limits) as rig:
        assert after.rows == []
        assert rig.engine.count(JobState.PENDING) == MANY
        await rig.engine.release(type="Count")
        await rig.engine.wait(ids[-1])
        labels = {record.id: record.content["Label"] for record in rig.engine.records()}
        assert [label for label, _ in kind.effects] == [labels[id] for id in ids]
        assert rig.engine.count(JobState.SUCCESS) == MANY
