"""A FindRequest as SQL. Texts from outside are arguments, never part of a statement.

The resource that is searched and the ancestors that are looked at have the names of their levels, `study` and
so on; the tables of keys beside them are `study_keys` and so on. Which table comes first is left to SQLite,
whose choice is good as long as there is an index for some condition.
"""

import re
from collections.abc import Iterator
from typing import Any

from ..dicom.match import Between, Criterion, Equal, Like, OneOf, folded, longest_text
from ..model.resource import ResourceLevel
from .query import Condition, FindRequest, LabelsCondition, LabelsConstraint, MetadataKey, Order, TagKey
from .query import OrderType as Type
from .sqlite_connection import as_json
from .sqlite_keys import KEYS

_MAX_STARS = 2
_TRIGRAM = 3
_MOST_WITHIN = 64
_TEXTS = {table.name: table.texts for table in KEYS.values()}
_LAST_CODE_POINT = 0x10FFFF
_SURROGATES = range(0xD800, 0xE000)
_MAX_OFFSET = (1 << 63) - 1
_AS = {Type.TEXT: "folded({})", Type.INTEGER: "as_integer({})", Type.FLOAT: "as_float({})"}


class Select:
    """The statement of a request while it is put together; `arguments` in the order of their places."""

    def __init__(self, request: FindRequest) -> None:
        self.level = request.level
        self._top = request.level
        self._keys: set[ResourceLevel] = set()
        self._where: list[str] = []
        self._arguments: list[Any] = []
        self._order: list[str] = []
        self._has_driver = bool(request.within)
        for level, id in request.within:
            self._reach(level)
            self._add(f"{level.name}.id = ?", id)
        for condition in request.conditions:
            self._add_condition(condition)
        if request.labels is not None:
            self._add_labels(request.labels)
        for order in request.order:
            self._add_order(order)

    @property
    def has_few(self) -> bool:
        """Whether an index leads to what is searched, and no order is asked for.

        Then it is quicker to sort the identifiers outside, and SQLite is not tempted to walk all resources of
        the level in the order of their identifiers.
        """
        return self._has_driver and not self._order

    def ids(self, since: int, limit: int | None) -> tuple[str, list[Any]]:
        """Return the statement whose one answer is a JSON array of identifiers.

        They are in their order and on their page, unless `has_few`. One row, since each row makes its reader
        take the interpreter lock again.
        """
        inner = f"SELECT {self.level.name}.id AS id {self._body()}"
        if self.has_few:
            return f"SELECT json_group_array(id) FROM ({inner})", self._arguments
        order = ", ".join((*self._order, f"{self.level.name}.id"))
        page = (-1 if limit is None else min(limit, _MAX_OFFSET), min(since, _MAX_OFFSET))
        statement = f"SELECT json_group_array(id) FROM ({inner} ORDER BY {order} LIMIT ? OFFSET ?)"
        return statement, [*self._arguments, *page]

    def count(self) -> tuple[str, list[Any]]:
        """Return the statement that counts the resources."""
        return f"SELECT count(*) {self._body()}", self._arguments

    def _body(self) -> str:
        tables = [f"resources AS {self.level.name}"]
        for upper in _upwards(self.level, self._top):
            lower = ResourceLevel(upper + 1)
            tables.append(f"JOIN resources AS {upper.name} ON {upper.name}.row = {lower.name}.parent")
        for level in sorted(self._keys):
            name = KEYS[level].name
            tables.append(f"JOIN {name} ON {name}.row = {level.name}.row")
        where = list(self._where)
        if not (self._keys and self._has_driver):
            # Else the keys imply the level, and an index on them is the better way in.
            where.append(f"{self.level.name}.level = {int(self.level)}")
        return f"FROM {' '.join(tables)}" + (f" WHERE {' AND '.join(where)}" if where else "")

    def _reach(self, level: ResourceLevel) -> None:
        self._top = min(self._top, level)

    def _add(self, sql: str, *arguments: Any) -> None:
        self._where.append(sql)
        self._arguments.extend(arguments)

    def _add_condition(self, condition: Condition) -> None:
        key = condition.key
        match key:
            case MetadataKey(type):
                value = "value" if condition.is_exact else "folded(value)"
                sql, arguments = compare(value, _given(condition), is_short=False)
                inner = f"SELECT 1 FROM metadata AS m WHERE m.row = {self.level.name}.row AND m.type = ?"
                self._add(f"EXISTS ({inner} AND {sql})", type, *arguments)
            case TagKey(level) if level > self.level:
                self._add(*_below(self.level, condition, key))
            case TagKey(level, tag):
                column = self._column(level, tag)
                if column is not None:
                    # Also where letters are compared exactly: the index finds those that may be it.
                    criterion = folded(condition.criterion)
                    self._has_driver = True
                    if not self._is_told_by_trigrams(column, criterion):
                        sql, arguments = compare(column, criterion)
                        self._add(sql, *arguments)
                if column is None or condition.is_exact:
                    value = self._value(key)
                    sql, arguments = compare(
                        value if condition.is_exact else f"folded({value})", _given(condition)
                    )
                    self._add(sql, *arguments)

    def _is_told_by_trigrams(self, column: str, criterion: Criterion) -> bool:
        """Look among the trigrams of a column, if it has some, for what must be within its text.

        Return whether that is all: what is found meets the criterion.
        """
        name, _, column = column.partition(".")
        texts = _TEXTS[name]
        if texts is None or column not in texts.columns or not isinstance(criterion, Like):
            return False
        within = longest_text(criterion.pattern)[:_MOST_WITHIN]
        # A beginning has an index already; the values have no NUL (`dicom/value.py`).
        if not criterion.pattern.startswith(("*", "?")) or len(within) < _TRIGRAM or "\0" in within:
            return False
        phrase = within.replace('"', '""')
        found = f"SELECT rowid FROM {texts.name} WHERE {texts.name} MATCH ?"
        self._add(f"{name}.row IN ({found})", f'{column} : "{phrase}"')
        return criterion.pattern == f"*{within}*"

    def _column(self, level: ResourceLevel, tag: str) -> str | None:
        """Return the column of keys of a tag, with its table among those that are joined."""
        is_copied = level is ResourceLevel.PATIENT and self.level > level
        level = ResourceLevel.STUDY if is_copied else level
        table = KEYS[level]
        column = (table.patient if is_copied else table.own).get(tag)
        if column is None:
            return None
        self._reach(level)
        self._keys.add(level)
        return f"{table.name}.{column}"

    def _value(self, key: TagKey) -> str:
        """Return the expression of a tag as it is stored."""
        if key.level is ResourceLevel.PATIENT and self.level > key.level:
            self._reach(ResourceLevel.STUDY)
            return member(f"{ResourceLevel.STUDY.name}.patient_tags", key.tag)
        self._reach(key.level)
        return member(f"{key.level.name}.tags", key.tag)

    def _add_labels(self, condition: LabelsCondition) -> None:
        labels, row = as_json(dict.fromkeys(condition.labels)), f"{self.level.name}.row"
        if not condition.labels:
            if condition.constraint is LabelsConstraint.NONE:
                self._add(f"NOT EXISTS (SELECT 1 FROM labels WHERE labels.row = {row})")
            return
        bearing = "SELECT row FROM labels WHERE label IN (SELECT value FROM json_each(?))"
        match condition.constraint:
            case LabelsConstraint.NONE:
                self._add(f"{row} NOT IN ({bearing})", labels)
            case LabelsConstraint.ANY:
                self._has_driver = True
                self._add(f"{row} IN ({bearing})", labels)
            case LabelsConstraint.ALL:
                self._has_driver = True
                all_of_them = f"{bearing} GROUP BY row HAVING count(*) = json_array_length(?)"
                self._add(f"{row} IN ({all_of_them})", labels, labels)

    def _add_order(self, order: Order) -> None:
        match order.key:
            case MetadataKey(type):
                row = f"{self.level.name}.row"
                value = f"(SELECT value FROM metadata AS m WHERE m.row = {row} AND m.type = {int(type)})"
                value = _AS[order.type].format(value)
            case TagKey(level, tag) as key:
                column = self._column(level, tag) if order.type is Type.TEXT else None
                value = column or _AS[order.type].format(self._value(key))
        self._order.append(f"{value} {'DESC' if order.is_descending else 'ASC'} NULLS LAST")


