"""Patients that recycling spares. Source: the Orthanc Book, "Recycling"; `/patients/{id}/protected`."""

from ...model.errors import BadFileFormat, ParameterOutOfRange, UnknownResource
from ...model.resource import ResourceLevel
from ...services.context import ServerContext
from ..routing import Doc, Routes
from ..wire import AnyAnswer, Request, text_answer

_PATH = "/patients/{id}/protected"
_VALUES = {b"1": True, b"true": True, b"0": False, b"false": False}

routes = Routes()


@routes.get(_PATH, doc=Doc(answer="text/plain"))
async def get_protected(context: ServerContext, request: Request, *, id: str) -> AnyAnswer:
    """Answer 1 for a protected patient, else 0. An unknown one is, as in Orthanc, a bad parameter."""
    description = await context.library.describe(ResourceLevel.PATIENT, id)
    if description is None:
        raise ParameterOutOfRange
    return text_answer(str(int(description.facts.is_protected)))


@routes.put(_PATH, doc=Doc(body="text/plain", answer="text/plain"))
async def put_protected(context: ServerContext, request: Request, *, id: str) -> AnyAnswer:
    """Protect a patient, or no longer."""
    is_protected = _VALUES.get((await request.body()).strip())
    if is_protected is None:
        raise BadFileFormat("Boolean value expected")
    try:
        await context.annotations.set_protected(id, is_protected=is_protected)
    except UnknownResource as error:
        raise ParameterOutOfRange from error
    return text_answer()
