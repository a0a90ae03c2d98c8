"""The door: the ASGI application in front of everything.

It checks access, reads the request, and calls the handlers of hot routes itself; for all others Quart matches
the route and calls the handler, and the answer leaves through the same door. Source: the Orthanc Book.
"""

from collections.abc import Awaitable, Mapping
from time import perf_counter
from typing import Any

import trio
from msgspec import Struct

from .asgi import App, Message, Receive, Scope, Send
from .auth import UNAUTHORIZED, AccessPolicy
from .encoding import chosen_coding, compress, is_json, to_xml, wants_xml
from .errors import empty_answer, exception_answer
from .request_meter import RequestMeter
from .requests import AsgiRequest, BodyLimits, normalise_path
from .routing import METHODS, Handler, Match, Router, WrongMethod
from .sending import NOSNIFF, discard, send_answer, send_file, send_head, send_stream
from .websockets import WebSocket
from .wire import Answer, AnyAnswer, FileAnswer, StreamAnswer

REQUEST_KEY = "orthanc_trio.request"
"""Where the scope that Quart gets holds the `AsgiRequest`."""

_WEBDAV_METHODS = frozenset({"HEAD", "OPTIONS", "PROPFIND", "LOCK", "UNLOCK", "MKCOL", "PROPPATCH"})
_WEBDAV_ROOT = "/webdav"
_NOT_FOUND = empty_answer(404)
_BAD_REQUEST = empty_answer(400)
_TOO_LARGE = empty_answer(413)


class DoorOptions(Struct, frozen=True, kw_only=True):
    """The settings of the door."""

    describe_errors: bool = True
    compress: bool = False
    limits: BodyLimits = BodyLimits()
    threads: int = 4
    """Threads that read files for clients over TLS, and that compress."""
    is_read_only: bool = False
    """Whether nothing that is stored can be changed."""
    has_patients: bool = True
    """Whether there are the routes of patients."""


