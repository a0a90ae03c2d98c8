"""Revisions, so that nobody changes what is no longer there. Source: the Orthanc Book, "Revisions"."""

from msgspec import Struct

from ..model.errors import BadRevision


class Revision(Struct, frozen=True):
    """What a client believes something to be: its revision, and the MD5 of its content in hexadecimal."""

    number: int
    md5: str


def check_revision(found: Revision, expected: Revision | None, *, is_required: bool) -> None:
    """Raise BadRevision if a client expects another revision, or (`is_required`) does not say which."""
    if is_required if expected is None else expected != found:
        raise BadRevision
