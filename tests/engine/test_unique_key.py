"""The same request with the same key gives the same job."""

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from orthanc_trio.extent import Chunk
from orthanc_trio.model.errors import BadRequest, DatabaseError, DuplicateResource, UnknownResource
from orthanc_trio.model.job import JobState, SubmitOptions
from tests.support.jobs import CountArgs, CountKind, Gate, MemoryStore, Rig, running_engine

FIRST = SubmitOptions(unique_key="k", request_digest="1")
OTHER = SubmitOptions(unique_key="k", request_digest="2")


async def submit(rig: Rig, options: SubmitOptions = FIRST) -> str:
    return (await rig.engine.submit("Count", CountArgs(), options)).id


async def test_the_second_submission_gives_the_job_of_the_first() -> None:
    async with running_engine() as rig:
        first = await submit(rig)
        assert await submit(rig) == first
        await rig.engine.wait(first)
        record = await rig.engine.submit("Count", CountArgs(), FIRST)
        assert (record.id, record.state) == (first, JobState.SUCCESS)
        assert rig.engine.ids() == [first]


async def test_another_request_with_the_key_is_refused() -> None:
    async with running_engine() as rig:
        first = await submit(rig)
        with pytest.raises(DuplicateResource, match=first) as raised:
            await submit(rig, OTHER)
        assert raised.value.http_status == 409
        assert rig.engine.ids() == [first]


async def test_other_keys_are_other_jobs() -> None:
    async with running_engine() as rig:
        ids = {await submit(rig), await submit(rig, SubmitOptions(unique_key="l")), await submit(rig)}
        assert len(ids) == 2


async def test_submissions_that_arrive_together_give_one_job() -> None:
    answers: list[str] = []

    async def call(rig: Rig, options: SubmitOptions) -> None:
        try:
            answers.append(await submit(rig, options))
        except DuplicateResource:
            answers.append("refused")

    async with running_engine() as rig:
        async with trio.open_nursery() as nursery:
            for options in (FIRST, FIRST, OTHER, FIRST):
                nursery.start_soon(call, rig, options)
        assert len(rig.engine.ids()) == 1
        assert sorted(map(len, answers)) in ([7, 36, 36, 36], [7, 7, 7, 36])


async def test_the_key_outlives_a_restart() -> None:
    store = MemoryStore()
    async with running_engine(store=store) as rig:
        first = await submit(rig)
        rig.crash()
        await trio.lowlevel.checkpoint()
    async with running_engine(store=store.survivor()) as rig:
        assert await submit(rig) == first
        with pytest.raises(DuplicateResource):
            await submit(rig, OTHER)


async def test_the_key_lives_as_long_as_the_job_is_known() -> None:
    async with running_engine() as rig:
        first = await submit(rig)
        await rig.engine.wait(first)
        await rig.engine.delete(first)
        assert await submit(rig, OTHER) != first


async def test_a_known_job_is_given_without_a_new_check() -> None:
    kind = CountKind()
    async with running_engine(kind) as rig:
        first = await submit(rig)
        kind.refusal = UnknownResource()
        assert await submit(rig) == first


async def test_a_submission_that_fails_leaves_the_key_to_the_next() -> None:
    async with running_engine() as rig:
        rig.store.is_failing = True
        with pytest.raises(DatabaseError):
            await submit(rig)
        rig.store.is_failing = False
        assert await submit(rig, OTHER)


async def test_a_submission_that_is_cancelled_leaves_the_key_to_the_next() -> None:
    gate = Gate()

    async def hang() -> None:
        rig.store.before_write = trio.lowlevel.checkpoint
        await trio.sleep_forever()

    async with running_engine(CountKind(gate)) as rig:
        rig.store.before_write = hang
        async with trio.open_nursery() as nursery:
            nursery.start_soon(submit, rig)
            await wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
        assert rig.engine.ids() == []
        assert await submit(rig, OTHER)


async def test_a_job_that_streams_has_no_key() -> None:
    send, _ = trio.open_memory_channel[Chunk](0)
    async with running_engine() as rig:
        with pytest.raises(BadRequest):
            await rig.engine.submit("Count", CountArgs(), FIRST, sink=send)
