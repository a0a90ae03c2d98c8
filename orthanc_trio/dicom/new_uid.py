"""New unique identifiers. Source: PS3.5 §9 and Annex B.2."""

from typing import Final
from uuid import UUID, uuid4

ROOT: Final = "1.2.276.0.7230010.3.1"
"""Where Orthanc puts what it generates, so that clients that look for it find it."""


def new_uid(subroot: int) -> str:
    """Return an identifier that no one has, of at most 64 characters. `subroot` has one digit."""
    return f"{ROOT}.{subroot}.{uuid4().int}"


def uid_of(uuid: UUID) -> str:
    """Return the UID that a UUID is, below the root that needs no registration. Source: PS3.5 Annex B.2."""
    return f"2.25.{uuid.int}"
