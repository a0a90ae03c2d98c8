"""Typed arguments of the URL, with the errors that Orthanc gives. Source: the Orthanc Book, "REST API"."""

import re

from ..model.errors import BadParameterType, BadRequest, ParameterOutOfRange
from .wire import Request

_NUMBER = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")
_BOOLEANS = {"": True, "1": True, "true": True, "0": False, "false": False}


def flag(request: Request, name: str, *, default: bool = False) -> bool:
    """Return a boolean argument: absent is the default, empty is true. Raises ParameterOutOfRange."""
    text = request.query.get(name)
    if text is None:
        return default
    if text not in _BOOLEANS:
        raise ParameterOutOfRange(f'Expected a Boolean for GET argument "{name}", found: {text}')
    return _BOOLEANS[text]


def page(request: Request) -> tuple[int, int | None]:
    """Return `since` and `limit` (None for all), which come together or not at all.

    Raises BadRequest if one is missing, BadParameterType if one is no number, ParameterOutOfRange if
    negative.
    """
    query = request.query
    if "since" not in query and "limit" not in query:
        return 0, None
    for name in ("limit", "since"):
        if name not in query:
            raise BadRequest(f'Missing "{name}" argument for GET request against: {request.path}/')
    since, limit = _integer(query["since"]), _integer(query["limit"])
    if since < 0 or limit < 0:
        raise ParameterOutOfRange("since and limit cannot be negative")
    return since, limit or None


def _integer(text: str) -> int:
    try:
        return int(text)
    except ValueError as error:
        raise BadParameterType("Syntax error in some user-supplied data") from error


def number(request: Request, name: str) -> float:
    """Return an argument that is there and must be a number, not negative. Raises ParameterOutOfRange."""
    text = request.query[name]
    if not _NUMBER.fullmatch(text):
        raise ParameterOutOfRange(f'Expected a number for GET argument "{name}", found: {text}')
    return float(text)
