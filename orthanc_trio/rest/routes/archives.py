"""ZIP archives and DICOMDIR media, of one resource or of many. Source: the Orthanc Book, "Archives".

An asynchronous request answers the job, whose output is fetched from `/jobs/{id}/archive`. A synchronous one
answers the ZIP as it is made; the job behind it lives no longer than the request.
"""

import os
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import closing, suppress
from functools import partial
from typing import IO, Any

import trio

from ...extent import Chunk, write
from ...kinds.archive import ArchiveArgs
from ...model.errors import (
    BadFileFormat,
    BadRequest,
    DatabaseUnavailable,
)
from ...model.job import JobState
from ...model.resource import ResourceLevel
from ...services.context import ServerContext
from ..arguments import FILENAME, TRANSCODING
from ..bodies import ArchiveBody, ManyArchiveBody, declared
from ..disposition import content_disposition, name_of_stream
from ..fields import Fields, decode_json, is_texts
from ..job_answers import JobEnd, JobOptions, check_succeeded, job_options, submission_answer
from ..routing import Argument, Doc, Routes
from ..transcoding import transcoding_of_body, transcoding_of_url
from ..wire import AnyAnswer, FileAnswer, Request, StreamAnswer, nothing

_ZIP = "application/zip"
_WAITING = (JobState.PENDING, JobState.PAUSED, JobState.RETRY)
_IN_A_REQUEST = JobOptions(is_asynchronous=False)
_OPTIONS = (Argument("extended", bool, "For media: more types of records."), FILENAME, *TRANSCODING)
_RESOURCES = Argument("resources", str, "Identifiers, separated by commas.", True)
_ANSWER = ("application/json", _ZIP)

routes = Routes()


def _mount_level(level: ResourceLevel, word: str, kind: str) -> None:
    path = f"/{level.collection}/{{id}}/{word}"

    @routes.get(path, hot=True, doc=Doc(query=_OPTIONS, answer=_ZIP))
    async def get_archive(context: ServerContext, request: Request, *, id: str) -> AnyAnswer:
        syntax, quality = transcoding_of_url(request)
        args = ArchiveArgs(
            resources=(id,),
            level=level,
            is_post=False,
            transcode=syntax,
            lossy_quality=quality,
            is_extended="extended" in request.query,
            filename=request.query.get("filename", f"{id}.zip"),
        )
        return await _run(context, request, kind, args, _IN_A_REQUEST)

    @routes.post(path, hot=True, doc=Doc(body=ArchiveBody, answer=_ANSWER))
    async def post_archive(context: ServerContext, request: Request, *, id: str) -> AnyAnswer:
        body = decode_json(await request.body(), BadFileFormat())
        fields = Fields(declared(body if isinstance(body, dict) else {}, ArchiveBody))
        args = _args(context, fields, (id,), level=level, default_name=f"{id}.zip", is_extended=False)
        return await _run(context, request, kind, args, job_options(request, body))


def _mount_tool(path: str, kind: str, *, is_extended: bool) -> None:
    @routes.get(path, hot=True, doc=Doc(query=(_RESOURCES, *_OPTIONS), answer=_ZIP))
    async def get_archive(context: ServerContext, request: Request) -> AnyAnswer:
        if "resources" not in request.query:
            raise BadRequest("Missing resources argument")
        syntax, quality = transcoding_of_url(request)
        resources = _separated(request.query["resources"])
        filename = request.query.get("filename", "Archive.zip")
        args = ArchiveArgs(
            resources=resources,
            is_post=False,
            is_extended=is_extended,
            filename=filename,
            transcode=syntax,
            lossy_quality=quality,
        )
        return await _run(context, request, kind, args, _IN_A_REQUEST)

    @routes.post(path, hot=True, doc=Doc(body=ManyArchiveBody | list[str], answer=_ANSWER))
    async def post_archive(context: ServerContext, request: Request) -> AnyAnswer:
        not_json = BadFileFormat("Expected a list of resources to archive in the body")
        body = decode_json(await request.body(), not_json)
        resources, fields = _listed(body)
        args = _args(context, fields, resources, default_name="Archive.zip", is_extended=is_extended)
        return await _run(context, request, kind, args, job_options(request, body))


for _level in (ResourceLevel.PATIENT, ResourceLevel.STUDY, ResourceLevel.SERIES):
    _mount_level(_level, "archive", "Archive")
    _mount_level(_level, "media", "Media")
_mount_tool("/tools/create-archive", "Archive", is_extended=False)
_mount_tool("/tools/create-media", "Media", is_extended=False)
_mount_tool("/tools/create-media-extended", "Media", is_extended=True)


def _separated(text: str) -> tuple[str, ...]:
    """Return the identifiers of a URL in their order, each once; a comma may stand at the end."""
    return tuple(sorted(set(text.removesuffix(",").split(",")))) if text else ()


