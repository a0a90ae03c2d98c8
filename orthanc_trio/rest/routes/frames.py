"""The frames of an instance, by number. Source: the Orthanc Book, `/instances/{id}/frames`."""

from ...model.errors import BadFileFormat
from ...model.resource import ResourceLevel
from ...services.context import ServerContext
from ..level import require
from ..routing import Doc, Routes
from ..wire import AnyAnswer, Request, json_answer

_NUMBER_OF_FRAMES = "0028,0008"
_MOST_FRAMES = 1 << 20

routes = Routes()


@routes.get("/instances/{id}/frames", doc=Doc(answer=list[int]))
async def list_frames(context: ServerContext, request: Request, *, id: str) -> AnyAnswer:
    """Answer the numbers of the frames, from 0."""
    instance = (await require(context, ResourceLevel.INSTANCE, id)).facts
    return json_answer(list(range(_number_of_frames(instance.tags.get(_NUMBER_OF_FRAMES, "")))))


def _number_of_frames(text: str) -> int:
    """Return what NumberOfFrames says, 1 if nothing. Raises BadFileFormat for no number or too many."""
    text = text.strip(" ")
    if not text:
        return 1
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(_MOST_FRAMES))):
        raise BadFileFormat("Invalid number of frames")
    if int(text) > _MOST_FRAMES:
        raise BadFileFormat("Too many frames")
    return int(text)
