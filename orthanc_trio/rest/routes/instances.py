"""Upload instances and fetch their files. Source: the Orthanc Book, "Sending DICOM images"."""

from typing import Any

from ...model.errors import UnknownResource
from ...model.resource import ResourceLevel
from ...services.context import ServerContext
from ...services.ingest import Origin, OriginName, StoreResult
from ..disposition import content_disposition
from ..multipart import boundary_of, store_parts
from ..routing import Routes
from ..wire import Answer, AnyAnswer, FileAnswer, Request, json_answer

_DICOM = "application/dicom"

routes = Routes()


@routes.post("/instances", hot=True)
async def upload(context: ServerContext, request: Request) -> AnyAnswer:
    """Store an instance, or all instances of an archive.

    The header `X-Rejected-Members` counts the members of an archive that were no instances.
    """
    origin = Origin(name=OriginName.REST_API, remote_ip=request.client, username=request.user)
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
        return json_answer(store_json(stored.results[0]))
    answer = json_answer([store_json(result) for result in stored.results])
    rejected = ("X-Rejected-Members", str(len(stored.rejected)))
    return Answer(body=answer.body, media_type=answer.media_type, headers=(rejected,))


def store_json(result: StoreResult) -> dict[str, Any]:
    """Return what an upload answers for one instance."""
    ids = result.ids
    return {
        "ID": ids.instance,
        "ParentPatient": ids.patient,
        "ParentSeries": ids.series,
        "ParentStudy": ids.study,
        "Path": f"/instances/{ids.instance}",
        "Status": result.status.value,
    }


@routes.get("/instances/{id}/file", hot=True)
async def get_file(context: ServerContext, request: Request, *, id: str) -> AnyAnswer:
    """Answer the stored DICOM file."""
    description = await context.library.describe(ResourceLevel.INSTANCE, id)
    if description is None or description.facts.dicom is None:
        raise UnknownResource
    attachment = description.facts.dicom
    headers = (content_disposition(request.query.get("filename", f"{id}.dcm")),)
    opened = await context.library.open_file(attachment)
    if isinstance(opened, bytes):
        return Answer(body=opened, media_type=_DICOM, headers=headers)
    descriptor, offset = opened
    return FileAnswer(
        descriptor=descriptor, offset=offset, size=attachment.size, media_type=_DICOM, headers=headers
    )