def _given(condition: Condition) -> Criterion:
    return condition.criterion if condition.is_exact else folded(condition.criterion)


def _upwards(level: ResourceLevel, top: ResourceLevel) -> Iterator[ResourceLevel]:
    """Yield the levels above `level`, from the bottom up to `top`."""
    for upper in range(level - 1, top - 1, -1):
        yield ResourceLevel(upper)


def member(json: str, tag: str) -> str:
    """Return the expression of a member of a JSON object that is kept as a blob; `tag` is `gggg,eeee`."""
    assert tag.replace(",", "").isalnum()
    return f"""(CAST({json} AS TEXT) ->> '$."{tag}"')"""


def descent(start: str, upper: ResourceLevel, lower: ResourceLevel) -> tuple[str, str]:
    """Return the tables from the row `start` of a level down to a lower one, and the condition on the first.

    The resources there have the names of their levels with `below_` before.
    """
    levels = [ResourceLevel(level) for level in range(upper + 1, lower + 1)]
    first = f"below_{levels[0].name}"
    tables = f"resources AS {first}"
    for level in levels[1:]:
        name, parent = f"below_{level.name}", f"below_{ResourceLevel(level - 1).name}"
        tables += f" JOIN resources AS {name} ON {name}.parent = {parent}.row"
    return tables, f"{first}.parent = {start}"


