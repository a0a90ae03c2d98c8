"""The Quart application behind the door: it matches the routes that are not hot, and serves pages.

Imported when the first of them is asked for, see `late`.
"""

from collections.abc import Sequence
from typing import Any, cast

from quart import Blueprint, has_request_context
from quart import request as quart_request
from quart_trio import QuartTrio
from werkzeug.exceptions import HTTPException, MethodNotAllowed, NotFound

from ..model.errors import UnknownResource
from .asgi import App
from .errors import empty_answer, error_answer, exception_answer
from .front import REQUEST_KEY, DoorOptions, Front
from .requests import AsgiRequest
from .routing import METHODS, Route, quart_rule
from .wire import Answer

_MAX_PAGE_BODY_BYTES = 1024 * 1024


def make_pages(
    context: Any, front: Front, table: Sequence[Route], blueprints: Sequence[Blueprint], options: DoorOptions
) -> App:
    """Make the application of all routes of `table`, whose handlers `front` calls, and of `blueprints`."""
    quart = QuartTrio(__name__, static_folder=None)
    _configure(quart, context)
    for number, route in enumerate(table):
        _mount_route(quart, front, route, f"route-{number}")
    for blueprint in blueprints:
        quart.register_blueprint(blueprint)
    _mount_errors(quart, options)
    return cast("App", quart)


def _configure(quart: QuartTrio, context: Any) -> None:
    # The limits of time are those of the connection; that of size is for pages, handlers have their own.
    quart.config.update(
        context=context,
        BODY_TIMEOUT=None,
        RESPONSE_TIMEOUT=None,
        MAX_CONTENT_LENGTH=_MAX_PAGE_BODY_BYTES,
        PROVIDE_AUTOMATIC_OPTIONS=False,
        PROPAGATE_EXCEPTIONS=False,
    )


def _mount_route(quart: QuartTrio, front: Front, route: Route, endpoint: str) -> None:
    async def view(**parameters: Any) -> str:
        request = _door_request()
        request.answer = await front.call(route.handler, request, parameters)
        return ""

    quart.add_url_rule(quart_rule(route.pattern), endpoint, view, methods=[route.method])


def _mount_errors(quart: QuartTrio, options: DoorOptions) -> None:
    describe = options.describe_errors

    async def answer_http_error(error: HTTPException) -> Any:
        if not has_request_context():
            return quart.response_class(status=error.code)  # to a websocket that is refused
        request = _door_request()
        if isinstance(error, NotFound):
            request.answer = error_answer(UnknownResource(), request, describe=describe)
        else:
            request.answer = _empty_error(error)
        return ""

    async def answer_exception(error: Exception) -> Any:
        if not has_request_context():
            raise error  # Quart logs it and closes the websocket
        request = _door_request()
        request.answer = exception_answer(error, request, describe=describe)
        return ""

    quart.register_error_handler(HTTPException, answer_http_error)
    quart.register_error_handler(Exception, answer_exception)


def _empty_error(error: HTTPException) -> Answer:
    if isinstance(error, MethodNotAllowed):
        valid = set(error.valid_methods or ())
        allowed = ",".join(method for method in METHODS if method in valid)
        return empty_answer(405, ("Allow", allowed))
    return empty_answer(error.code or 500)


def _door_request() -> AsgiRequest:
    scope = cast("dict[str, Any]", quart_request.scope)
    request: AsgiRequest = scope[REQUEST_KEY]
    return request
