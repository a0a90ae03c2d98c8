"""The feed over websockets: `/events` (all jobs and changes) and `/jobs/{id}/events` (one job).

JSON texts: first `{"Type": "Snapshot", "Jobs": [...]}`, then `Job`, `JobForgotten`, `Change`. The server
closes with 1001 when it stops, and with 1000 when the watched job is gone.
"""

from typing import cast

import trio
from quart import Blueprint, abort, current_app, websocket

from ...services.context import ServerContext

_SEND_TIMEOUT_S = 30.0
_GOING_AWAY = 1001
_NORMAL = 1000

blueprint = Blueprint("feed", __name__)


@blueprint.websocket("/events")
async def watch_all() -> None:
    """Push all jobs and all changes."""
    await _push(None)


@blueprint.websocket("/jobs/<job_id>/events")
async def watch_job(job_id: str) -> None:
    """Push the news of one job."""
    if _context().jobs.get(job_id) is None:
        abort(404)
    await _push(job_id)


def _context() -> ServerContext:
    return cast("ServerContext", current_app.config["context"])


async def _push(job_id: str | None) -> None:
    feed = _context().feed
    with feed.watch(job_id) as subscription:
        await websocket.accept()
        # Quart cancels this task when the client leaves.
        while (messages := await subscription.take()) is not None:
            with trio.fail_after(_SEND_TIMEOUT_S):
                for message in messages:
                    await websocket.send(message)
        await websocket.close(_GOING_AWAY if feed.is_closed else _NORMAL)
