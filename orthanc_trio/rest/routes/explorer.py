"""The web page: `/`, and Orthanc Explorer 2 below `/ui` where the configuration has it.

Source: what the page asks for; for `/` and `/app` the Orthanc Book, "Orthanc Explorer".
"""

from html import escape

from ... import __version__
from ...model.errors import UnknownResource
from ...services.context import ServerContext
from ...services.explorer import INDEX, Explorer, SiteFile
from ..routing import Doc, Routes
from ..wire import JSON, Answer, AnyAnswer, Request, json_answer, nothing

_UI = "ui/app/"
_PAGE = "app/explorer.html"
_PRE_LOGIN = {"Inbox": None, "Keycloak": None, "TokensLandingOptions": None}
_CSS, _LOGO, _ASSETS = "customizable/custom.css", "customizable/custom-logo", "assets/"
_HTML = Doc(answer="text/html")
_FILE = Doc(answer=("text/html", "text/css", "text/javascript"))

routes = Routes()


@routes.get("/")
async def get_root(context: ServerContext, request: Request) -> AnyAnswer:
    """Lead to the web page."""
    if context.explorer is not None and context.explorer.is_default:
        return _redirect(_UI)
    return _redirect(_PAGE) if context.settings.orthanc_explorer_enabled else nothing(request)


@routes.get("/favicon.ico")
async def get_icon(context: ServerContext, request: Request) -> AnyAnswer:
    """Lead to the icon of the web page, if it has one."""
    has_icon = context.explorer is not None and "favicon.ico" in context.explorer.files
    return _redirect(_UI + "favicon.ico") if has_icon else nothing(request)


@routes.get(f"/{_PAGE}", doc=_HTML)
async def get_page(context: ServerContext, request: Request) -> AnyAnswer:
    """Answer a page that says what this server is, and leads on."""
    if not context.settings.orthanc_explorer_enabled:
        return nothing(request)
    body = _page(context.settings.name, has_ui=context.explorer is not None)
    return Answer(body=body.encode(), media_type="text/html; charset=utf-8")


@routes.get("/app/{path:path}")
async def get_nothing(context: ServerContext, request: Request, *, path: str) -> AnyAnswer:
    """Answer, as Orthanc does, nothing for a file that is not there."""
    return nothing(request)


@routes.get("/ui/app", doc=_HTML)
async def get_index(context: ServerContext, request: Request) -> AnyAnswer:
    """Answer the start page of Orthanc Explorer 2."""
    return _file_answer(request, _explorer(context).files[INDEX])


@routes.get("/ui/app/{path:path}", doc=_FILE)
async def get_file(context: ServerContext, request: Request, *, path: str) -> AnyAnswer:
    """Answer a file of Orthanc Explorer 2; its start page for the places that only the page knows."""
    explorer = _explorer(context)
    if path == _CSS:
        return _file_answer(request, explorer.css)
    file = explorer.logo if path == _LOGO else explorer.files.get(path)
    if file is None and path != _LOGO and not path.startswith(_ASSETS):
        file = explorer.files[INDEX]
    return nothing(request) if file is None else _file_answer(request, file)


@routes.get("/ui/api/pre-login-configuration")
async def get_pre_login(context: ServerContext, request: Request) -> AnyAnswer:
    """Answer how users of Orthanc Explorer 2 log in: by HTTP alone."""
    _explorer(context)
    return json_answer(_PRE_LOGIN)


@routes.get("/ui/api/configuration")
async def get_configuration(context: ServerContext, request: Request) -> AnyAnswer:
    """Answer the configuration of Orthanc Explorer 2."""
    return Answer(body=_explorer(context).configuration, media_type=JSON)


def _explorer(context: ServerContext) -> Explorer:
    if context.explorer is None:
        raise UnknownResource
    return context.explorer


def _redirect(location: str) -> Answer:
    return Answer(status=307, media_type=None, headers=(("Location", location),))


def _file_answer(request: Request, file: SiteFile) -> Answer:
    headers = (("ETag", file.etag), ("Cache-Control", "no-cache"))
    if request.headers.get("if-none-match") == file.etag:
        return Answer(status=304, media_type=None, headers=headers)
    return Answer(body=file.body, media_type=file.media_type, headers=headers)


def _page(name: str, *, has_ui: bool) -> str:
    link = '<p><a href="../ui/app/">Orthanc Explorer 2</a></p>' if has_ui else ""
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f"<title>{escape(name)}</title></head>\n<body><h1>{escape(name)}</h1>\n"
        f"<p>orthanc_trio {escape(__version__)}, a DICOM server with the REST API of Orthanc.</p>\n{link}\n"
        '<p><a href="../system">System</a>, <a href="../statistics">statistics</a>, '
        '<a href="../openapi.json">description of the API</a></p>\n</body></html>\n'
    )
