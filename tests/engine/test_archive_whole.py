"""Small archives, which are planned with the check and made in one go."""

import os
import zipfile
from pathlib import Path

import pytest
import trio

from orthanc_trio.extent import Chunk
from orthanc_trio.index.transaction import Transaction
from orthanc_trio.kinds.archive import ArchiveArgs
from orthanc_trio.kinds.archive_plan import SMALL_BYTES
from orthanc_trio.model.job import Done
from orthanc_trio.model.resource import ResourceLevel
from tests.engine.test_archive_kind import (
    Context,
    Library,
    archive_of,
    id_of,
    opened_library,
    read_all,
    run,
)
from tests.support.dicom import make_instance, make_series

STUDY, INSTANCE = ResourceLevel.STUDY, ResourceLevel.INSTANCE


async def small_study(library: Library, count: int = 3) -> ArchiveArgs:
    for data in make_series(count):
        instance = await library.store(data)
    return ArchiveArgs(resources=(id_of(instance, STUDY),))


@pytest.mark.parametrize("is_synchronous", [False, True])
async def test_a_small_archive_is_made_in_one_step_and_one_file(tmp_path: Path, is_synchronous: bool) -> None:
    async with opened_library(is_synchronous=is_synchronous) as library:
        args, context = await small_study(library), Context(tmp_path)
        done, steps = await run(library.kinds["Archive"], context, args)
        path = context.output_path("archive")
        assert (steps, os.listdir(tmp_path)) == (1, [path.name])
        assert done.content is not None
        assert done.content["ArchiveSize"] == str(path.stat().st_size)
        with zipfile.ZipFile(path) as archive:
            assert archive.testzip() is None
            assert len(archive.namelist()) == 3


async def test_a_small_archive_is_as_one_that_takes_longer(tmp_path: Path) -> None:
    async with opened_library() as library:
        small = await archive_of(library, tmp_path, await small_study(library))
        large = await library.store(make_instance(instance=9), size=SMALL_BYTES)
        both = await archive_of(library, tmp_path, ArchiveArgs(resources=(id_of(large, STUDY),)))
        assert both.namelist()[:3] == small.namelist()
        assert [both.read(name) for name in small.namelist()] == [
            small.read(name) for name in small.namelist()
        ]


async def test_a_small_stream_has_the_bytes_of_the_file(tmp_path: Path) -> None:
    async with opened_library() as library, trio.open_nursery() as nursery:
        args, kind = await small_study(library), library.kinds["Archive"]
        sink, source = trio.open_memory_channel[Chunk](0)
        received = bytearray()
        nursery.start_soon(read_all, source, received)
        async with sink:
            done, _ = await run(kind, Context(tmp_path, sink), args)
        assert done.outputs == ()
        assert os.listdir(tmp_path) == []
        context = Context(tmp_path)
        await run(kind, context, args)
        assert received == context.output_path("archive").read_bytes()


async def test_what_has_vanished_is_passed_over(tmp_path: Path) -> None:
    async with opened_library() as library:
        args = await small_study(library, 1)
        gone = await library.store(make_instance(instance=2))
        await library.remove(id_of(gone, INSTANCE), INSTANCE)
        context = Context(tmp_path)
        done, _ = await run(library.kinds["Archive"], context, args)
        assert len(zipfile.ZipFile(context.output_path("archive")).namelist()) == 1
        assert done.content is not None
        failed = {"ID": id_of(gone, INSTANCE), "Error": "Inexistent file"}
        assert done.content["FailedInstances"] == [failed]


async def test_a_small_archive_may_be_cancelled_and_made_again(tmp_path: Path) -> None:
    async with opened_library() as library:
        args, context, kind = await small_study(library), Context(tmp_path), library.kinds["Archive"]
        plan = await kind.plan(context, args)
        with trio.CancelScope() as scope:
            scope.cancel()
            await kind.step(context, args, plan, kind.start(plan))
        assert scope.cancelled_caught
        context.output_path("archive").write_bytes(bytes(1 << 20))
        outcome = await kind.step(context, args, plan, kind.start(plan))
        assert isinstance(outcome, Done)
        assert zipfile.ZipFile(context.output_path("archive")).testzip() is None


@pytest.mark.parametrize("kind_name", ["Archive", "Media"])
async def test_the_plan_of_the_check_serves_one_job(tmp_path: Path, kind_name: str) -> None:
    async with opened_library() as library:
        args, kind = await small_study(library, 1), library.kinds[kind_name]
        await library.check(kind, args)
        await library.check(kind, args)
        await library.store(make_instance(instance=2))
        counts = [len((await kind.plan(Context(tmp_path), args)).members) for _ in range(3)]
        assert counts == [1, 1, 2]


async def test_a_large_archive_is_planned_in_its_first_step(tmp_path: Path) -> None:
    async with opened_library() as library:
        large = await library.store(make_instance(instance=1), size=SMALL_BYTES + 1)
        args, kind = ArchiveArgs(resources=(id_of(large, STUDY),)), library.kinds["Archive"]
        await library.check(kind, args)
        await library.store(make_instance(instance=2))
        context = Context(tmp_path)
        plan = await kind.plan(context, args)
        assert (plan.is_whole, plan.members) == (False, ())
        await run(kind, context, args)
        assert len(zipfile.ZipFile(context.output_path("archive")).namelist()) == 2


async def test_so_many_plans_are_kept_and_no_more(tmp_path: Path) -> None:
    async with opened_library() as library:
        args, kind = await small_study(library, 1), library.kinds["Archive"]
        for _ in range(100):
            await library.check(kind, args)
        facts = await library.services.index.read(lambda tx: tx.facts_of(args.resources))

        def forget(tx: Transaction) -> None:
            tx.delete(facts[0].id)

        await library.services.index.write(forget)
        counts = [len((await kind.plan(Context(tmp_path), args)).members) for _ in range(100)]
        assert counts == [1] * 64 + [0] * 36
