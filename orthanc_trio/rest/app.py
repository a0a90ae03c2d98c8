"""The ASGI application of a server: the modules of `routes/`, mounted once in the door and once in Quart.

A module exports any of `routes` (a `Routes`), `websockets` (a `Routes` of GET whose handlers take a
`WebSocket`) and `blueprint` (a Quart Blueprint).
"""

from collections.abc import Iterable
from typing import Any

from ..metrics import Metrics
from .asgi import App
from .auth import AccessPolicy
from .front import DoorOptions, Front
from .late import LateApp
from .offer import is_offered
from .request_meter import RequestMeter
from .routes import collect, discover
from .routing import Router


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
    websockets = Router(collect(modules, "websockets"))

    def make() -> App:
        from .pages import make_pages

        return make_pages(context, front, table, blueprints, options)

    front = Front(
        context,
        Router(table),
        LateApp(make),
        access,
        options,
        websockets=websockets,
        meter=meter or RequestMeter(Metrics()),
    )
    return front
