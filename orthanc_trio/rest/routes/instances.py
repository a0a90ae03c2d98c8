"""Upload instances and fetch their files. Source: the Orthanc Book, "Sending DICOM images"."""

from ...model.errors import NotImplementedYet, UnknownResource
from ...model.resource import Attachment, ResourceLevel
from ...services.context import ServerContext
from ...services.ingest import Origin, OriginName, StoreResult
from ...services.transcoding import MAX_FILE_BYTES, transcode_files
from ..answers import Stored
from ..arguments import FILENAME, RANGE, TRANSCODING
from ..disposition import content_disposition
from ..routing import Doc, Routes
from ..stored_file import content_answer
from ..transcoding import transcoding_of_url
from ..wire import Answer, AnyAnswer, Request, json_answer

_DICOM = "application/dicom"
_DICOM_XML = "application/dicom+xml"
_MODELS = ("application/dicom+json", _DICOM_XML)

routes = Routes()


@routes.post(
    "/instances",
    hot=True,
    doc=Doc(
        body=("application/dicom", "application/zip", "multipart/form-data"), answer=Stored | list[Stored]
    ),
)
async def upload(context: ServerContext, request: Request) -> AnyAnswer:
    """Store an instance, or all instances of an archive.

    The header `X-Rejected-Members` counts the members of an archive that were no instances.
    """
    origin = Origin(name=OriginName.REST_API, remote_ip=request.client, username=request.user)
    if "multipart/" in request.headers.get("content-type", "").lower():
        from ..multipart import boundary_of, store_parts  # Werkzeug, which few servers need

        boundary = boundary_of(request)
        if boundary is not None:
            await store_parts(context.upload, request.chunks(), boundary, origin)
            return Answer(media_type=None)
    length = request.headers.get("content-length")
    stored = await context.upload.store(
        request.chunks(),
        origin,
        content_length=int(length) if length else None,
        content_encoding=request.headers.get("content-encoding", ""),
    )
    if not stored.is_archive:
        return json_answer(stored_answer(stored.results[0]))
    answer = json_answer([stored_answer(result) for result in stored.results])
    rejected = ("X-Rejected-Members", str(len(stored.rejected)))
    return Answer(body=answer.body, media_type=answer.media_type, headers=(rejected,))


def stored_answer(result: StoreResult) -> Stored:
    """Return what an upload answers for one instance."""
    ids = result.ids
    return Stored(
        id=ids.instance,
        parent_patient=ids.patient,
        parent_series=ids.series,
        parent_study=ids.study,
        path=f"/instances/{ids.instance}",
        status=result.status,
    )


@routes.get(
    "/instances/{id}/file",
    hot=True,
    doc=Doc(query=(FILENAME, *TRANSCODING), headers=(RANGE,), answer=(_DICOM, *_MODELS)),
)
async def get_file(context: ServerContext, request: Request, *, id: str) -> AnyAnswer:
    """Answer the stored DICOM file, or `transcode`d to another transfer syntax.

    If the header `Accept` is one of the media types of the JSON and XML models, the file as that.
    """
    description = await context.library.describe(ResourceLevel.INSTANCE, id)
    if description is None or description.facts.dicom is None:
        raise UnknownResource
    accepted = request.headers.get("accept")
    if accepted in _MODELS:
        body = await context.tags.model(description.facts, is_xml=accepted == _DICOM_XML)
        return Answer(body=body, media_type=accepted)
    attachment = description.facts.dicom
    headers = content_disposition(request.query.get("filename", f"{id}.dcm"))
    if "transcode" in request.query:
        return Answer(
            body=await _transcoded(context, request, attachment), media_type=_DICOM, headers=headers
        )
    return await content_answer(context, request, id, attachment, media_type=_DICOM, headers=headers)


async def _transcoded(context: ServerContext, request: Request, attachment: Attachment) -> bytes:
    """Return the file in the transfer syntax of the URL. Raises NotImplementedYet if that fails."""
    syntax, quality = transcoding_of_url(request)
    assert syntax is not None
    if quality is None:
        quality = context.settings.dicom_lossy_transcoding_quality
    if attachment.uncompressed_size <= MAX_FILE_BYTES:
        data = await context.library.read_content(attachment)
        [result] = await transcode_files(context.workers.run, (data,), syntax, quality)
        if result is not None:
            return result
    raise NotImplementedYet(f"Cannot transcode to transfer syntax: {syntax}")
