"""One job: look at it, steer it, fetch what it left. Source: the Orthanc Book, "Jobs".

Where Orthanc refuses with an empty body, ours says why.
"""

from contextlib import suppress
from functools import partial

import trio

from ...jobs.control import Verdict
from ...model.errors import DatabaseUnavailable, InexistentItem
from ...model.job import JobRecord
from ...services.context import ServerContext
from ..answers import Job
from ..arguments import RANGE
from ..disposition import content_disposition
from ..errors import Refused
from ..event_stream import event_stream, wants_events
from ..presence import while_present
from ..query import number
from ..ranges import entity_tag, ranged
from ..routing import Argument, Doc, Routes
from ..wire import JSON, Answer, AnyAnswer, FileAnswer, Request, text_answer

_WAIT = Argument("wait", float, "Seconds to wait for the end of the job.")

routes = Routes()

_ACCEPTED = Answer(body=b"{}", media_type="application/json")
_EVENTS = "events"
_LONGEST_WAIT_S = 300.0


@routes.get("/jobs/{id}", hot=True, doc=Doc(query=(_WAIT,), answer=Job))
async def get_job(context: ServerContext, request: Request, *, id: str) -> AnyAnswer:
    """Answer one job; with `?wait=SECONDS` not before it has ended, but at the latest after that time."""
    record = context.jobs.get(id)
    if record is not None and "wait" in request.query:
        timeout_s = min(number(request, "wait"), _LONGEST_WAIT_S)
        record = await _wait_for_end(context, request, id, timeout_s)
    if record is None:
        raise Refused(f"No job found with this id: {id}", method=request.method)
    return Answer(body=context.job_views.encode(record, context.now()), media_type=JSON)


async def _wait_for_end(
    context: ServerContext, request: Request, id: str, timeout_s: float
) -> JobRecord | None:
    """Return a job when it has ended, the time is over, the client has left, or the server stops."""
    ended: list[JobRecord] = []

    async def wait() -> None:
        with suppress(DatabaseUnavailable, InexistentItem):
            ended.append(await context.jobs.wait(id))

    with trio.move_on_after(timeout_s):
        await while_present(partial(while_present, wait, context.stop_requested.wait), request.wait_gone)
    return ended[0] if ended else context.jobs.get(id)


def _answer(verdict: Verdict, request: Request) -> Answer:
    if not verdict:
        raise Refused(verdict.refusal, method=request.method)
    return _ACCEPTED


@routes.post("/jobs/{id}/cancel", hot=True, doc=Doc(answer="application/json"))
async def cancel_job(context: ServerContext, request: Request, *, id: str) -> AnyAnswer:
    """Cancel a job; one that has ended stays as it is."""
    return _answer(await context.jobs.cancel(id), request)


@routes.post("/jobs/{id}/pause", hot=True, doc=Doc(answer="application/json"))
async def pause_job(context: ServerContext, request: Request, *, id: str) -> AnyAnswer:
    """Pause a job at its next boundary; one that has ended stays as it is."""
    return _answer(await context.jobs.pause(id), request)


@routes.post("/jobs/{id}/resume", hot=True, doc=Doc(answer="application/json"))
async def resume_job(context: ServerContext, request: Request, *, id: str) -> AnyAnswer:
    """Put a paused job back into the queue."""
    return _answer(await context.jobs.resume(id), request)


@routes.post("/jobs/{id}/resubmit", hot=True, doc=Doc(answer="application/json"))
async def resubmit_job(context: ServerContext, request: Request, *, id: str) -> AnyAnswer:
    """Run a failed job again from its start, or one that waits for a retry at once."""
    return _answer(await context.jobs.resubmit(id), request)


@routes.delete("/jobs/{id}", hot=True, doc=Doc(answer="application/json"))
async def delete_job(context: ServerContext, request: Request, *, id: str) -> AnyAnswer:
    """Remove a job that has ended, with its outputs."""
    if not await context.jobs.delete(id):
        raise InexistentItem(f"No job found with this id: {id}")
    return text_answer()


@routes.get(
    "/jobs/{id}/{key}",
    hot=True,
    doc=Doc(headers=(RANGE,), answer=("application/zip", "application/octet-stream")),
)
@routes.head("/jobs/{id}/{key}")
async def get_output(context: ServerContext, request: Request, *, id: str, key: str) -> AnyAnswer:
    """Answer a file that a job left, or the part that is asked for; as `events` the news of the job."""
    record = context.jobs.get(id)
    if record is not None and key == _EVENTS and request.method == "GET" and wants_events(request):
        return event_stream(context, request, id)
    opened = None if record is None else await context.jobs.open_output(id, key)
    if record is None or opened is None:
        raise InexistentItem(f"Job has no such output: {key}")
    descriptor, output = opened
    whole = FileAnswer(
        descriptor=descriptor,
        offset=0,
        size=output.size_bytes,
        media_type=output.media_type,
        headers=content_disposition(output.filename),
    )
    # A job that ran again has ended at another time.
    completed_us = int(record.changed.timestamp() * 1_000_000)
    return ranged(whole, request, entity_tag(record.id, completed_us, output.size_bytes))


@routes.delete("/jobs/{id}/{key}", hot=True)
async def delete_output(context: ServerContext, request: Request, *, id: str, key: str) -> AnyAnswer:
    """Remove a file that a job left; the job stays."""
    if not await context.jobs.delete_output(id, key):
        raise InexistentItem(f"Job has no such output: {key}")
    return text_answer()
