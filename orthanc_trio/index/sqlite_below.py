"""What the descendants of many resources have in common, in one query."""

from collections.abc import Sequence
from typing import Any

import msgspec

from ..model.resource import ResourceLevel
from .query import Key, MetadataKey, TagKey
from .sqlite_connection import LEVELS, Statements, as_json
from .sqlite_find import descent, member

_WANTED = "json_each(?) AS wanted CROSS JOIN resources AS r ON r.id = wanted.value"


def load_values_below(
    sql: Statements, ids: Sequence[str], level: ResourceLevel, key: Key
) -> dict[str, list[str]]:
    """Return the values at `level`, by id."""
    upper = _level_of(sql, ids)
    if upper is None:
        return {}
    tables, where = descent("r.row", upper, level)
    name = f"below_{level.name}"
    arguments: list[Any] = []
    match key:
        case TagKey(_, tag):
            value = member(f"{name}.tags", tag)
        case MetadataKey(type):
            value = f"(SELECT value FROM metadata AS m WHERE m.row = {name}.row AND m.type = ?)"
            arguments.append(type)
    # One row for each resource: see `Select.ids`.
    inner = f"SELECT DISTINCT r.id AS id, {value} AS value FROM {_WANTED} CROSS JOIN {tables} WHERE {where}"
    statement = f"SELECT id, json_group_array(value) FROM ({inner}) WHERE value IS NOT NULL GROUP BY id"
    found = sql.all(statement, (*arguments, as_json(ids)))
    return {id: sorted(msgspec.json.decode(values)) for id, values in found}


def load_counts_below(sql: Statements, ids: Sequence[str], level: ResourceLevel) -> dict[str, int]:
    """Return the numbers of descendants at `level`, by id."""
    upper = _level_of(sql, ids)
    if upper is None:
        return {}
    tables, where = descent("r.row", upper, level)
    statement = f"SELECT r.id, (SELECT count(*) FROM {tables} WHERE {where}) FROM {_WANTED}"
    return dict(sql.all(statement, (as_json(ids),)))


def _level_of(sql: Statements, ids: Sequence[str]) -> ResourceLevel | None:
    """Return the level of the first of `ids` that exists."""
    found = sql.one(f"SELECT r.level FROM {_WANTED} LIMIT 1", (as_json(ids),))
    return LEVELS[found[0]] if found else None
