"""Raw values of a file. Source: the Orthanc Book, `/instances/{id}/content`, `/instances/{id}/pdf`."""

from ...model.resource import Metadata, ResourceLevel
from ...services.context import ServerContext
from ..level import require
from ..routing import Doc, Routes, components
from ..wire import Answer, AnyAnswer, Request, json_answer, nothing

_ENCAPSULATED_PDF = "1.2.840.10008.5.1.4.1.1.104.1"
_ENCAPSULATED_DOCUMENT, _DOCUMENT_LENGTH = "0042-0011", "0042-0015"

routes = Routes()


@routes.get("/instances/{id}/content", doc=Doc(answer=list[str]))
async def list_content(context: ServerContext, request: Request, *, id: str) -> AnyAnswer:
    """Answer the tags of the dataset."""
    return await _answer(context, request, id, "")


@routes.get(
    "/instances/{id}/content/{path:path}",
    doc=Doc(answer=("application/json", "application/octet-stream", "text/plain")),
)
async def get_content(context: ServerContext, request: Request, *, id: str, path: str) -> AnyAnswer:
    """Answer a raw value, or the list of what is below a sequence or an item."""
    return await _answer(context, request, id, path)


async def _answer(context: ServerContext, request: Request, id: str, path: str) -> Answer:
    instance = (await require(context, ResourceLevel.INSTANCE, id)).facts
    found = await context.tags.content(instance, components(path))
    if found is None:
        return nothing(request)
    if isinstance(found, bytes):
        return Answer(body=found, media_type="application/octet-stream")
    return json_answer(found)


@routes.get("/instances/{id}/pdf", doc=Doc(answer="application/pdf"))
async def get_pdf(context: ServerContext, request: Request, *, id: str) -> AnyAnswer:
    """Answer the document of an instance that is one, without what pads it to an even length."""
    instance = (await require(context, ResourceLevel.INSTANCE, id)).facts
    if instance.metadata.get(Metadata.SOP_CLASS_UID) != _ENCAPSULATED_PDF:
        return nothing(request)
    document = await context.tags.content(instance, (_ENCAPSULATED_DOCUMENT,))
    if not isinstance(document, bytes):
        return nothing(request)
    length = await context.tags.content(instance, (_DOCUMENT_LENGTH,))
    if isinstance(length, bytes) and length:
        document = document[: int.from_bytes(length, "little")]
    else:
        document = document.removesuffix(b"\0")
    return Answer(body=document, media_type="application/pdf")
