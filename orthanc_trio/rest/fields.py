"""JSON bodies: decoded once, then asked for typed members with the errors that Orthanc gives.

Source: the Orthanc Book, "REST API"; the texts are those of the server.
"""

from collections.abc import Mapping
from math import isfinite
from typing import Any

import msgspec
import pyjson5

from ..model.errors import BadFileFormat, OrthancError

_MAX_DEPTH = 64
MAX_VALUES = 1_000_000
"""A body with more values is refused: decoded, each takes up to a hundred times its bytes."""


def decode_json(body: bytes, error: OrthancError) -> Any:
    """Return the value of a JSON body; comments are accepted.

    Raises `error` if it is not JSON, or has more than `MAX_VALUES` values.
    """
    if len(body) > MAX_VALUES and sum(body.count(sign) for sign in (b",", b"[", b"{")) > MAX_VALUES:
        raise error
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        pass  # perhaps JSON with comments, which jsoncpp lets pass
    try:
        return pyjson5.decode(body.decode("utf-8"), maxdepth=_MAX_DEPTH)
    except (pyjson5.Json5Exception, UnicodeDecodeError) as foreign:
        raise error from foreign


class Fields:
    """The members of a JSON object that came in a request; `within` is the path to an inner one."""

    def __init__(self, members: Mapping[str, Any], within: str = "") -> None:
        self._members = members
        self._within = within

    def __contains__(self, name: str) -> bool:
        return name in self._members

    def boolean(self, name: str, default: bool) -> bool:
        """Return a boolean member. Raises BadFileFormat for another type."""
        value = self._members.get(name, default)
        if not isinstance(value, bool):
            raise BadFileFormat(f"Boolean value expected in field: {self._within}{name}")
        return value

    def integer(self, name: str, default: int) -> int:
        """Return an integer member. Raises BadFileFormat for another type, also for a fraction."""
        value = self._members.get(name, default)
        if not isinstance(value, int) or isinstance(value, bool):
            raise BadFileFormat(f"Integer value expected in field: {self._within}{name}")
        return value

    def number(self, name: str, default: float) -> float:
        """Return a finite number. Raises BadFileFormat for another type."""
        value = self._members.get(name, default)
        if not isinstance(value, int | float) or isinstance(value, bool) or not isfinite(value):
            raise BadFileFormat(f"Number value expected in field: {self._within}{name}")
        return float(value)

    def inner(self, name: str) -> "Fields":
        """Return the members of an object in the object. Raises BadFileFormat for another type."""
        value = self._members.get(name)
        if not isinstance(value, dict):
            raise BadFileFormat(f"Object value expected in field: {self._within}{name}")
        return Fields(value, f"{self._within}{name}.")

    def text(self, name: str, default: str) -> str:
        """Return a text member. Raises BadFileFormat for another type."""
        value = self._members.get(name, default)
        if not isinstance(value, str):
            raise BadFileFormat(f"String value expected in field: {self._within}{name}")
        return value

    def texts(self, name: str) -> tuple[str, ...]:
        """Return a list of texts, which must be there. Raises BadFileFormat for anything else."""
        value = self._members.get(name)
        if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
            raise BadFileFormat(f"List of strings expected in field: {self._within}{name}")
        return tuple(value)

    def raw(self, name: str) -> msgspec.Raw | None:
        """Return a member of any type in its encoding, None if it is absent or null."""
        value = self._members.get(name)
        return None if value is None else msgspec.Raw(msgspec.json.encode(value))

    def any(self, name: str) -> Any:
        """Return a member as it is, None if it is absent."""
        return self._members.get(name)
