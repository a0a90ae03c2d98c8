"""JSON bodies: decoded once, then asked for typed members with the errors that Orthanc gives.

Source: the Orthanc Book, "REST API"; the texts are those of the server.
"""

from math import isfinite
from typing import Any, TypeGuard

import msgspec
import pyjson5

from ..model.errors import BadFileFormat, OrthancError

_MAX_DEPTH = 64
MAX_VALUES = 1_000_000
"""A body with more values is refused: decoded, each takes up to a hundred times its bytes."""
_TEXT_ALONE = frozenset({str})


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


class Fields(dict[str, Any]):
    """The members of a JSON object that came in a request."""

    _within = ""
    """The path to an inner object, which errors tell."""

    def boolean(self, name: str, default: bool) -> bool:
        """Return a boolean member. Raises BadFileFormat for another type."""
        value = self.get(name, default)
        if not isinstance(value, bool):
            raise self._wrong("Boolean value", name)
        return value

    def booleans(self, **defaults: bool) -> list[bool]:
        """Return several boolean members. Raises BadFileFormat for the first of another type."""
        values = []
        for name, default in defaults.items():
            value = self.get(name, default)
            if not isinstance(value, bool):
                raise self._wrong("Boolean value", name)
            values.append(value)
        return values

    def integer(self, name: str, default: int) -> int:
        """Return an integer member. Raises BadFileFormat for another type, also for a fraction."""
        value = self.get(name, default)
        if not isinstance(value, int) or isinstance(value, bool):
            raise self._wrong("Integer value", name)
        return value

    def number(self, name: str, default: float) -> float:
        """Return a finite number. Raises BadFileFormat for another type."""
        value = self.get(name, default)
        if not isinstance(value, int | float) or isinstance(value, bool) or not isfinite(value):
            raise self._wrong("Number value", name)
        return float(value)

    def inner(self, name: str) -> "Fields":
        """Return the members of an object in the object. Raises BadFileFormat for another type."""
        value = self.get(name)
        if not isinstance(value, dict):
            raise self._wrong("Object value", name)
        fields = Fields(value)
        fields._within = f"{self._within}{name}."
        return fields

    def text(self, name: str, default: str) -> str:
        """Return a text member. Raises BadFileFormat for another type."""
        value = self.get(name, default)
        if not isinstance(value, str):
            raise self._wrong("String value", name)
        return value

    def texts(self, name: str) -> tuple[str, ...]:
        """Return a list of texts, which must be there. Raises BadFileFormat for anything else."""
        value = self.get(name)
        if not is_texts(value):
            raise self._wrong("List of strings", name)
        return tuple(value)

    def raw(self, name: str) -> msgspec.Raw | None:
        """Return a member of any type in its encoding, None if it is absent or null."""
        value = self.get(name)
        return None if value is None else msgspec.Raw(msgspec.json.encode(value))

    def any(self, name: str) -> Any:
        """Return a member as it is, None if it is absent."""
        return self.get(name)

    def _wrong(self, expected: str, name: str) -> BadFileFormat:
        return BadFileFormat(f"{expected} expected in field: {self._within}{name}")


def is_texts(value: Any) -> TypeGuard[list[str]]:
    """Return whether a JSON value is a list of texts; quick also for very many."""
    return isinstance(value, list) and set(map(type, value)) <= _TEXT_ALONE
