"""Server-Sent Events: the feed as one endless answer to a GET. Source: WHATWG HTML, "Server-sent events".

A change bears its number as `id`, and so does the snapshot, so a client that comes back gets from the log
what it missed. The bus may tell of changes in another order than their numbers: then the log is read too.
"""

from collections.abc import AsyncIterator, Sequence

import trio

from ..services.context import ServerContext
from ..services.feed import FeedMessage, change_message
from .wire import Request, StreamAnswer

_KEEP_ALIVE_S = 15.0
_KEEP_ALIVE = b": keep-alive\n\n"
_RECONNECTION = b"retry: 3000\n\n"
_PAGE = 500
_MAX_ID_DIGITS = 18
_HEADERS = (("Cache-Control", "no-store"), ("X-Accel-Buffering", "no"))


def wants_events(request: Request) -> bool:
    """Return whether a client asks for Server-Sent Events."""
    return "text/event-stream" in request.headers.get("accept", "").lower()


def event_stream(context: ServerContext, request: Request, job_id: str | None = None) -> StreamAnswer:
    """Answer the news of one job or of everything, until the client leaves or the server stops."""
    news = _all_news(context, _last_event_id(request)) if job_id is None else _job_news(context, job_id)
    return StreamAnswer(chunks=news, media_type="text/event-stream", headers=_HEADERS)


def encode_event(message: FeedMessage, id: int = 0) -> bytes:
    """Return a message as an event, with an `id` unless it is 0."""
    text = message.text.replace(b"\n", b"\ndata: ")
    return b"id: %d\ndata: %b\n\n" % (id, text) if id else b"data: %b\n\n" % text


def _last_event_id(request: Request) -> int | None:
    text = request.headers.get("last-event-id", "")
    is_number = text.isascii() and text.isdigit() and len(text) <= _MAX_ID_DIGITS
    return int(text) if is_number else None


async def _job_news(context: ServerContext, job_id: str) -> AsyncIterator[bytes]:
    feed = context.feed
    with feed.watch(job_id) as subscription:
        yield _RECONNECTION + encode_event(await feed.snapshot(job_id))
        while True:
            messages: list[FeedMessage] | None = []
            with trio.move_on_after(_KEEP_ALIVE_S):
                messages = await subscription.take()
            if messages is None:
                return
            yield b"".join(map(encode_event, messages)) or _KEEP_ALIVE


async def _all_news(context: ServerContext, last_id: int | None) -> AsyncIterator[bytes]:
    feed, log = context.feed, _ChangesLog(context)
    mark = await log.last_seq()
    if last_id is not None:
        mark = min(last_id, mark)
    with feed.watch() as subscription:
        yield _RECONNECTION + encode_event(await feed.snapshot(), mark)
        is_behind = True
        while True:
            while is_behind:
                page, is_behind = await log.after(mark)
                yield _encode_changes(page) or _KEEP_ALIVE
                mark = page[-1].seq if page else mark
            messages: list[FeedMessage] | None = []
            with trio.move_on_after(_KEEP_ALIVE_S):
                messages = await subscription.take()
            if messages is None:
                return
            told = [message for message in messages if not message.seq and not message.is_gap]
            changes = _following(messages, mark)
            is_behind = changes is None
            yield b"".join(map(encode_event, told)) + _encode_changes(changes or ()) or _KEEP_ALIVE
            mark = changes[-1].seq if changes else mark


def _following(messages: Sequence[FeedMessage], mark: int) -> list[FeedMessage] | None:
    """Return the changes that follow `mark`, in order; None if one is missing."""
    if any(message.is_gap for message in messages):
        return None
    changes = sorted((message for message in messages if message.seq > mark), key=lambda change: change.seq)
    is_whole = not changes or changes[-1].seq - mark == len(changes)
    return changes if is_whole else None


def _encode_changes(changes: Sequence[FeedMessage]) -> bytes:
    return b"".join([encode_event(change, change.seq) for change in changes])


class _ChangesLog:
    """The log of changes, as messages."""

    def __init__(self, context: ServerContext) -> None:
        self._library = context.library

    async def last_seq(self) -> int:
        """Return the last number ever given."""
        page = await self._library.changes(since=0, to=None, types=(), limit=1, from_end=True)
        return page.last_seq

    async def after(self, mark: int) -> tuple[list[FeedMessage], bool]:
        """Return the next changes, and whether there are more."""
        page = await self._library.changes(since=mark, to=None, types=(), limit=_PAGE, from_end=False)
        return [change_message(change) for change in page.changes], not page.is_done
