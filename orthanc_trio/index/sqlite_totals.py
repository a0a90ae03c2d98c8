"""Counts and sizes of a resource with all its descendants.

A chain of joins for each level below: a recursive search for all of them costs six times as much.
"""

from collections.abc import Iterator, Sequence

from ..model.resource import ResourceLevel, Statistics
from .sqlite_connection import Statements


def _chains(level: ResourceLevel) -> Iterator[tuple[ResourceLevel, str]]:
    """Yield each level from `level` down, with the tables from the one resource to all those of the level."""
    top = level.name.lower()
    tables = f"resources AS {top}"
    for below in ResourceLevel:
        if below > level:
            up, down = ResourceLevel(below - 1).name.lower(), below.name.lower()
            tables += f" CROSS JOIN resources AS {down} ON {down}.parent = {up}.row"
        if below >= level:
            yield below, tables


def _counts(level: ResourceLevel) -> str:
    return " UNION ALL ".join(
        f"SELECT {int(below)}, count(*) FROM {tables} WHERE {level.name}.row = ?1"
        for below, tables in _chains(level)
    )


def _sizes(level: ResourceLevel) -> str:
    return " UNION ALL ".join(
        f"SELECT coalesce(sum(size), 0), coalesce(sum(uncompressed_size), 0) FROM {tables}"
        f" CROSS JOIN attachments ON attachments.row = {below.name}.row"
        f" WHERE {level.name}.row = ?1 AND attachments.type = coalesce(?2, attachments.type)"
        for below, tables in _chains(level)
    )


_COUNTS = {level: _counts(level) for level in ResourceLevel}
_SIZES = {level: _sizes(level) for level in ResourceLevel}


def load_totals(sql: Statements, row: int, level: ResourceLevel, attachment_type: int | None) -> Statistics:
    """Return the totals of the resource of `row`, which is of `level`; sizes of one type or all."""
    counts = {level: 1} if level is ResourceLevel.INSTANCE else dict(sql.all(_COUNTS[level], (row,)))
    sizes = map(sum, zip(*sql.all(_SIZES[level], (row, attachment_type)), strict=True))
    return statistics([*(counts.get(int(each), 0) for each in ResourceLevel), *sizes])


def statistics(numbers: Sequence[int]) -> Statistics:
    """Return statistics from their numbers, in the order of the fields."""
    patients, studies, series, instances, disk_size, uncompressed_size = numbers
    return Statistics(
        patients=patients,
        studies=studies,
        series=series,
        instances=instances,
        disk_size=disk_size,
        uncompressed_size=uncompressed_size,
    )
