"""Errors as answers. Source: the Orthanc Book, "List of error codes"; the body is part of the wire format.

The text of an unexpected exception stays in the log: it may name files or hold data of patients.
"""

import http
import json
import logging
from typing import Any

from ..model.error_code import ErrorCode
from ..model.errors import BadRange, InternalError, OrthancError, PayloadTooLarge
from .wire import TEXT, Answer, Request

_UNHANDLED = "An unhandled exception was generated inside the HTTP server"
# Python renamed these with RFC 9110, clients know the older phrases.
_OLDER_PHRASES = {
    413: "Request Entity Too Large",
    416: "Requested Range Not Satisfiable",
    422: "Unprocessable Entity",
}

_PLAIN_JSON = "application/json"

_log = logging.getLogger(__name__)


class UnsatisfiableRange(BadRange):
    """A part that a file does not have; the answer tells the size of the whole, in bytes."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size


class Refused(OrthancError):
    """An answer that is empty in Orthanc: the status is the same, the body says why, as JSON."""

    code = ErrorCode.BAD_SEQUENCE_OF_CALLS

    def __init__(self, details: str, *, method: str) -> None:
        super().__init__(details)
        self._status = 400 if method == "POST" else 404
        if method != "POST":
            self.code = ErrorCode.INEXISTENT_ITEM  # type: ignore[misc]  # of this answer, not of the class

    @property
    def http_status(self) -> int:
        """What Orthanc answers when a handler has nothing to say."""
        return self._status


def exception_answer(error: Exception, request: Request, *, describe: bool) -> Answer:
    """Answer whatever a handler raised."""
    cause = _cause(error)
    if not isinstance(cause, OrthancError):
        _log.error("%s %r failed", request.method, request.path, exc_info=cause)
        cause = InternalError(_UNHANDLED)
    elif cause.code is ErrorCode.INTERNAL_ERROR:
        _log.error("%s %r failed", request.method, request.path, exc_info=cause)
    return error_answer(cause, request, describe=describe)


def _cause(error: Exception) -> Exception:
    """Return what went wrong inside the groups that nurseries make: the unexpected first."""
    if not isinstance(error, ExceptionGroup):
        return error
    causes = [_cause(inner) for inner in error.exceptions]
    return next((cause for cause in causes if not isinstance(cause, OrthancError)), causes[0])


def error_answer(error: OrthancError, request: Request, *, describe: bool) -> Answer:
    """Answer an error; without `describe`, and to a body that is too large, the answer is empty."""
    status = error.http_status
    headers = (_whole_size(error.size),) if isinstance(error, UnsatisfiableRange) else ()
    if not describe or isinstance(error, PayloadTooLarge):
        return empty_answer(status, *headers)
    description = error.code.description
    content: dict[str, Any] = {
        "HttpError": _phrase(status),
        "HttpStatus": status,
        "Message": description,
        "Method": request.method,
        "OrthancError": description,
        "OrthancStatus": int(error.code),
        "Uri": request.path,
    }
    if error.details:
        content["Details"] = error.details
    if error.payload is not None:
        content["ErrorPayload"] = error.payload
    text = json.dumps(content, indent="\t", sort_keys=True, separators=(",", " : ")) + "\n"
    media_type = _PLAIN_JSON if isinstance(error, Refused) else TEXT
    return Answer(status=status, body=text.encode("ascii"), media_type=media_type, headers=headers)


def _whole_size(size: int) -> tuple[str, str]:
    return "Content-Range", f"bytes */{size}"


def _phrase(status: int) -> str:
    return _OLDER_PHRASES.get(status) or http.HTTPStatus(status).phrase


def empty_answer(status: int, *headers: tuple[str, str]) -> Answer:
    """Answer a status and no body."""
    return Answer(status=status, media_type=None, headers=headers)