def _listed(body: Any) -> tuple[tuple[str, ...], Fields]:
    fields = Fields()
    if isinstance(body, dict):
        if "Resources" not in body:
            raise BadFileFormat("Missing field Resources in the JSON body")
        fields = Fields(declared(body, ManyArchiveBody))
        body = body["Resources"]
    elif not isinstance(body, list):
        raise BadFileFormat
    if not is_texts(body):
        raise BadFileFormat("Expected a list of strings (Orthanc identifiers)")
    return tuple(body), fields


def _args(
    context: ServerContext,
    fields: Fields,
    resources: tuple[str, ...],
    *,
    level: ResourceLevel | None = None,
    default_name: str,
    is_extended: bool,
) -> ArchiveArgs:
    syntax, quality = transcoding_of_body(fields)
    filename = fields.get("Filename")
    defaults = {"Extended": is_extended, "Utf8": context.settings.zip_use_utf8, "Manifest": False}
    is_extended, utf8, has_manifest = fields.booleans(**defaults)
    return ArchiveArgs(
        resources=resources,
        level=level,
        is_extended=is_extended,
        utf8=utf8,
        filename=filename if isinstance(filename, str) else default_name,
        has_manifest=has_manifest,
        transcode=syntax,
        lossy_quality=quality,
    )


async def _run(
    context: ServerContext, request: Request, kind: str, args: ArchiveArgs, options: JobOptions
) -> AnyAnswer:
    if options.is_asynchronous:
        return submission_answer(await context.jobs.submit(kind, args, options.submit))
    sink, source = trio.open_memory_channel[Chunk](0)
    record = await context.jobs.submit(kind, args, options.within_request, sink=sink)
    end = JobEnd(context, record.id)
    if context.settings.synchronous_zip_stream:
        chunks = _ZipStream(context, record.id, source, end)
        return StreamAnswer(chunks=chunks, media_type=_ZIP, headers=(name_of_stream(args.filename),))
    spooled: list[tuple[int, int]] = []
    with closing(end), source:
        await _unless_gone(request, partial(_spool, context, source, end, spooled))
    if not spooled:
        return nothing(request)  # nobody hears it
    [(descriptor, size)] = spooled
    headers = content_disposition(args.filename)
    return FileAnswer(descriptor=descriptor, offset=0, size=size, media_type=_ZIP, headers=headers)


class _ZipStream:
    """The ZIP of a job as it is made.

    No generator, since one that nobody has begun to read would not notice that it is closed: its job would
    wait for a reader for ever.
    """

    def __init__(
        self, context: ServerContext, job_id: str, source: trio.MemoryReceiveChannel[Chunk], end: JobEnd
    ) -> None:
        self._jobs = context.jobs
        self._id = job_id
        self._source = source
        self._end = end

    def __aiter__(self) -> "_ZipStream":
        return self

    async def __anext__(self) -> Chunk:
        try:
            return await self._source.receive()
        except trio.EndOfChannel:
            check_succeeded(await self._end.wait(), history_size=1)
            raise StopAsyncIteration from None

    async def aclose(self) -> None:
        """Tell the job that nobody reads any more: it fails when it writes next, or is cancelled before."""
        self._end.close()
        self._source.close()
        record = self._jobs.get(self._id)
        if record is not None and record.state in _WAITING:
            with suppress(DatabaseUnavailable):
                await self._jobs.cancel(self._id)


async def _unless_gone(request: Request, work: Callable[[], Awaitable[None]]) -> None:
    """Do `work`, or a part of it if the client leaves meanwhile. Raises what it raises."""
    failure: Exception | None = None
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_cancel_when_gone, request, nursery.cancel_scope)
        try:
            await work()
        except Exception as error:
            failure = error
        nursery.cancel_scope.cancel()
    if failure is not None:
        raise failure


async def _cancel_when_gone(request: Request, scope: trio.CancelScope) -> None:
    await request.wait_gone()
    scope.cancel()


async def _spool(
    context: ServerContext,
    source: trio.MemoryReceiveChannel[Chunk],
    end: JobEnd,
    spooled: list[tuple[int, int]],
) -> None:
    """Write the ZIP into a file without a name, and enter its descriptor and size into `spooled`."""

    def create() -> IO[bytes]:
        return tempfile.TemporaryFile(dir=context.settings.temporary_directory or None, buffering=0)

    file = await context.storage.run(lambda _: create())
    size = 0
    try:
        async for chunk in source:
            await context.storage.run(lambda _, at=size, chunk=chunk: write(file.fileno(), chunk, at))  # type: ignore[misc]
            size += len(chunk)
        check_succeeded(await end.wait(), history_size=context.settings.jobs_history_size)
        spooled.append((os.dup(file.fileno()), size))
    finally:
        file.close()
