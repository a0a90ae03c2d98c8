"""Revisions in headers: `ETag`, `If-Match` and `If-None-Match`. Source: the Orthanc Book, "Revisions"."""

import re

from ..model.errors import ParameterOutOfRange
from ..services.revision import Revision
from .wire import Request

_ETAG = re.compile(r'\s*"?([0-9]{1,9})-([^"]*)"?\s*')


def etag(revision: Revision) -> tuple[str, str]:
    """Return the header that tells a revision."""
    return "ETag", f'"{revision.number}-{revision.md5}"'


def if_match(request: Request) -> Revision | None:
    """Return the revision that the client wants to change. Raises ParameterOutOfRange if it is malformed."""
    return _revision(request, "if-match", "if-match")


def if_none_match(request: Request) -> Revision | None:
    """Return the revision that the client has already. Raises ParameterOutOfRange if it is malformed."""
    return _revision(request, "if-none-match", "If-None-Match")


def _revision(request: Request, header: str, shown: str) -> Revision | None:
    text = request.headers.get(header)
    if text is None:
        return None
    found = _ETAG.fullmatch(text)
    if found is None:
        raise ParameterOutOfRange(
            f'The "{shown}" HTTP header should contain the ETag (revision followed by MD5 hash),'
            f" but found: {text}"
        )
    return Revision(int(found[1]), found[2].lower())
