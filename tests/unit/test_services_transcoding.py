"""The limits around transcoding: a process that dies or loops costs only the file that it was at."""

import pickle
from collections.abc import Sequence
from typing import Any

import trio

from orthanc_trio.model.errors import InternalError
from orthanc_trio.services.transcoding import transcode_all, transcode_files
from orthanc_trio.workers import open_workers
from tests.support.dicom import make_instance

RLE = "1.2.840.10008.1.2.5"
FILES = tuple(make_instance(instance=number) for number in (1, 2, 3))


async def test_files_are_transcoded_in_a_process_and_come_back_in_order() -> None:
    async with open_workers(1) as workers:
        results = await transcode_files(workers.run, (*FILES, b"no file"), RLE, 90)

    assert results == [*transcode_all(FILES, RLE, 90, 60.0), None]


async def test_a_process_that_takes_too_long_is_ended() -> None:
    async with open_workers(1) as workers:
        assert await transcode_files(workers.run, FILES[:1], RLE, 90, 1e-6) == [None]
        assert await transcode_files(workers.run, FILES[:1], RLE, 90) != [None]


async def test_when_a_process_dies_the_files_are_tried_one_by_one() -> None:
    tried: list[int] = []

    async def in_worker(function: Any, files: Sequence[bytes], *args: Any) -> Any:
        await trio.lowlevel.checkpoint()
        tried.append(len(files))
        if FILES[1] in files:
            raise InternalError("A worker process died")
        return pickle.loads(pickle.dumps(function))(files, *args)

    results = await transcode_files(in_worker, FILES, RLE, 90)

    assert tried == [3, 1, 1, 1]
    assert [result is None for result in results] == [False, True, False]
