"""The ASGI application of a server: the modules of `routes/`, mounted once in the door and once in Quart.

A module exports any of `routes` (a `Routes`), `websockets` (a `Routes` of GET whose handlers take a
`WebSocket`) and `blueprint` (a Quart Blueprint).
"""

from collections.abc import Iterable
from typing import Any, cast

from quart import has_request_context
from quart import request as quart_request
from quart_trio import QuartTrio
from werkzeug.exceptions import HTTPException, MethodNotAllowed, NotFound

from ..metrics import Metrics
from ..model.errors import UnknownResource
from .asgi import App
from .auth import AccessPolicy
from .errors import empty_answer, error_answer, exception_answer
from .front import REQUEST_KEY, DoorOptions, Front
from .offer import is_offered
from .request_meter import RequestMeter
from .requests import AsgiRequest
from .routes import collect, discover
from .routing import METHODS, Route, Router, quart_rule
from .wire import Answer

_MAX_PAGE_BODY_BYTES = 1024 * 1024


def make_app(
    context: Any, *, access: AccessPolicy, options: DoorOptions, meter: RequestMeter | None = None
) -> App:
    """Make the application of a running server out of all modules of `routes/`."""
    return mount(context, discover(), access=access, options=options, meter=meter)


def mount(
    context: Any,
    modules: Iterable[Any],
    *,
    access: AccessPolicy,
    options: DoorOptions,
    meter: RequestMeter | None = None,
) -> App:
    """Make an application out of route modules. Raises ValueError for two handlers of one URL and method."""
    modules = list(modules)
    table = [
        route
        for route in collect(modules, "routes")
        if is_offered(route, is_read_only=options.is_read_only, has_patients=options.has_patients)
    ]
    blueprints = [module.blueprint for module in modules if hasattr(module, "blueprint")]
    quart = QuartTrio(__name__, static_folder=None)
    websockets = Router(collect(modules, "websockets"))
    front = Front(
        context,
        Router(table),
        cast("App", quart),
        access,
        options,
        websockets=websockets,
        meter=meter or RequestMeter(Metrics()),
    )
    _configure(quart, context)
    for number, route in enumerate(table):
        _mount_route(quart, front, route, f"route-{number}")
    for blueprint in blueprints:
        quart.register_blueprint(blueprint)
    _mount_errors(quart, options)
    return front


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
