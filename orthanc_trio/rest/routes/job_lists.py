"""Many jobs: list them, count them, steer them.

Source: the Orthanc Book, "Jobs", for the plain list. Arguments, statistics and the actions on many jobs are
extensions.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec
from msgspec.structs import replace

from ...jobs.control import Verdict
from ...model.errors import BadFileFormat
from ...model.job import JobRecord, JobState
from ...services.context import ServerContext
from ...services.job_filter import EVERYTHING, matching, page_of
from ...services.job_statistics import job_statistics
from ...services.pace import Pace
from ..answers import Held, Job, Outcome, Refusal
from ..arguments import EXPAND
from ..bodies import ManyJobsBody, names
from ..fields import decode_json
from ..job_query import (
    ARGUMENTS,
    encode_cursor,
    filter_of_body,
    filter_of_query,
    job_ids,
    order_of_query,
)
from ..query import flag
from ..routing import Argument, Doc, Routes
from ..wire import JSON, Answer, AnyAnswer, Request, json_answer

_MANY = Doc(body=ManyJobsBody, answer=Outcome)

routes = Routes()

Headers = tuple[tuple[str, str], ...]
Action = Callable[[str], Awaitable[Verdict]]

_MAX_REFUSED = 1000
_SLICE = 4096
_ENDED = frozenset({JobState.SUCCESS, JobState.FAILURE})
_STOPPABLE = frozenset({JobState.PENDING, JobState.RUNNING, JobState.RETRY})


@routes.get(
    "/jobs", hot=True, doc=Doc(query=(EXPAND, *map(Argument, sorted(ARGUMENTS))), answer=list[Job | str])
)
async def list_jobs(context: ServerContext, request: Request) -> AnyAnswer:
    """Answer the identifiers of jobs, or with `?expand` the jobs; without other arguments all, sorted by id.

    If `limit` leaves some out, the header `X-Next-Cursor` has the `cursor` of the next part.
    """
    is_expanded = flag(request, "expand")
    headers = Headers()
    if not ARGUMENTS.isdisjoint(request.query):
        records, headers = await _page(context, request)
    elif is_expanded:
        records = await matching(context.jobs, EVERYTHING)
    else:
        return await _ids_answer(context.jobs.ids())
    if is_expanded:
        body = await context.job_views.encode_many(records, context.now())
        return Answer(body=body, media_type=JSON, headers=headers)
    return replace(await _ids_answer([record.id for record in records]), headers=headers)


async def _ids_answer(ids: list[str]) -> Answer:
    """Answer a list that may be long."""
    pace = Pace()
    pieces: list[bytes] = []
    for start in range(0, len(ids), _SLICE):
        pieces.append(msgspec.json.encode(ids[start : start + _SLICE])[1:-1])
        await pace.give_way()
    return Answer(body=b"[" + b",".join(pieces) + b"]", media_type=JSON)


async def _page(context: ServerContext, request: Request) -> tuple[list[JobRecord], Headers]:
    order = order_of_query(request.query)
    page = await page_of(context.jobs, filter_of_query(request.query, context.jobs.kinds), order)
    cursor = () if page.last is None else (("X-Next-Cursor", encode_cursor(order, page.last)),)
    return page.records, cursor


@routes.get("/jobs/statistics", doc=Doc(answer=dict[str, Any]))
async def get_statistics(context: ServerContext, request: Request) -> AnyAnswer:
    """Answer the numbers of jobs by state, type and destination, and how fast they end."""
    statistics = await job_statistics(context.jobs, context.job_meter, context.now())
    return json_answer(statistics | {"Held": _held(context)})


def _held(context: ServerContext) -> Held:
    holds = context.jobs.holds
    return Held(destinations=holds.destinations, types=holds.types)


@routes.post("/jobs/cancel", doc=_MANY)
async def cancel_jobs(context: ServerContext, request: Request) -> AnyAnswer:
    """Cancel all jobs that the body means, without `State` and `Jobs` those that have not ended."""
    body = await _read_body(request)
    return await _act(context, body, context.jobs.cancel, _STOPPABLE | {JobState.PAUSED})


@routes.post("/jobs/resubmit", doc=_MANY)
async def resubmit_jobs(context: ServerContext, request: Request) -> AnyAnswer:
    """Resubmit all jobs that the body means, without `State` and `Jobs` those that failed."""
    body = await _read_body(request)
    return await _act(context, body, context.jobs.resubmit, frozenset({JobState.FAILURE}))


@routes.post("/jobs/delete", doc=_MANY)
async def delete_jobs(context: ServerContext, request: Request) -> AnyAnswer:
    """Delete all jobs that the body means, without `State` and `Jobs` those that have ended."""
    body = await _read_body(request)
    return await _act(context, body, context.jobs.delete, _ENDED)


@routes.post("/jobs/pause", doc=_MANY)
async def pause_jobs(context: ServerContext, request: Request) -> AnyAnswer:
    """Pause all jobs that the body means, without `State` and `Jobs` those that have not ended.

    `{"Destination": ...}` or `{"Type": ...}` alone holds all jobs that there are and will be, until `resume`.
    """
    body = await _read_body(request)
    if not _is_lane(body):
        return await _act(context, body, context.jobs.pause, _STOPPABLE)
    for lane in _lanes(context, body):
        await context.jobs.hold(**lane)
    return json_answer(replace(_outcome([], []), held=_held(context)))


@routes.post("/jobs/resume", doc=_MANY)
async def resume_jobs(context: ServerContext, request: Request) -> AnyAnswer:
    """Resume all jobs that the body means, without `State` and `Jobs` those that are paused.

    `{"Destination": ...}` or `{"Type": ...}` alone ends what `pause` began so.
    """
    body = await _read_body(request)
    if not _is_lane(body):
        return await _act(context, body, context.jobs.resume, frozenset({JobState.PAUSED}))
    for lane in _lanes(context, body):
        await context.jobs.release(**lane)
    return json_answer(replace(_outcome([], []), held=_held(context)))


async def _read_body(request: Request) -> Mapping[str, Any]:
    error = BadFileFormat("Expected a JSON object that says which jobs are meant")
    body = decode_json(await request.body(), error)
    if not isinstance(body, dict):
        raise error
    # A member that is not understood would mean more jobs than the client thinks.
    unknown = next((name for name in body if name not in names(ManyJobsBody)), None)
    if unknown is not None:
        raise BadFileFormat(f"Unknown field: {unknown}")
    return body


async def _act(
    context: ServerContext, body: Mapping[str, Any], action: Action, states: frozenset[JobState]
) -> Answer:
    ids = await _selected(context, body, states)
    verdicts = await context.jobs.for_each(action, ids)
    return json_answer(_outcome(ids, verdicts))


async def _selected(
    context: ServerContext, body: Mapping[str, Any], states: frozenset[JobState]
) -> list[str]:
    wanted, named = filter_of_body(body, context.jobs.kinds), job_ids(body)
    if named is None:
        wanted = wanted if wanted.states is not None else replace(wanted, states=states)
        return [record.id for record in await matching(context.jobs, wanted)]
    # An unknown job is kept, to be refused.
    known = [(id, context.jobs.get(id)) for id in named]
    return [id for id, record in known if record is None or wanted.matches(record)]


def _outcome(ids: list[str], verdicts: list[Verdict]) -> Outcome:
    refused = [Refusal(id, verdict.refusal) for id, verdict in zip(ids, verdicts, strict=True) if not verdict]
    return Outcome(done=len(ids) - len(refused), refused=refused[:_MAX_REFUSED], refused_count=len(refused))


def _is_lane(body: Mapping[str, Any]) -> bool:
    return len(body) == 1 and not body.keys().isdisjoint({"Destination", "Type"})


def _lanes(context: ServerContext, body: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return the types, or the destination, that a body means as a whole."""
    meant = filter_of_body(body, context.jobs.kinds)
    if meant.destination is not None:
        return [{"destination": meant.destination}]
    return [{"type": kind} for kind in sorted(meant.kinds or ())]
