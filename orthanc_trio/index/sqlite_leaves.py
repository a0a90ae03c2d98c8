"""What an archive asks of the index: series, the numbers of their instances, and the files of some."""

from collections.abc import Sequence
from typing import Any

import msgspec

from ..model.resource import AttachmentType, LeafInstance, Metadata, ResourceLevel, SeriesPath
from .sqlite_connection import Statements, as_json
from .sqlite_facts import attachment
from .transaction import PlacedInstance

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

_PLACED = f"""
    SELECT instance.id, instance.tags, coalesce(syntax.value, ''),
        (SELECT sum(uncompressed_size) FROM attachments WHERE row = instance.row),
        patient.tags, study.tags, series.tags,
        file.type, file.uuid, file.size, file.uncompressed_size, file.compression, file.md5,
        file.uncompressed_md5, file.crc32, file.revision
    FROM resources AS instance
    CROSS JOIN attachments AS file ON file.row = instance.row AND file.type = {int(AttachmentType.DICOM)}
    CROSS JOIN resources AS series ON series.row = instance.parent
    CROSS JOIN resources AS study ON study.row = series.parent
    CROSS JOIN resources AS patient ON patient.row = study.parent
    LEFT JOIN metadata AS syntax
        ON syntax.row = instance.row AND syntax.type = {int(Metadata.TRANSFER_SYNTAX)}
    WHERE instance.id = ? AND instance.level = {int(ResourceLevel.INSTANCE)}"""


class _Tags(msgspec.Struct):
    sop_instance_uid: str = msgspec.field(name="0008,0018", default="")
    instance_number: str | None = msgspec.field(name="0020,0013", default=None)


_decode_tags = msgspec.json.Decoder(_Tags).decode
_decode_all_tags = msgspec.json.Decoder(dict[str, str]).decode


def load_series_paths(sql: Statements, row: int, level: ResourceLevel) -> list[SeriesPath]:
    """Return the series at or below a resource, or the one that an instance belongs to."""
    return sql.all(_PATHS_OF[level], (row,))


def load_numbered(sql: Statements, series: str) -> list[tuple[str, str | None]]:
    """Return the instances of a series with their numbers, by identifier."""
    return [(id, _decode_tags(tags).instance_number) for id, tags in sql.all(_NUMBERED, (series,))]


def load_leaves(sql: Statements, ids: Sequence[str]) -> list[LeafInstance]:
    """Return those of the instances that have a DICOM file, in the order of `ids`."""
    return [_leaf(id, tags, syntax, file) for id, tags, syntax, *file in sql.all(_LEAVES, (as_json(ids),))]


def load_placed(sql: Statements, id: str) -> PlacedInstance | None:
    """Return an instance that has a DICOM file, with what names its place."""
    found = sql.one(_PLACED, (id,))
    if found is None:
        return None
    id, tags, syntax, size, patient, study, series, *file = found
    return PlacedInstance(
        _leaf(id, tags, syntax, file),
        size,
        _decode_all_tags(patient),
        _decode_all_tags(study),
        _decode_all_tags(series),
    )


def _leaf(id: str, tags: bytes, syntax: str, file: Sequence[Any]) -> LeafInstance:
    wanted = _decode_tags(tags)
    return LeafInstance(
        id=id,
        sop_instance_uid=wanted.sop_instance_uid,
        instance_number=wanted.instance_number,
        transfer_syntax=syntax,
        attachment=attachment(file),
    )
