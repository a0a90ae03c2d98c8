"""Delete many resources at once. Source: the Orthanc Book, `POST /tools/bulk-delete`."""

from typing import Any

from ...model.errors import BadRequest
from ...services.context import ServerContext
from ...services.removal import Target
from ..bodies import BulkDeleteBody
from ..find_body import level_of, read_object
from ..routing import Doc, Routes
from ..wire import AnyAnswer, Request, text_answer

_MAX_BODY_BYTES = 64 << 20
"""More than a million identifiers."""

routes = Routes()


@routes.post("/tools/bulk-delete", doc=Doc(body=BulkDeleteBody, answer="application/json"))
async def bulk_delete(context: ServerContext, request: Request) -> AnyAnswer:
    """Delete the `Resources` of the body: identifiers, or objects with `Level` and `ID`.

    Those that do not exist are passed over. Nothing is deleted if one of them is malformed.
    """
    listed = read_object(await request.body(), BulkDeleteBody, _MAX_BODY_BYTES).get("Resources")
    if not isinstance(listed, list):
        raise BadRequest("The body must contain a Resources array")
    await context.removal.delete_many([_target(each) for each in listed])
    return text_answer()


def _target(value: Any) -> Target:
    match value:
        case str():
            return None, value
        case {"Level": str(level), "ID": str(id)}:
            return level_of(level), id
        case _:
            raise BadRequest("Invalid payload")
