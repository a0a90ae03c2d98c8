"""The identity of instances that are made of others."""

from uuid import NAMESPACE_OID, uuid5

from .new_uid import uid_of
from .transfer_syntax import find_syntax


def derived_uid(uid: str, syntax: str, quality: int) -> str:
    """Return the SOP Instance UID that instance `uid` has once it is transcoded, each time the same.

    Only a loss makes it another instance.
    """
    target = find_syntax(syntax)
    if target is None or not target.is_lossy:
        return uid
    return uid_of(uuid5(NAMESPACE_OID, f"{uid} {syntax} {quality}"))
