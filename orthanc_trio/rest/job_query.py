"""Filters of jobs as they come in a URL or in a body, and cursors as clients carry them from page to page."""

import base64
import binascii
from collections.abc import Mapping, Set
from datetime import UTC, datetime
from typing import Any

import msgspec
from msgspec import Struct

from ..model.errors import BadFileFormat, ParameterOutOfRange
from ..model.job import JobState
from ..services.job_filter import KEY_TYPES, ORDERS, JobFilter, JobOrder, SortKey

ARGUMENTS = frozenset(
    {"state", "type", "destination", "resource", "since", "until", "order", "limit", "cursor"}
)
"""The arguments of `GET /jobs` that make it more than the list that Orthanc has."""
MEMBERS = {name.capitalize(): name for name in ("state", "type", "destination", "resource", "since", "until")}
"""The members of a body, with the arguments that mean the same."""

_STATES = {state.value: state for state in JobState}
_MAX_LIMIT_DIGITS = 9
_MAX_CURSOR_LENGTH = 512


class _Cursor(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    order: str
    key: tuple[int | str, ...]


def filter_of_query(query: Mapping[str, str], kinds: Set[str]) -> JobFilter:
    """Read the filter of a URL; several states or types are separated by commas.

    Raises ParameterOutOfRange for a state or a time that is none, or a type that is not among `kinds`.
    """
    return JobFilter(
        states=_states(query["state"].split(",")) if "state" in query else None,
        kinds=_kinds(query["type"].split(","), kinds) if "type" in query else None,
        destination=query.get("destination"),
        resource=query.get("resource"),
        since=_time(query["since"], "since") if "since" in query else None,
        until=_time(query["until"], "until") if "until" in query else None,
    )


def filter_of_body(body: Mapping[str, Any], kinds: Set[str]) -> JobFilter:
    """Read the filter of a body; `State` and `Type` are a text or a list of texts.

    Raises BadFileFormat for a wrong type, and what `filter_of_query` raises.
    """
    given = {name: _texts(body[member], member) for member, name in MEMBERS.items() if member in body}
    return filter_of_query({name: ",".join(texts) for name, texts in given.items()}, kinds)


def job_ids(body: Mapping[str, Any]) -> list[str] | None:
    """Return the jobs that a body names, each once; None if it names none. Raises BadFileFormat."""
    if "Jobs" not in body:
        return None
    ids = body["Jobs"]
    if not isinstance(ids, list) or not all(isinstance(id, str) for id in ids):
        raise BadFileFormat("List of strings expected in field: Jobs")
    return list(dict.fromkeys(ids))


def order_of_query(query: Mapping[str, str]) -> JobOrder:
    """Read the order, the limit and the cursor of a URL. Raises ParameterOutOfRange."""
    text = query.get("order", "id")
    name = text.removeprefix("-")
    if name not in ORDERS:
        raise ParameterOutOfRange(f"Unknown order of jobs: {text}")
    return JobOrder(
        name=name,
        is_descending=text.startswith("-"),
        after=_decode_cursor(query["cursor"], text) if "cursor" in query else None,
        limit=_limit(query["limit"]) if "limit" in query else None,
    )


def encode_cursor(order: JobOrder, key: SortKey) -> str:
    """Return the text by which a client asks for the part of a list that follows `key`."""
    data = msgspec.json.encode([_order_text(order), key])
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _order_text(order: JobOrder) -> str:
    return f"-{order.name}" if order.is_descending else order.name


def _decode_cursor(text: str, order: str) -> SortKey:
    bad = ParameterOutOfRange("The cursor is not one of this list")
    if len(text) > _MAX_CURSOR_LENGTH:
        raise bad
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        cursor = msgspec.json.decode(data, type=_Cursor)
    except (binascii.Error, ValueError) as error:
        raise bad from error
    if cursor.order != order or tuple(map(type, cursor.key)) != KEY_TYPES[order.removeprefix("-")]:
        raise bad
    return cursor.key


def _states(names: list[str]) -> frozenset[JobState]:
    unknown = next((name for name in names if name not in _STATES), None)
    if unknown is not None:
        raise ParameterOutOfRange(f"Unknown state of jobs: {unknown}")
    return frozenset(_STATES[name] for name in names)


def _kinds(names: list[str], known: Set[str]) -> frozenset[str]:
    unknown = next((name for name in names if name not in known), None)
    if unknown is not None:
        raise ParameterOutOfRange(f"Unknown type of jobs: {unknown}")
    return frozenset(names)


def _time(text: str, name: str) -> datetime:
    try:
        time = datetime.fromisoformat(text)
    except ValueError as error:
        raise ParameterOutOfRange(f'Expected a time in ISO 8601 for "{name}", found: {text}') from error
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time


def _limit(text: str) -> int | None:
    if not (text.isascii() and text.isdigit() and len(text) <= _MAX_LIMIT_DIGITS):
        raise ParameterOutOfRange(f'Expected a number for "limit", found: {text}')
    return int(text) or None


def _texts(value: Any, member: str) -> list[str]:
    values = value if isinstance(value, list) and member in ("State", "Type") else [value]
    if not values or not all(isinstance(item, str) for item in values):
        raise BadFileFormat(f"String value expected in field: {member}")
    return values
