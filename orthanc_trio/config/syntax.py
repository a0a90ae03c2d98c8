"""The text of a configuration file: JSON with comments, trailing commas and variables of the environment.

What is accepted beyond JSON cannot hide a mistake: unquoted names, single quotes, hexadecimal numbers and
unknown escapes, which JSON5 allows, are refused with their line (in JSON5 "C:\\data" would become "C:data").
"""

import json
import re
from collections.abc import Mapping
from typing import Any, NoReturn

from msgspec import Struct

from ..model.errors import BadFileFormat

_VARIABLE = re.compile(r"""\$\{(?P<name>\w+)(?::-(?P<quote>["']?)(?P<default>[^{}]*?)(?P=quote))?\}""")
_STRING = r'"(?:[^"\\]|\\.)*"'
_COMMENT = re.compile(rf"(?P<string>{_STRING})|//[^\n]*|/\*.*?\*/", re.DOTALL)
_TRAILING_COMMA = re.compile(rf"(?P<string>{_STRING})|,(?=\s*[}}\]])", re.DOTALL)


class Document(Struct, frozen=True):
    """The object in one configuration file; of a repeated name the last value holds."""

    values: dict[str, Any]
    repeated: tuple[str, ...]


def decode(text: str, environment: Mapping[str, str]) -> Document:
    """Return the object that `text` holds. Raises BadFileFormat with the line and the column."""
    text = _VARIABLE.sub(lambda match: _value(match, environment), text)
    text = _TRAILING_COMMA.sub(_blank, _COMMENT.sub(_blank, text))
    repeated: list[str] = []

    def collect(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        names = [name for name, _ in pairs]
        repeated.extend(sorted({name for name in names if names.count(name) > 1}))
        return dict(pairs)

    try:
        values = json.loads(text, object_pairs_hook=collect, parse_constant=_refuse)
    except json.JSONDecodeError as error:
        raise BadFileFormat(f"line {error.lineno}, column {error.colno}: {error.msg}") from None
    except RecursionError:
        raise BadFileFormat("too many levels") from None
    if not isinstance(values, dict):
        raise BadFileFormat("a configuration file must contain one JSON object")
    return Document(values, tuple(repeated))


def _value(match: re.Match[str], environment: Mapping[str, str]) -> str:
    # An empty variable is set: only a missing one takes the default.
    return environment.get(match["name"], match["default"] or "")


def _blank(match: re.Match[str]) -> str:
    """Keep strings; replace the rest by spaces, so that lines and columns of errors stay right."""
    return match["string"] or re.sub(r"[^\n]", " ", match[0])


def _refuse(constant: str) -> NoReturn:
    raise BadFileFormat(f"{constant} is not a number")
