"""Answers about jobs without what differs from run to run: as they are recorded, and compared."""

import re
from collections.abc import Mapping
from typing import Any

_FORMS = {
    r"\d{8}T\d{6}(\.\d{6})?": "<time>",
    r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}": "<job>",
    r"(/\w+/)?([0-9a-f]{8}-){4}[0-9a-f]{8}": "<resource>",
    r"2\.25\.\d+|1(\.\d+){6,}": "<uid>",
}
_SIZES = ("ArchiveSize", "EffectiveRuntime")


def normalised(value: Any, ids: Mapping[str, str]) -> Any:
    """Return a value with names in place of times, sizes and identifiers; `ids` are those that are known."""
    if isinstance(value, dict):
        return {
            name: f"<{type(inner).__name__}>" if name in _SIZES else normalised(inner, ids)
            for name, inner in value.items()
        }
    if isinstance(value, list):
        return [normalised(inner, ids) for inner in value]
    if not isinstance(value, str):
        return value
    for name, id in ids.items():
        value = value.replace(id, name)
    return next((form for pattern, form in _FORMS.items() if re.fullmatch(pattern, value)), value)
