"""Plugins: there are none, and the page of Orthanc Explorer asks. Source: the Orthanc Book; `/plugins`."""

from ...services.context import ServerContext
from ..routing import Doc, Routes
from ..wire import Answer, AnyAnswer, Request, json_answer, nothing

_EXPLORER = "explorer.js"
_SCRIPT = b"// Extensions to Orthanc Explorer by the registered plugins\n\n"

routes = Routes()


@routes.get("/plugins", doc=Doc(answer=list[str]))
async def list_plugins(context: ServerContext, request: Request) -> AnyAnswer:
    """Answer the names of all plugins; the first one is a script."""
    return json_answer([_EXPLORER])


@routes.get(f"/plugins/{_EXPLORER}", doc=Doc(answer="application/javascript"))
async def get_extensions(context: ServerContext, request: Request) -> AnyAnswer:
    """Answer the extensions of Orthanc Explorer by plugins: none."""
    return Answer(body=_SCRIPT, media_type="application/javascript")


@routes.get("/plugins/{id}")
async def get_plugin(context: ServerContext, request: Request, *, id: str) -> AnyAnswer:
    """Answer what is known of a plugin: nothing."""
    return nothing(request)
