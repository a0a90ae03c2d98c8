"""What leaves the server: files written on its disk, and the log of what was sent to others.

Source: the Orthanc Book, `/exports`, `/instances/{id}/export`. Nothing here sends instances to other servers
yet, so the log is empty.
"""

import os
from collections.abc import AsyncIterable

import trio

from ...model.errors import CannotWriteFile, UnknownResource
from ...model.resource import ResourceLevel
from ...services.context import ServerContext
from ..answers import ExportsAnswer
from ..arguments import PAGE
from ..errors import empty_answer
from ..level import require
from ..routing import Doc, Routes
from ..wire import Answer, AnyAnswer, Request, json_answer, text_answer

routes = Routes()


@routes.get("/exports", doc=Doc(query=PAGE, answer=ExportsAnswer))
async def get_exports(context: ServerContext, request: Request) -> AnyAnswer:
    """Answer a page of the log of what was sent."""
    return json_answer(ExportsAnswer(done=True, exports=[], last=0))


@routes.delete("/exports")
async def delete_exports(context: ServerContext, request: Request) -> AnyAnswer:
    """Empty the log of what was sent."""
    return text_answer()


@routes.post("/instances/{id}/export", doc=Doc(body="text/plain", answer="text/plain"))
async def export_file(context: ServerContext, request: Request, *, id: str) -> AnyAnswer:
    """Write the file of an instance to the path in the body, on the disk of the server.

    Refused unless `RestApiWriteToFileSystemEnabled`.
    """
    if not context.settings.rest_api_write_to_file_system_enabled:
        return empty_answer(403)
    facts = (await require(context, ResourceLevel.INSTANCE, id)).facts
    if facts.dicom is None:
        raise UnknownResource
    path = os.fsdecode((await request.body()).strip())
    await _write(path, context.library.stream_content(facts.dicom))
    return Answer(body=b"{}", media_type="application/json")


async def _write(path: str, pieces: AsyncIterable[bytes]) -> None:
    try:
        async with await trio.open_file(path, "wb") as file:
            async for piece in pieces:
                await file.write(piece)
    except (OSError, ValueError) as exc:
        raise CannotWriteFile from exc