def _below(upper: ResourceLevel, condition: Condition, key: TagKey) -> tuple[Any, ...]:
    """Return the condition that a descendant has the value, and its arguments."""
    tables, where = descent(f"{upper.name}.row", upper, key.level)
    name, table = f"below_{key.level.name}", KEYS[key.level]
    column = table.own.get(key.tag)
    if column is not None and not condition.is_exact:
        tables += f" JOIN {table.name} AS keys_below ON keys_below.row = {name}.row"
        value = f"keys_below.{column}"
    else:
        value = member(f"{name}.tags", key.tag)
        value = value if condition.is_exact else f"folded({value})"
    sql, arguments = compare(value, _given(condition))
    return f"EXISTS (SELECT 1 FROM {tables} WHERE {where} AND {sql})", *arguments


def compare(value: str, criterion: Criterion, *, is_short: bool = True) -> tuple[str, list[Any]]:
    """Return the comparison of an expression with a criterion, and its arguments.

    `is_short`: the value has some hundred letters at most.
    """
    match criterion:
        case Equal(text):
            return f"{value} = ?", [text]
        case OneOf(texts):
            return f"{value} IN (SELECT value FROM json_each(?))", [as_json(texts)]
        case Between(low, high):
            return (f"{value} BETWEEN ? AND ?", [low, high]) if high else (f"{value} >= ?", [low])
        case Like(pattern):
            return _like(value, pattern, is_short=is_short)


def _like(value: str, pattern: str, *, is_short: bool) -> tuple[str, list[Any]]:
    # GLOB tries all ways to share a text among the stars; to it, a NUL is the end.
    if pattern.count("*") > _MAX_STARS or "\0" in pattern or not is_short:
        sql, arguments = f"fits(?, {value})", [pattern]
    else:
        sql, arguments = f"{value} GLOB ?", [pattern.replace("[", "[[]")]
    after = _after(prefix := re.split("[*?]", pattern, maxsplit=1)[0])
    if after is not None:
        sql, arguments = f"({value} >= ? AND {value} < ? AND {sql})", [prefix, after, *arguments]
    return sql, arguments


def _after(prefix: str) -> str | None:
    """Return the least text that is greater than all that begin with `prefix`, None if there is none."""
    prefix = prefix.rstrip(chr(_LAST_CODE_POINT))
    if not prefix:
        return None
    following = ord(prefix[-1]) + 1
    return prefix[:-1] + chr(_SURROGATES.stop if following in _SURROGATES else following)
