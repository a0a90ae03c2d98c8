"""The small tools: clocks, identifiers, what is accepted, the end. Source: the Orthanc Book; `/tools/...`."""

from datetime import datetime
from functools import cache
from uuid import uuid4

from ...config.encoding import Encoding
from ...dicom.new_uid import new_uid
from ...model.errors import BadFileFormat, ParameterOutOfRange
from ...services.conformance import conformance_statement
from ...services.context import ServerContext
from ...services.switches import matching_syntaxes
from ..errors import empty_answer
from ..fields import decode_json
from ..routing import Argument, Doc, Routes
from ..text_body import boolean_body, word_body
from ..wire import Answer, AnyAnswer, Request, json_answer, nothing, text_answer
from . import children_of

_TIME = "%Y%m%dT%H%M%S"
_TEXT = Doc(answer="text/plain")
_WORD = Doc(body="text/plain", answer="text/plain")
_UIDS = Doc(answer=list[str])
_SUBROOTS = {"study": 2, "series": 3, "instance": 4}
_ACCEPTED = Answer(body=b"{}", media_type="application/json")

routes = Routes()


@cache
def _tools() -> list[str]:
    return children_of("/tools")


@routes.get("/tools", doc=_UIDS)
async def list_tools(context: ServerContext, request: Request) -> AnyAnswer:
    """Answer the names of all tools."""
    return json_answer(_tools())


@routes.get("/tools/now", doc=_TEXT)
async def get_now(context: ServerContext, request: Request) -> AnyAnswer:
    """Answer the time in UTC, as `YYYYMMDDTHHMMSS`."""
    return text_answer(context.now().strftime(_TIME))


@routes.get("/tools/now-local", doc=_TEXT)
async def get_local_now(context: ServerContext, request: Request) -> AnyAnswer:
    """Answer the time where the server is, as `YYYYMMDDTHHMMSS`."""
    return text_answer(datetime.fromtimestamp(context.now().timestamp()).strftime(_TIME))


@routes.get(
    "/tools/generate-uid",
    doc=Doc(query=(Argument("level", str, "patient, study, series or instance", True),), answer="text/plain"),
)
async def generate_uid(context: ServerContext, request: Request) -> AnyAnswer:
    """Answer a new DICOM identifier for a level."""
    level = request.query.get("level")
    if level == "patient":
        return text_answer(str(uuid4()))
    return text_answer(new_uid(_SUBROOTS[level])) if level in _SUBROOTS else nothing(request)


@routes.get("/tools/default-encoding", doc=_TEXT)
async def get_default_encoding(context: ServerContext, request: Request) -> AnyAnswer:
    """Answer the character set of files that do not name theirs."""
    return text_answer(context.switches.default_encoding)


@routes.put("/tools/default-encoding", doc=_WORD)
async def put_default_encoding(context: ServerContext, request: Request) -> AnyAnswer:
    """Set the character set of files that do not name theirs, until the next start."""
    try:
        context.switches.default_encoding = Encoding(await word_body(request))
    except ValueError:
        raise ParameterOutOfRange from None
    return text_answer(context.switches.default_encoding)


@routes.get("/tools/accepted-transfer-syntaxes", doc=_UIDS)
async def get_accepted_syntaxes(context: ServerContext, request: Request) -> AnyAnswer:
    """Answer the transfer syntaxes that may be received over DICOM."""
    return json_answer(context.switches.accepted_transfer_syntaxes)


@routes.put(
    "/tools/accepted-transfer-syntaxes",
    doc=Doc(body=("application/json", "text/plain"), answer=list[str]),
)
async def put_accepted_syntaxes(context: ServerContext, request: Request) -> AnyAnswer:
    """Set the transfer syntaxes that may be received over DICOM, until the next start.

    The body is a JSON array of patterns with `*` and `?`, or the text of one pattern.
    """
    context.switches.accepted_transfer_syntaxes = matching_syntaxes(_patterns(await request.body()))
    return json_answer(context.switches.accepted_transfer_syntaxes)


def _patterns(body: bytes) -> list[str]:
    """Return the patterns of a body. Raises BadFileFormat for JSON of another kind.

    A plain text is one pattern, also where Orthanc stumbles over what begins like a number.
    """
    try:
        value = decode_json(body, BadFileFormat())
    except BadFileFormat:
        value = body.decode("utf-8", "replace").strip()
    patterns = [value] if isinstance(value, str) else value
    if not isinstance(patterns, list) or not all(isinstance(pattern, str) for pattern in patterns):
        raise BadFileFormat
    return patterns


@routes.get("/tools/accepted-sop-classes", doc=_UIDS)
async def get_accepted_sop_classes(context: ServerContext, request: Request) -> AnyAnswer:
    """Answer the SOP classes that may be received over DICOM."""
    return json_answer(context.switches.accepted_sop_classes)


@routes.get("/tools/unknown-sop-class-accepted", doc=_TEXT)
async def get_unknown_accepted(context: ServerContext, request: Request) -> AnyAnswer:
    """Answer 1 if instances of unknown SOP classes may be received over DICOM, else 0."""
    return text_answer(str(int(context.switches.accepts_unknown_sop_classes)))


@routes.put("/tools/unknown-sop-class-accepted", doc=_WORD)
async def put_unknown_accepted(context: ServerContext, request: Request) -> AnyAnswer:
    """Say whether instances of unknown SOP classes may be received over DICOM, until the next start."""
    context.switches.accepts_unknown_sop_classes = await boolean_body(request)
    return text_answer()


@routes.get("/tools/dicom-conformance", doc=_TEXT)
async def get_conformance(context: ServerContext, request: Request) -> AnyAnswer:
    """Answer the DICOM conformance statement of this server."""
    return text_answer(conformance_statement(context.switches))


@routes.post("/tools/execute-script", doc=_WORD)
async def execute_script(context: ServerContext, request: Request) -> AnyAnswer:
    """Refuse to execute Lua: there is none here."""
    return empty_answer(403)


@routes.post("/tools/reset", doc=Doc(answer="application/json"))
async def reset(context: ServerContext, request: Request) -> AnyAnswer:
    """Start anew in the same process, with the configuration read again."""
    context.ending.restart()
    return _ACCEPTED


@routes.post("/tools/shutdown", doc=Doc(answer="application/json"))
async def shut_down(context: ServerContext, request: Request) -> AnyAnswer:
    """Stop the server in good order."""
    context.ending.stop()
    return _ACCEPTED
