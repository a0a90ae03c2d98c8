"""The request that handlers get, made of an ASGI scope. It is the same object with and without Quart."""

from collections.abc import AsyncIterator, Mapping
from functools import lru_cache
from operator import methodcaller
from types import MappingProxyType
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
_METHOD_HEADER = b"x-http-method-override"
_METHOD_ARGUMENT = b"_method"
_MOST_REMEMBERED = 256
"""Paths: who polls asks for the same again and again."""
_NOTHING: Mapping[str, str] = MappingProxyType({})

_decode = methodcaller("decode", "latin-1")


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
        self.method: str = scope["method"]
        if _METHOD_HEADER in self.raw_headers or _METHOD_ARGUMENT in scope["query_string"]:
            self.method = _effective_method(scope, self.raw_headers)
        self.path = normalise_path(scope["path"])
        client = scope.get("client")
        self.client: str = client[0] if client else ""
        self.user = ""
        self._query: Mapping[str, str] | None = None if scope["query_string"] else _NOTHING
        self._headers: dict[str, str] | None = None
        self._scope = scope
        self._receive = receive
        self._limits = limits
        self._body_end: trio.Event | None = None
        self.is_body_read = False
        """Whether the last piece of the body was read."""
        length, limit = self.raw_headers.get(b"content-length", b""), limits.total
        self.is_too_large = limit is not None and length.isdigit() and int(length) > limit
        """Whether the announced length of the body is beyond the limit."""

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
            raw = self.raw_headers
            self._headers = dict(zip(map(_decode, raw), map(_decode, raw.values()), strict=True))
        return self._headers

    async def body(self) -> bytes:
        """Return the whole body. Raises PayloadTooLarge; BadRequest if it ends early."""
        pieces: list[bytes | bytearray] = []
        total, room = self._limits.total, self._limits.in_memory
        if total is not None and total < room:
            room = total
        while not self.is_body_read:
            piece = await self.next_piece()
            room -= len(piece)
            if room < 0:
                raise PayloadTooLarge
            pieces.append(piece)
        return bytes(pieces[0]) if len(pieces) == 1 else b"".join(pieces)

    def chunks(self) -> AsyncIterator[bytes | bytearray]:
        """Iterate over the body as it arrives. Raises PayloadTooLarge; BadRequest if it ends early."""
        return _Chunks(self, self._limits.total)

    async def next_piece(self) -> bytes | bytearray:
        """Return the next piece of a body of which not all is read; it may be empty. Raises BadRequest."""
        message = await self._receive()
        if message["type"] != "http.request":
            raise BadRequest("The body of the request ends early")
        if not message.get("more_body", False):
            self.is_body_read = True
            if self._body_end is not None:
                self._body_end.set()
        piece: bytes | bytearray = message.get("body", b"")
        return piece

    async def wait_body_read(self) -> None:
        """Return when the body was read to its end: only then can others listen to the client."""
        if not self.is_body_read:
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
        request = self._request
        while not request.is_body_read:
            piece = await request.next_piece()
            self._room -= len(piece)
            if self._room < 0:
                raise PayloadTooLarge
            if piece:
                return piece
        raise StopAsyncIteration


def query_of(scope: Scope) -> dict[str, str]:
    """Return the arguments of a URL; of a repeated one the last, a bare one is empty."""
    raw: bytes = scope["query_string"]
    return dict(parse_qsl(raw.decode("latin-1"), keep_blank_values=True)) if raw else {}


@lru_cache(_MOST_REMEMBERED)
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
    if _METHOD_HEADER in headers:
        asked = headers[_METHOD_HEADER].decode("latin-1")
    if not asked and method == "GET" and _METHOD_ARGUMENT in scope["query_string"]:
        asked = query_of(scope).get("_method", "")
    if not asked:
        return method
    return asked.upper() if asked.upper() in _OVERRIDES else _UNKNOWN_METHOD
