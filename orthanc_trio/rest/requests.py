"""The request that handlers get, made of an ASGI scope. It is the same object with and without Quart."""

from collections.abc import AsyncIterator, Mapping
from urllib.parse import parse_qsl

import trio
from msgspec import Struct

from ..model.errors import BadRequest, PayloadTooLarge
from .asgi import Receive, Scope
from .routing import components
from .wire import AnyAnswer

_METHODS = frozenset({"GET", "POST", "PUT", "DELETE"})
_OVERRIDES = frozenset({"PUT", "DELETE"})
_UNKNOWN_METHOD = "UNKNOWN"


class BodyLimits(Struct, frozen=True, kw_only=True):
    """How large bodies may be, in bytes."""

    total: int | None = None
    """None is no limit."""
    in_memory: int = 512 * 1024 * 1024


class AsgiRequest:
    """One request; see `wire.Request` for what it promises to handlers."""

    answer: AnyAnswer | None = None
    """What a handler behind Quart answered, until the door sends it."""

    def __init__(self, scope: Scope, receive: Receive, limits: BodyLimits) -> None:
        self.raw_headers: dict[bytes, bytes] = dict(scope["headers"])
        self.method = _effective_method(scope, self.raw_headers)
        self.path = normalise_path(scope["path"])
        client = scope.get("client")
        self.client: str = client[0] if client else ""
        self.user = ""
        self._query: dict[str, str] | None = None
        self._headers: dict[str, str] | None = None
        self._scope = scope
        self._receive = receive
        self._limits = limits
        self._body_end: trio.Event | None = None
        self._is_body_read = False

    @property
    def query(self) -> Mapping[str, str]:
        """The arguments of the URL."""
        if self._query is None:
            self._query = query_of(self._scope)
        return self._query

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers, with names in lower case."""
        if self._headers is None:
            raw = self.raw_headers.items()
            self._headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in raw}
        return self._headers

    @property
    def is_too_large(self) -> bool:
        """Whether the announced length of the body is beyond the limit."""
        limit = self._limits.total
        if limit is None:
            return False
        length = self.raw_headers.get(b"content-length", b"")
        return length.isdigit() and int(length) > limit

    async def body(self) -> bytes:
        """Return the whole body. Raises PayloadTooLarge; BadRequest if it ends early."""
        pieces = []
        room = self._limits.in_memory
        async for piece in self.chunks():
            room -= len(piece)
            if room < 0:
                raise PayloadTooLarge
            pieces.append(piece)
        return bytes(pieces[0]) if len(pieces) == 1 else b"".join(pieces)

    def chunks(self) -> AsyncIterator[bytes | bytearray]:
        """Iterate over the body as it arrives. Raises PayloadTooLarge; BadRequest if it ends early."""
        return _Chunks(self, self._limits.total)

    async def next_piece(self) -> bytes | bytearray | None:
        """Return the next piece of the body, which may be empty, None at the end. Raises BadRequest."""
        if self._is_body_read:
            return None
        message = await self._receive()
        if message["type"] != "http.request":
            raise BadRequest("The body of the request ends early")
        if not message.get("more_body", False):
            self._is_body_read = True
            if self._body_end is not None:
                self._body_end.set()
        piece: bytes | bytearray = message.get("body", b"")
        return piece

    async def wait_body_read(self) -> None:
        """Return when the body was read to its end: only then can others listen to the client."""
        if not self._is_body_read:
            self._body_end = trio.Event()
            await self._body_end.wait()

    async def wait_gone(self) -> None:
        """Return when the client has left; what is left of the body is passed over."""
        while (await self._receive())["type"] != "http.disconnect":
            pass


class _Chunks:
    """An iterator, not a generator, since handlers may leave it in the middle."""

    def __init__(self, request: AsgiRequest, limit: int | None) -> None:
        self._request = request
        self._room = float("inf") if limit is None else limit

    def __aiter__(self) -> "_Chunks":
        return self

    async def __anext__(self) -> bytes | bytearray:
        piece: bytes | bytearray | None = b""
        while piece is not None and not piece:
            piece = await self._request.next_piece()
        if piece is None:
            raise StopAsyncIteration
        self._room -= len(piece)
        if self._room < 0:
            raise PayloadTooLarge
        return piece


def query_of(scope: Scope) -> dict[str, str]:
    """Return the arguments of a URL; of a repeated one the last, a bare one is empty."""
    raw: bytes = scope["query_string"]
    return dict(parse_qsl(raw.decode("latin-1"), keep_blank_values=True)) if raw else {}


def normalise_path(path: str) -> str:
    """Drop empty components of a decoded path, and resolve `.` and `..` within the root."""
    if path != "/" and "//" not in path and "/." not in path and path[-1:] != "/" and path[:1] == "/":
        return path
    kept: list[str] = []
    for part in components(path):
        if part == "..":
            del kept[-1:]
        elif part != ".":
            kept.append(part)
    return "/" + "/".join(kept)


def _effective_method(scope: Scope, headers: Mapping[bytes, bytes]) -> str:
    """Return the method after overriding, which only PUT and DELETE may be asked for."""
    method: str = scope["method"]
    if method not in _METHODS:
        return method
    asked = ""
    if b"x-http-method-override" in headers:
        asked = headers[b"x-http-method-override"].decode("latin-1")
    if not asked and method == "GET" and b"_method" in scope["query_string"]:
        asked = query_of(scope).get("_method", "")
    if not asked:
        return method
    return asked.upper() if asked.upper() in _OVERRIDES else _UNKNOWN_METHOD
