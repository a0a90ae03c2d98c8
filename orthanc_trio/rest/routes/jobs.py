"""Jobs: list, look, steer, fetch. Source: the Orthanc Book, "Jobs"."""

from ...model.errors import InexistentItem
from ...services.context import ServerContext
from ..disposition import content_disposition
from ..query import flag
from ..ranges import entity_tag, ranged
from ..routing import Routes
from ..wire import JSON, Answer, AnyAnswer, FileAnswer, Request, json_answer, nothing, text_answer

routes = Routes()

_ACCEPTED = Answer(body=b"{}", media_type="application/json")


@routes.get("/jobs", hot=True)
async def list_jobs(context: ServerContext, request: Request) -> AnyAnswer:
    """Answer the identifiers of all jobs, or with `?expand` the jobs, in ascending order."""
    records = context.jobs.records()
    if not flag(request, "expand"):
        return json_answer([record.id for record in records])
    return Answer(body=context.job_views.encode_all(records, context.now()), media_type=JSON)


@routes.get("/jobs/{id}", hot=True)
async def get_job(context: ServerContext, request: Request, *, id: str) -> AnyAnswer:
    """Answer one job."""
    record = context.jobs.get(id)
    if record is None:
        return nothing(request)
    return Answer(body=context.job_views.encode(record, context.now()), media_type=JSON)


@routes.post("/jobs/{id}/cancel")
async def cancel_job(context: ServerContext, request: Request, *, id: str) -> AnyAnswer:
    """Cancel a job; one that has ended stays as it is."""
    return _ACCEPTED if await context.jobs.cancel(id) else nothing(request)


@routes.post("/jobs/{id}/pause")
async def pause_job(context: ServerContext, request: Request, *, id: str) -> AnyAnswer:
    """Pause a job at its next boundary; one that has ended stays as it is."""
    return _ACCEPTED if await context.jobs.pause(id) else nothing(request)


@routes.post("/jobs/{id}/resume")
async def resume_job(context: ServerContext, request: Request, *, id: str) -> AnyAnswer:
    """Put a paused job back into the queue."""
    return _ACCEPTED if await context.jobs.resume(id) else nothing(request)


@routes.post("/jobs/{id}/resubmit")
async def resubmit_job(context: ServerContext, request: Request, *, id: str) -> AnyAnswer:
    """Run a failed job again from its start."""
    return _ACCEPTED if await context.jobs.resubmit(id) else nothing(request)


@routes.delete("/jobs/{id}")
async def delete_job(context: ServerContext, request: Request, *, id: str) -> AnyAnswer:
    """Remove a job that has ended, with its outputs."""
    if not await context.jobs.delete(id):
        raise InexistentItem(f"No job found with this id: {id}")
    return text_answer()


@routes.get("/jobs/{id}/{key}")
@routes.head("/jobs/{id}/{key}")
async def get_output(context: ServerContext, request: Request, *, id: str, key: str) -> AnyAnswer:
    """Answer a file that a job left, or the part that is asked for."""
    record = context.jobs.get(id)
    opened = None if record is None else await context.jobs.open_output(id, key)
    if record is None or opened is None:
        raise InexistentItem(f"Job has no such output: {key}")
    descriptor, output = opened
    whole = FileAnswer(
        descriptor=descriptor,
        offset=0,
        size=output.size_bytes,
        media_type=output.media_type,
        headers=(content_disposition(output.filename),),
    )
    # A job that ran again has ended at another time.
    completed_us = int(record.changed.timestamp() * 1_000_000)
    return ranged(whole, request, entity_tag(record.id, completed_us, output.size_bytes))


@routes.delete("/jobs/{id}/{key}")
async def delete_output(context: ServerContext, request: Request, *, id: str, key: str) -> AnyAnswer:
    """Remove a file that a job left; the job stays."""
    if not await context.jobs.delete_output(id, key):
        raise InexistentItem(f"Job has no such output: {key}")
    return text_answer()
