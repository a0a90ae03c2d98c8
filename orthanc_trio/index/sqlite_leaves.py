"""What an archive asks of the index: series, the numbers of their instances, and the files of some."""

from collections.abc import Sequence
from typing import Any

import msgspec

from ..model.resource import AttachmentType, LeafInstance, Metadata, ResourceLevel, SeriesPath
from .sqlite_connection import Statements, as_json
from .sqlite_facts import attachment

# One statement for each level, in which the row that is known is the outermost.
_PATHS = """
    SELECT patient.id, study.id, series.id
    FROM resources AS patient
    JOIN resources AS study ON study.parent = patient.row
    JOIN resources AS series ON series.parent = study.row
    WHERE {level}.row = ?
    ORDER BY patient.id, study.id, series.id"""
_PATHS_OF = {level: _PATHS.format(level=level.name.lower()) for level in ResourceLevel if level < 4}
_PATHS_OF[ResourceLevel.INSTANCE] = _PATHS.format(level="series").replace(
    "= ?", "= (SELECT parent FROM resources WHERE row = ?)"
)
_NUMBERED = """
    SELECT instance.id, instance.tags
    FROM resources AS series JOIN resources AS instance ON instance.parent = series.row
    WHERE series.id = ?
    ORDER BY instance.id"""
_LEAVES = f"""
    SELECT instance.id, instance.tags, coalesce(syntax.value, ''),
        file.type, file.uuid, file.size, file.uncompressed_size, file.compression, file.md5,
        file.uncompressed_md5, file.crc32, file.revision
    FROM json_each(?) AS wanted
    CROSS JOIN resources AS instance
        ON instance.id = wanted.value AND instance.level = {int(ResourceLevel.INSTANCE)}
    CROSS JOIN attachments AS file ON file.row = instance.row AND file.type = {int(AttachmentType.DICOM)}
    LEFT JOIN metadata AS syntax
        ON syntax.row = instance.row AND syntax.type = {int(Metadata.TRANSFER_SYNTAX)}
    ORDER BY wanted.key"""


class _Tags(msgspec.Struct):
    sop_instance_uid: str = msgspec.field(name="0008,0018", default="")
    instance_number: str | None = msgspec.field(name="0020,0013", default=None)


_decode_tags = msgspec.json.Decoder(_Tags).decode


def load_series_paths(sql: Statements, row: int, level: ResourceLevel) -> list[SeriesPath]:
    """Return the series at or below a resource, or the one that an instance belongs to."""
    return sql.all(_PATHS_OF[level], (row,))


def load_numbered(sql: Statements, series: str) -> list[tuple[str, str | None]]:
    """Return the instances of a series with their numbers, by identifier."""
    return [(id, _decode_tags(tags).instance_number) for id, tags in sql.all(_NUMBERED, (series,))]


def load_leaves(sql: Statements, ids: Sequence[str]) -> list[LeafInstance]:
    """Return those of the instances that have a DICOM file, in the order of `ids`."""
    return [_leaf(columns) for columns in sql.all(_LEAVES, (as_json(ids),))]


def _leaf(columns: Sequence[Any]) -> LeafInstance:
    tags = _decode_tags(columns[1])
    return LeafInstance(
        id=columns[0],
        sop_instance_uid=tags.sop_instance_uid,
        instance_number=tags.instance_number,
        transfer_syntax=columns[2],
        attachment=attachment(columns[3:]),
    )
