"""Archives whose members are transcoded, step by step: what fails, what is large, what restarts."""

import os
import zipfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import trio
from pydicom import dcmread

from orthanc_trio.kinds import archive_member, archive_step, archive_transcode
from orthanc_trio.kinds.archive import ArchiveArgs
from orthanc_trio.model.errors import InternalError
from orthanc_trio.model.resource import ResourceLevel
from tests.engine.test_archive_kind import Context, Library, id_of, opened_library, run
from tests.support.dicom import make_instance

PATIENT, STUDY, SERIES, INSTANCE = ResourceLevel
RLE = "1.2.840.10008.1.2.5"
EXPLICIT = "1.2.840.10008.1.2.1"
both = pytest.mark.parametrize("kind_name", ["Archive", "Media"])


class DyingContext(Context):
    """A process dies each time it sees one of `bad`."""

    def __init__(self, folder: Path, bad: bytes) -> None:
        super().__init__(folder)
        self.bad = bad
        self.calls = 0

    async def in_worker(self, function: Callable[..., Any], *args: Any) -> Any:
        self.calls += 1
        if isinstance(args[0], tuple) and self.bad in args[0]:
            await trio.lowlevel.checkpoint()
            raise InternalError("A worker process died")
        return await super().in_worker(function, *args)


async def stored_study(library: Library, count: int, **tags: Any) -> tuple[list[str], ArchiveArgs]:
    """Store images, and return their identifiers and the wish for their study in RLE."""
    instances = [await library.store(make_instance(instance=n, **tags)) for n in range(1, count + 1)]
    args = ArchiveArgs(resources=(id_of(instances[0], STUDY),), level=STUDY, transcode=RLE)
    return [id_of(each, INSTANCE) for each in instances], args


def syntaxes(context: Context) -> list[str]:
    with zipfile.ZipFile(context.output_path("archive")) as archive:
        assert archive.testzip() is None
        names = [name for name in archive.namelist() if name != "DICOMDIR"]
        return [dcmread(BytesIO(archive.read(name))).file_meta.TransferSyntaxUID for name in names]


@both
async def test_what_kills_a_process_goes_in_as_it_is_and_harms_no_other(
    kind_name: str, tmp_path: Path
) -> None:
    async with opened_library() as library:
        ids, args = await stored_study(library, 3)
        context = DyingContext(tmp_path, make_instance(instance=2))

        done, _ = await run(library.kinds[kind_name], context, args)

        assert sorted(syntaxes(context)) == sorted((RLE, EXPLICIT, RLE))
        assert done.content is not None
        assert done.content["NotTranscoded"] == (ids[1],)


@both
async def test_each_step_may_crash_without_a_change_to_the_result(
    kind_name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive_step, "_STEP_MEMBERS", 2)
    async with opened_library() as library:
        ids, args = await stored_study(library, 6, PixelData=b"12")
        (tmp_path / "calm").mkdir()
        (tmp_path / "stormy").mkdir()
        calm, stormy = Context(tmp_path / "calm"), Context(tmp_path / "stormy")

        done, steps = await run(library.kinds[kind_name], calm, args)
        again, _ = await run(library.kinds[kind_name], stormy, args, crash_each_step=True)

        assert steps == 3
        assert done.content == again.content
        assert done.content is not None
        assert sorted(done.content["NotTranscoded"]) == sorted(ids)
        assert stormy.output_path("archive").read_bytes() == calm.output_path("archive").read_bytes()


async def test_only_some_of_many_failures_are_named_but_all_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive_step, "NAMED_REFUSALS", 2)
    async with opened_library() as library:
        _, args = await stored_study(library, 5, PixelData=b"12")

        done, _ = await run(library.kinds["Archive"], Context(tmp_path), args)

        assert done.content is not None
        assert len(done.content["NotTranscoded"]) == 2
        assert done.content["NotTranscodedCount"] == 5


async def test_a_file_that_is_too_large_is_streamed_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive_member, "MAX_FILE_BYTES", 100_000)
    async with opened_library() as library:
        ids, args = await stored_study(library, 1, rows=1024, columns=1024, PixelData=os.urandom(2 << 20))
        context = Context(tmp_path)

        done, _ = await run(library.kinds["Archive"], context, args)

        assert syntaxes(context) == [EXPLICIT]
        assert done.content is not None
        assert done.content["NotTranscoded"] == (ids[0],)


async def test_a_file_above_the_limit_of_streaming_is_transcoded_as_a_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive_member, "STREAMED_BYTES", 1000)
    async with opened_library() as library:
        _, args = await stored_study(library, 2, rows=64, columns=64)
        context = Context(tmp_path)

        await run(library.kinds["Archive"], context, args)

        assert syntaxes(context) == [RLE, RLE]


async def test_an_instance_that_has_vanished_is_neither_there_nor_named(tmp_path: Path) -> None:
    async with opened_library() as library:
        ids, args = await stored_study(library, 3)
        await library.remove(ids[1], INSTANCE)
        context = Context(tmp_path)

        done, _ = await run(library.kinds["Archive"], context, args)

        assert syntaxes(context) == [RLE, RLE]
        assert done.content is not None
        assert "NotTranscoded" not in done.content


async def test_what_has_the_syntax_already_needs_no_process(tmp_path: Path) -> None:
    async with opened_library() as library:
        _, args = await stored_study(library, 2)
        context = DyingContext(tmp_path, b"")

        await run(
            library.kinds["Archive"], context, ArchiveArgs(resources=args.resources, transcode=EXPLICIT)
        )

        assert context.calls == 0
        assert syntaxes(context) == [EXPLICIT, EXPLICIT]


async def test_the_wish_is_told_before_there_is_a_job() -> None:
    async with opened_library() as library:
        _, args = await stored_study(library, 1)
        wish = ArchiveArgs(resources=args.resources, transcode=RLE, lossy_quality=50)

        content = await library.check(library.kinds["Archive"], wish)

        assert (content["Transcode"], content["LossyQuality"]) == (RLE, 50)


def test_bytes_in_memory_are_read_like_a_file() -> None:
    blob = archive_transcode.MemoryBlob(b"0123456789")

    assert (blob.read(), blob.read(3), blob.read(3, 2), blob.read(0, 4)) == (
        b"0123456789",
        b"3456789",
        b"34",
        b"0123",
    )
