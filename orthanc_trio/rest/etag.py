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
    text = request.headers.get("if-match")
    return None if text is None else _revision(text, "if-match")


def is_known(request: Request, revision: Revision) -> bool:
    """Tell whether the client has a revision already. Raises ParameterOutOfRange if one is malformed."""
    text = request.headers.get("if-none-match")
    return text is not None and revision in [_revision(one, "If-None-Match") for one in text.split(",")]


def _revision(text: str, shown: str) -> Revision:
    found = _ETAG.fullmatch(text)
    if found is None:
        raise ParameterOutOfRange(
            f'The "{shown}" HTTP header should contain the ETag (revision followed by MD5 hash),'
            f" but found: {text}"
        )
    return Revision(int(found[1]), found[2].lower())