class Front:
    """The whole HTTP interface as one ASGI application."""

    def __init__(
        self,
        context: Any,
        router: Router,
        quart: App,
        access: AccessPolicy,
        options: DoorOptions,
        *,
        websockets: Router,
        meter: RequestMeter,
    ) -> None:
        self._context = context
        self._router = router
        self._websockets = websockets
        self._quart = quart
        self._access = access
        self._options = options
        self._meter = meter
        self._limiter = trio.CapacityLimiter(options.threads)

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Serve, once awaited, one request, websocket or lifespan."""
        match scope["type"]:
            case "http":
                return self._serve_http(scope, receive, send)
            case "websocket":
                return self._serve_websocket(scope, receive, send)
            case _:
                return self._quart(scope, receive, send)

    async def call(self, handler: Handler, request: AsgiRequest, parameters: Mapping[str, str]) -> AnyAnswer:
        """Run a handler; whatever it raises becomes its answer."""
        try:
            answer: AnyAnswer = await handler(self._context, request, **parameters)
            return answer
        except Exception as error:
            return self._failure(error, request)

    def _failure(self, error: Exception, request: AsgiRequest) -> Answer:
        describe = self._options.describe_errors and request.method != "HEAD"
        return exception_answer(error, request, describe=describe)

    async def _serve_http(self, scope: Scope, receive: Receive, send: Send) -> None:
        started_s = perf_counter()
        with self._meter:
            request = AsgiRequest(scope, receive, self._options.limits)
            user = await self._access.user_of(request.client, request.raw_headers.get(b"authorization"))
            if user is None:
                await send_answer(UNAUTHORIZED, send)
                return
            request.user = user
            found = self._early_answer(request) or self._router.match(request.method, request.path)
            answer: AnyAnswer | None
            if isinstance(found, Match) and found.route.is_hot:
                # As `call` does, which would be one more coroutine to resume at each of its waits.
                try:
                    answer = await found.route.handler(self._context, request, **found.parameters)
                except Exception as error:
                    answer = self._failure(error, request)
            else:
                answer = await self._answer_cold(found, scope, request, receive, send)
            if answer is not None:
                pattern = found.route.pattern if isinstance(found, Match) else ""
                self._meter.answered(request.method, pattern, answer.status, started_s)
                await self._send(answer, request, scope, receive, send)

    async def _answer_cold(
        self,
        found: Answer | Match | WrongMethod | None,
        scope: Scope,
        request: AsgiRequest,
        receive: Receive,
        send: Send,
    ) -> AnyAnswer | None:
        """Answer where no hot route does; None if Quart has sent an answer of its own."""
        match found:
            case Answer():
                return found
            case WrongMethod():
                return empty_answer(405, ("Allow", ",".join(found.allowed)))
            case None if request.method not in METHODS:
                return _NOT_FOUND
            case _:
                return await self._ask_quart(scope, request, receive, send, is_page=found is None)

    def _early_answer(self, request: AsgiRequest) -> Answer | None:
        if request.method not in METHODS and not self._has_head(request):
            if request.method not in _WEBDAV_METHODS:
                return _BAD_REQUEST
            if request.path != _WEBDAV_ROOT and not request.path.startswith(_WEBDAV_ROOT + "/"):
                return _NOT_FOUND
        return _TOO_LARGE if request.is_too_large else None

    def _has_head(self, request: AsgiRequest) -> bool:
        return request.method == "HEAD" and isinstance(self._router.match("HEAD", request.path), Match)

    async def _ask_quart(
        self, scope: Scope, request: AsgiRequest, receive: Receive, send: Send, *, is_page: bool
    ) -> AnyAnswer | None:
        """Return what a handler behind Quart answers; None if Quart has sent an answer of its own."""
        relay = _Relay(request, receive, send)
        inner = {**scope, "method": request.method, "path": request.path, REQUEST_KEY: request}
        is_done = False
        try:
            await self._quart(inner, receive if is_page else relay.receive, relay.send)
            is_done = True
        finally:
            if not is_done and request.answer is not None:
                await discard(request.answer)
        return request.answer

    async def _send(
        self, answer: AnyAnswer, request: AsgiRequest, scope: Scope, receive: Receive, send: Send
    ) -> None:
        match answer:
            case _ if request.method == "HEAD":
                await send_head(answer, send)
            case Answer():
                if wants_xml(request.raw_headers.get(b"accept")) and is_json(answer):
                    answer = to_xml(answer)
                if self._options.compress and (coding := chosen_coding(answer, request.raw_headers)):
                    answer = await compress(answer, coding, self._limiter)
                await send_answer(answer, send)
            case FileAnswer():
                await send_file(answer, scope, send, self._limiter)
            case StreamAnswer():
                await send_stream(answer, scope, receive, send, self._limiter)

    async def _serve_websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        client = scope.get("client") or ("",)
        user = await self._access.user_of(client[0], headers.get(b"authorization"))
        websocket = WebSocket(scope, receive, send)
        if user is None:
            await websocket.refuse(UNAUTHORIZED.status, *UNAUTHORIZED.headers)
            return
        path = normalise_path(scope["path"])
        found = self._websockets.match("GET", path)
        if isinstance(found, Match):
            await found.route.handler(self._context, websocket, **found.parameters)
        else:
            await self._quart({**scope, "path": path}, receive, send)


class _Relay:
    """Stands between Quart and the client, so that the body and the answer of a handler pass Quart by.

    Quart would read a whole body into memory before its handler asks for it.
    """

    def __init__(self, request: AsgiRequest, receive: Receive, send: Send) -> None:
        self._request = request
        self._receive = receive
        self._send = send
        self._is_begun = False

    async def receive(self) -> Message:
        """Return an empty body, and later the news that the client has left, upon which Quart cancels."""
        if not self._is_begun:
            self._is_begun = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self._request.wait_body_read()
        return await self._receive()

    async def send(self, message: Message) -> None:
        """Pass on what Quart answers by itself."""
        if self._request.answer is not None:
            return
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message["headers"], NOSNIFF]}
        await self._send(message)
