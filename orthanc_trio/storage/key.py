"""Keys of files: how they are made, and what is one. No other text ever becomes part of a path."""

import re
from uuid import uuid4

_KEY = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)


def new_key() -> str:
    """Return a key that was never used: a random UUID in lower case."""
    return str(uuid4())


def is_key(text: str) -> bool:
    """Return whether `text` has the form of a key."""
    return _KEY.fullmatch(text) is not None


def check_key(text: str) -> str:
    """Return `text` if it is a key. Raises ValueError: a caller that makes up keys is a bug."""
    if _KEY.fullmatch(text) is None:
        raise ValueError("Not a key of the storage area")
    return text
