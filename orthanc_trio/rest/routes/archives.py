"""ZIP archives and DICOMDIR media, of one resource or of many. Source: the Orthanc Book, "Archives".

An asynchronous request answers the job, whose output is fetched from `/jobs/{id}/archive`. A synchronous one
answers the ZIP as it is made; the job behind it lives no longer than the request.
"""

import os
import tempfile
from collections.abc import AsyncIterator
from typing import IO, Any

import trio

from ...kinds.archive import ArchiveArgs
from ...model.errors import BadFileFormat, BadRequest, NotImplementedYet, ParameterOutOfRange
from ...model.job import JobRecord
from ...model.resource import ResourceLevel
from ...services.context import ServerContext
from ..disposition import content_disposition
from ..fields import Fields, decode_json
from ..job_answers import JobOptions, check_succeeded, job_options, submission_answer
from ..routing import Routes
from ..wire import AnyAnswer, FileAnswer, Request, StreamAnswer

_ZIP = "application/zip"
_STANDARD_SYNTAXES = "1.2.840.10008.1.2"
_IN_A_REQUEST = JobOptions(is_asynchronous=False, priority=0, user_data=None)

routes = Routes()


def _mount_level(level: ResourceLevel, word: str, kind: str) -> None:
    path = f"/{level.collection}/{{id}}/{word}"

    @routes.get(path)
    async def get_archive(context: ServerContext, request: Request, *, id: str) -> AnyAnswer:
        _check_transcoding_of_url(request)
        args = ArchiveArgs(
            resources=(id,),
            level=level,
            is_post=False,
            is_extended="extended" in request.query,
            filename=request.query.get("filename", f"{id}.zip"),
        )
        return await _run(context, kind, args, _IN_A_REQUEST)

    @routes.post(path)
    async def post_archive(context: ServerContext, request: Request, *, id: str) -> AnyAnswer:
        body = decode_json(await request.body(), BadFileFormat())
        fields = Fields(body if isinstance(body, dict) else {})
        args = _args(context, fields, (id,), level=level, default_name=f"{id}.zip", is_extended=False)
        return await _run(context, kind, args, job_options(fields))


def _mount_tool(path: str, kind: str, *, is_extended: bool) -> None:
    @routes.get(path)
    async def get_archive(context: ServerContext, request: Request) -> AnyAnswer:
        if "resources" not in request.query:
            raise BadRequest("Missing resources argument")
        _check_transcoding_of_url(request)
        resources = sorted({id for id in request.query["resources"].split(",") if id})
        filename = request.query.get("filename", "Archive.zip")
        args = ArchiveArgs(
            resources=tuple(resources), is_post=False, is_extended=is_extended, filename=filename
        )
        return await _run(context, kind, args, _IN_A_REQUEST)

    @routes.post(path)
    async def post_archive(context: ServerContext, request: Request) -> AnyAnswer:
        not_json = BadFileFormat("Expected a list of resources to archive in the body")
        resources, fields = _listed(decode_json(await request.body(), not_json))
        args = _args(context, fields, resources, default_name="Archive.zip", is_extended=is_extended)
        return await _run(context, kind, args, job_options(fields))


for _level in (ResourceLevel.PATIENT, ResourceLevel.STUDY, ResourceLevel.SERIES):
    _mount_level(_level, "archive", "Archive")
    _mount_level(_level, "media", "Media")
_mount_tool("/tools/create-archive", "Archive", is_extended=False)
_mount_tool("/tools/create-media", "Media", is_extended=False)
_mount_tool("/tools/create-media-extended", "Media", is_extended=True)


def _listed(body: Any) -> tuple[tuple[str, ...], Fields]:
    members: dict[str, Any] = {}
    if isinstance(body, dict):
        members = body
        if "Resources" not in body:
            raise BadFileFormat("Missing field Resources in the JSON body")
        body = body["Resources"]
    elif not isinstance(body, list):
        raise BadFileFormat
    if not isinstance(body, list) or not all(isinstance(id, str) for id in body):
        raise BadFileFormat("Expected a list of strings (Orthanc identifiers)")
    return tuple(body), Fields(members)


def _args(
    context: ServerContext,
    fields: Fields,
    resources: tuple[str, ...],
    *,
    level: ResourceLevel | None = None,
    default_name: str,
    is_extended: bool,
) -> ArchiveArgs:
    if "Transcode" in fields:
        _refuse_transcoding(fields.text("Transcode", ""))
    fields.integer("LossyQuality", 0)
    filename = fields.any("Filename")
    return ArchiveArgs(
        resources=resources,
        level=level,
        is_extended=fields.boolean("Extended", is_extended),
        utf8=fields.boolean("Utf8", context.settings.zip_use_utf8),
        filename=filename if isinstance(filename, str) else default_name,
    )


def _check_transcoding_of_url(request: Request) -> None:
    if "transcode" not in request.query:
        return
    quality = request.query.get("lossy-quality", "0")
    if not (quality.isascii() and quality.isdigit()):
        raise ParameterOutOfRange(
            f'Expected a Unsigned Int for GET argument "lossy-quality", found: {quality}'
        )
    _refuse_transcoding(request.query["transcode"])


def _refuse_transcoding(syntax: str) -> None:
    if not syntax.startswith(_STANDARD_SYNTAXES):
        raise ParameterOutOfRange(f"Unknown transfer syntax: {syntax}")
    raise NotImplementedYet("Transcoding is not available")


async def _run(context: ServerContext, kind: str, args: ArchiveArgs, options: JobOptions) -> AnyAnswer:
    if options.is_asynchronous:
        record = await context.jobs.submit(kind, args, priority=options.priority, user_data=options.user_data)
        return submission_answer(record)
    sink, source = trio.open_memory_channel[bytes](0)
    record = await context.jobs.submit(
        kind, args, priority=options.priority, user_data=options.user_data, is_durable=False, sink=sink
    )
    headers = (content_disposition(args.filename or ""),)
    if context.settings.synchronous_zip_stream:
        return StreamAnswer(chunks=_stream(context, record, source), media_type=_ZIP, headers=headers)
    descriptor, size = await _spool(context, record, source)
    return FileAnswer(descriptor=descriptor, offset=0, size=size, media_type=_ZIP, headers=headers)


async def _stream(
    context: ServerContext, record: JobRecord, source: trio.MemoryReceiveChannel[bytes]
) -> AsyncIterator[bytes]:
    # Closing the source tells the job that nobody reads any more.
    async with source:
        async for chunk in source:
            yield chunk
    check_succeeded(await context.jobs.wait(record.id), history_size=1)


async def _spool(
    context: ServerContext, record: JobRecord, source: trio.MemoryReceiveChannel[bytes]
) -> tuple[int, int]:
    """Write the ZIP into a file without a name, and return its descriptor and size."""

    def create() -> IO[bytes]:
        return tempfile.TemporaryFile(dir=context.settings.temporary_directory or None, buffering=0)

    file = await context.storage.run(lambda _: create())
    size = 0
    try:
        async with source:
            async for chunk in source:
                size += await context.storage.run(lambda _, data=chunk: file.write(data))  # type: ignore[misc]
        final = await context.jobs.wait(record.id)
        check_succeeded(final, history_size=context.settings.jobs_history_size)
        return os.dup(file.fileno()), size
    finally:
        file.close()
