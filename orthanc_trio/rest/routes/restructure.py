"""Split and merge studies, by jobs. Source: the Orthanc Book, `/studies/{id}/split`, `.../merge`."""

import secrets
from functools import partial
from typing import Any, Final

from ...dicom.create import new_uid
from ...dicom.restructuring import merge_modification, split_modification
from ...kinds.restructure import MERGE, SPLIT, MergeArgs, SplitArgs
from ...kinds.restructure_rules import check_merge, check_split
from ...model.errors import BadFileFormat, BadRequest, UnknownResource
from ...services.context import ServerContext
from ...services.exemplar import exemplar_of
from ...services.ingest import Origin, OriginName
from ..bodies import MergeBody, SplitBody, declared
from ..fields import Fields, decode_json
from ..job_answers import job_options, run_and_answer
from ..routing import Doc, Routes
from ..wire import AnyAnswer, Request

_KEY_BYTES: Final = 32

routes = Routes()


@routes.post("/studies/{id}/split", doc=Doc(body=SplitBody, answer=dict[str, Any]))
async def split(context: ServerContext, request: Request, *, id: str) -> AnyAnswer:
    """Take series and instances out of a study, into a new one."""
    body = await _body(request)
    members = declared(body, SplitBody)
    fields = Fields(members)
    await context.index.read(partial(check_split, study=id, series=(), instances=()))
    series, instances = (fields.texts(name) if name in fields else () for name in ("Series", "Instances"))
    await context.index.read(partial(check_split, study=id, series=series, instances=instances))
    if not series and not instances:
        raise BadRequest('Both the "Series" and the "Instances" fields are missing')
    uid = new_uid()
    args = SplitArgs(
        study=id,
        series=series,
        instances=instances,
        study_uid=uid,
        keeps_source=fields.boolean("KeepSource", False),
        modification=split_modification(members, uid, context.dictionary),
        key=secrets.token_bytes(_KEY_BYTES),
        origin=_origin(request),
        is_permissive=fields.boolean("Permissive", False),
        is_atomic=fields.boolean("Atomic", False),
    )
    return await run_and_answer(context, SPLIT, args, job_options(request, body))


@routes.post("/studies/{id}/merge", doc=Doc(body=MergeBody, answer=dict[str, Any]))
async def merge(context: ServerContext, request: Request, *, id: str) -> AnyAnswer:
    """Put studies, series and instances into a study."""
    body = await _body(request)
    fields = Fields(declared(body, MergeBody))
    await context.index.read(partial(check_merge, study=id, sources=()))
    sources = fields.texts("Resources")
    await context.index.read(partial(check_merge, study=id, sources=sources))
    keeps_source = fields.boolean("KeepSource", False)
    target = await exemplar_of(context.index, context.tags, id)
    if target is None:
        raise UnknownResource(f"Cannot merge into an unknown study: {id}")
    args = MergeArgs(
        study=id,
        sources=sources,
        keeps_source=keeps_source,
        modification=merge_modification(target.tags, context.dictionary),
        key=secrets.token_bytes(_KEY_BYTES),
        origin=_origin(request),
        is_permissive=fields.boolean("Permissive", False),
        is_atomic=fields.boolean("Atomic", False),
    )
    return await run_and_answer(context, MERGE, args, job_options(request, body))


async def _body(request: Request) -> dict[str, Any]:
    body = decode_json(await request.body(), BadFileFormat())
    return body if isinstance(body, dict) else {}


def _origin(request: Request) -> Origin:
    return Origin(name=OriginName.REST_API, remote_ip=request.client, username=request.user)
