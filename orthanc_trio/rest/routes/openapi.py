"""The description of this API. Source: the OpenAPI Specification 3.1.0."""

from functools import cache
from typing import Any

import msgspec

from ... import __version__
from ...services.context import ServerContext
from ..openapi import document
from ..routing import Doc, Routes
from ..wire import JSON, Answer, AnyAnswer, Request
from . import collect, discover

routes = Routes()


@cache
def encoded_document() -> bytes:
    """Return the OpenAPI document of this server as indented JSON."""
    value = document(collect(discover(), "routes"), __version__)
    return msgspec.json.format(msgspec.json.encode(value), indent=1)


@routes.get("/openapi.json", doc=Doc(answer=dict[str, Any]))
async def get_openapi(context: ServerContext, request: Request) -> AnyAnswer:
    """Answer the OpenAPI 3.1 document of all routes."""
    return Answer(body=encoded_document(), media_type=JSON)
