"""The feed: `/events` (all jobs and changes), and `/jobs/{id}/events` (one job), over websockets.

JSON texts: first `{"Type": "Snapshot", "Jobs": [...]}`, then `Job`, `JobForgotten`, `Change`. The server
closes with 1001 when it stops, and with 1000 when the watched job is gone. A plain GET with
`Accept: text/event-stream` gets the same messages as Server-Sent Events.
"""

from functools import partial

from ...model.errors import UnknownResource
from ...services.context import ServerContext
from ...services.feed import Feed, Subscription
from ..event_stream import event_stream, wants_events
from ..presence import while_present
from ..routing import Routes
from ..websockets import GOING_AWAY, NORMAL, WebSocket
from ..wire import AnyAnswer, Request

routes = Routes()
websockets = Routes()


@websockets.get("/events")
async def watch_all(context: ServerContext, websocket: WebSocket) -> None:
    """Push all jobs and all changes."""
    await _push(context, websocket, None)


@websockets.get("/jobs/{id}/events")
async def watch_job(context: ServerContext, websocket: WebSocket, *, id: str) -> None:
    """Push the news of one job."""
    if context.jobs.get(id) is None:
        await websocket.refuse(404)
    else:
        await _push(context, websocket, id)


@routes.get("/events", hot=True)
async def stream_all(context: ServerContext, request: Request) -> AnyAnswer:
    """Answer all jobs and all changes as Server-Sent Events; that of one job is in `jobs`."""
    if not wants_events(request):
        raise UnknownResource
    return event_stream(context, request)


async def _push(context: ServerContext, websocket: WebSocket, job_id: str | None) -> None:
    with context.feed.watch(job_id) as subscription:
        await websocket.accept()
        await while_present(partial(_tell, context.feed, subscription, websocket), websocket.wait_gone)


async def _tell(feed: Feed, subscription: Subscription, websocket: WebSocket) -> None:
    await websocket.send([(await feed.snapshot(subscription.job_id)).text])
    while (messages := await subscription.take()) is not None:
        await websocket.send([message.text for message in messages])
    await websocket.close(GOING_AWAY if feed.is_closed else NORMAL)
