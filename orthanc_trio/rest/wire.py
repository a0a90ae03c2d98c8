"""HTTP as values: what a handler gets and what it answers, free of any framework.

Handlers are `async (context, request, **path) -> Answer`. The same handler runs behind Quart and, for the hot
routes, directly behind the ASGI door (`front.py`).
"""

from collections.abc import AsyncIterable, AsyncIterator, Mapping
from typing import Any, Protocol

import msgspec

from ..extent import Chunk

JSON = "application/json; charset=utf-8"
TEXT = "text/plain"

_encoder = msgspec.json.Encoder(enc_hook=str)


class Request(Protocol):
    """One HTTP request, its path normalised, its client known."""

    method: str
    """GET, POST, PUT or DELETE, after method overriding."""
    path: str
    """Decoded, without query, with single slashes and no trailing one."""
    client: str
    """The IP address of the peer."""
    user: str
    """The authenticated user, or an empty text."""

    @property
    def query(self) -> Mapping[str, str]:
        """The arguments of the URL, decoded; of a repeated one the last. A bare `?x` is an empty text."""
        ...

    @property
    def headers(self) -> Mapping[str, str]:
        """Names in lower case."""
        ...

    async def body(self) -> bytes:
        """Return the whole body. Raises PayloadTooLarge beyond the limit for bodies kept in memory."""
        ...

    def chunks(self) -> AsyncIterator[bytes | bytearray]:
        """Iterate over the pieces of the body as they arrive; use either this or `body`, once."""
        ...

    async def wait_gone(self) -> None:
        """Return when the client has left: for hot handlers, since Quart cancels the others by itself."""
        ...


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """A complete answer: its body is in memory."""

    status: int = 200
    body: bytes = b""
    media_type: str | None = TEXT
    headers: tuple[tuple[str, str], ...] = ()


class FileAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """An answer whose body is a part of an open local file. The door closes the descriptor.

    `prefix` and `suffix` stand around the `size` bytes of the file.
    """

    descriptor: int
    offset: int
    size: int
    media_type: str
    prefix: bytes = b""
    suffix: bytes = b""
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()


class StreamAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """An answer whose body is made while it is sent, and whose length is not known.

    The door iterates `chunks` once and closes it, also when the client leaves. An exception from it aborts
    the connection, so that a broken body never looks complete.
    """

    chunks: AsyncIterable[Chunk]
    media_type: str
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()


AnyAnswer = Answer | FileAnswer | StreamAnswer


def json_answer(value: Any, *, status: int = 200) -> Answer:
    """Answer `value` as JSON."""
    return Answer(status=status, body=_encoder.encode(value), media_type=JSON)


def text_answer(text: str = "") -> Answer:
    """Answer plain text; the empty one is how Orthanc says that it is done."""
    return Answer(body=text.encode(), media_type=TEXT)


def nothing(request: Request) -> Answer:
    """Answer what Orthanc answers when a handler has nothing to say: 404, or 400 to a POST, and no body."""
    return Answer(status=400 if request.method == "POST" else 404, media_type=None)
