"""Limits and holds of types and destinations, on a running engine."""

from functools import partial

import trio
from trio.testing import wait_all_tasks_blocked

from orthanc_trio.jobs.journal import UnsavedStore
from orthanc_trio.jobs.options import Holds, Limits
from orthanc_trio.model.errors import DatabaseError
from orthanc_trio.model.job import JobState, SubmitOptions
from tests.support.jobs import CountArgs, CountKind, Gate, MemoryStore, Rig, running_engine


async def submit(rig: Rig, *destinations: str) -> list[str]:
    return [
        (await rig.engine.submit("Count", CountArgs(2, destination=destination))).id
        for destination in destinations
    ]


def running(rig: Rig) -> set[str | None]:
    return {record.destination for record in rig.engine.records() if record.state is JobState.RUNNING}


async def test_a_destination_that_is_full_does_not_take_all_slots() -> None:
    gate = Gate()
    limits = Limits(destinations={"slow": 1})
    async with running_engine(CountKind(gate), concurrent_jobs=3, limits=limits) as rig:
        jobs = await submit(rig, "slow", "slow", "slow", "quick", "")
        await wait_all_tasks_blocked()
        assert running(rig) == {"slow", "quick", None}
        assert rig.engine.slots.borrowed_tokens == 3
        gate.open(10)
        for job in jobs:
            assert (await rig.engine.wait(job)).state is JobState.SUCCESS


async def test_a_type_has_its_limit() -> None:
    gate = Gate()
    async with running_engine(CountKind(gate), concurrent_jobs=9, limits=Limits(types={"Count": 2})) as rig:
        jobs = await submit(rig, "a", "b", "c")
        await wait_all_tasks_blocked()
        assert rig.engine.slots.borrowed_tokens == 2
        gate.open(6)
        for job in jobs:
            await rig.engine.wait(job)


async def test_a_held_destination_gives_its_slots_back_at_the_next_boundary() -> None:
    gate = Gate()
    kind = CountKind(gate)
    async with running_engine(kind, concurrent_jobs=1) as rig:
        [held] = await submit(rig, "down")
        await gate.arrival()
        [other] = await submit(rig, "up")
        await rig.engine.hold(destination="down")
        gate.open(3)
        await rig.engine.wait(other)
        record = rig.engine.get(held)
        assert record is not None
        assert (record.state, record.done) == (JobState.PENDING, 1)
        assert kind.effects == [("", 0), ("", 0), ("", 1)]
        await rig.engine.release(destination="down")
        gate.open()
        await rig.engine.wait(held)
        assert kind.effects[3:] == [("", 1)]


async def test_a_held_type_starts_no_job_that_is_submitted_later() -> None:
    async with running_engine() as rig:
        await rig.engine.hold(type="Count")
        [job] = await submit(rig, "")
        await wait_all_tasks_blocked()
        assert rig.engine.count(JobState.PENDING) == 1
        await rig.engine.release(type="Count")
        assert (await rig.engine.wait(job)).state is JobState.SUCCESS


async def test_what_users_ask_of_a_job_of_a_held_lane_counts_more() -> None:
    gate = Gate()
    async with running_engine(CountKind(gate), concurrent_jobs=3) as rig:
        paused, cancelled, other = await submit(rig, "down", "down", "up")
        for _ in range(3):
            await gate.arrival()
        await rig.engine.hold(destination="down")
        await rig.engine.pause(paused)
        await rig.engine.cancel(cancelled)
        gate.open(4)
        await rig.until_state(paused, JobState.PAUSED)
        await rig.until_state(other, JobState.SUCCESS)
        await rig.until_state(cancelled, JobState.FAILURE)


async def test_holds_outlive_a_restart() -> None:
    store = MemoryStore()
    async with running_engine(store=store) as rig:
        await rig.engine.hold(type="Other", destination="down")
        await rig.engine.hold(destination="down")
        [job] = await submit(rig, "down")
    async with running_engine(store=store) as rig:
        assert rig.engine.holds == Holds(types=("Other",), destinations=("down",))
        await wait_all_tasks_blocked()
        assert rig.engine.count(JobState.PENDING) == 1
        await rig.engine.release(type="Other", destination="down")
        await rig.engine.wait(job)
    async with running_engine(store=store) as rig:
        assert rig.engine.holds == Holds()


async def test_holds_outlive_that_jobs_are_not_restored() -> None:
    store = MemoryStore()
    async with running_engine(store=store) as rig:
        await rig.engine.hold(destination="down")
    async with running_engine(store=store, restores=False) as rig:
        assert rig.engine.holds == Holds(destinations=("down",))


async def test_a_hold_that_cannot_be_saved_does_not_hold() -> None:
    async with running_engine() as rig:
        rig.store.is_failing = True
        try:
            await rig.engine.hold(destination="down")
        except DatabaseError:
            rig.store.is_failing = False
        assert rig.engine.holds == Holds()


async def test_holds_that_come_together_all_count() -> None:
    async with running_engine() as rig, trio.open_nursery() as nursery:
        for name in "abc":
            nursery.start_soon(partial(rig.engine.hold, destination=name))
        await wait_all_tasks_blocked()
        assert set(rig.engine.holds.destinations) == set("abc")


async def test_a_store_that_saves_nothing_saves_no_holds() -> None:
    earlier = MemoryStore()
    async with running_engine(store=earlier) as rig:
        await rig.engine.hold(destination="a")
    store = UnsavedStore(earlier)
    await store.save_holds(b"x")
    assert await store.load_holds() == earlier.holds


async def test_a_job_in_a_lane_keeps_its_destination_and_the_first_of_its_resources() -> None:
    args = CountArgs(destination="PACS", resources=tuple(str(number) for number in range(50)))
    async with running_engine() as rig:
        record = await rig.engine.submit("Count", args, SubmitOptions())
        assert (record.destination, record.resources) == ("PACS", args.resources[:10])
