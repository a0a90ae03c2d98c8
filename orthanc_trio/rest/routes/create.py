"""Create instances. Source: the Orthanc Book, "Create DICOM"; `/tools/create-dicom`."""

from ...dicom.create_request import create_request_of_body
from ...model.errors import BadRequest
from ...services.context import ServerContext
from ...services.ingest import Origin, OriginName, StoreStatus
from ..answers import Stored
from ..bodies import CreateBody
from ..fields import decode_json
from ..routing import Doc, Routes
from ..wire import AnyAnswer, Request, json_answer
from .instances import stored_answer

routes = Routes()


@routes.post("/tools/create-dicom", doc=Doc(body=CreateBody, answer=Stored))
async def create_dicom(context: ServerContext, request: Request) -> AnyAnswer:
    """Store an instance made of tags and content, or a series of them."""
    asked = create_request_of_body(
        decode_json(await request.body(), BadRequest()),
        private_creator=context.settings.default_private_creator,
        dictionary=context.dictionary,
    )
    origin = Origin(name=OriginName.REST_API, remote_ip=request.client, username=request.user)
    stored = await context.creation.create(asked, origin)
    if not asked.is_series:
        return json_answer(stored_answer(stored[0]))
    series = stored[0].ids.series
    return json_answer(Stored(id=series, path=f"/series/{series}", status=StoreStatus.SUCCESS))
