"""The facts of resources: as many queries for a page as for one resource."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

import msgspec

from ..model.resource import Attachment, AttachmentType, Facts, Metadata, ResourceLevel
from .sqlite_connection import LEVELS, Statements, as_json
from .transaction import MainTags

K = TypeVar("K")
T = TypeVar("T")

_decode_tags = msgspec.json.Decoder(dict[str, str]).decode
_decode_metadata = msgspec.json.Decoder(dict[int, str]).decode

# CROSS JOIN keeps the short list outside and the big table inside. The metadata of a resource come as one
# JSON text, because a row costs more on its way to Python than a member of an object.
_RESOURCES = """
    SELECT r.row, r.level, r.id, r.tags, r.is_protected, r.patient_tags, up.id,
        (SELECT json_group_object(m.type, m.value) FROM metadata AS m WHERE m.row = r.row)
    FROM json_each(?) AS wanted CROSS JOIN resources AS r ON r.id = wanted.value
    LEFT JOIN resources AS up ON up.row = r.parent
    ORDER BY wanted.key"""
_TAGS = """
    SELECT r.id, r.tags, r.patient_tags
    FROM json_each(?) AS wanted CROSS JOIN resources AS r ON r.id = wanted.value"""
_LABELS = """
    SELECT l.row, l.label
    FROM json_each(?) AS wanted CROSS JOIN labels AS l ON l.row = wanted.value
    ORDER BY l.row, l.label"""
_CHILDREN = f"""
    SELECT child.parent, child.id, number.value
    FROM json_each(?) AS wanted CROSS JOIN resources AS child ON child.parent = wanted.value
    LEFT JOIN metadata AS number ON number.row = child.row AND number.type = {int(Metadata.INDEX_IN_SERIES)}
    ORDER BY child.parent, child.id"""
_FILES = f"""
    SELECT a.row, a.type, a.uuid, a.size, a.uncompressed_size, a.compression, a.md5, a.uncompressed_md5,
        a.crc32, a.revision
    FROM json_each(?) AS wanted
    CROSS JOIN attachments AS a ON a.row = wanted.value AND a.type = {int(AttachmentType.DICOM)}"""


_ATTACHMENTS = """
    SELECT r.id, a.type, a.uuid, a.size, a.uncompressed_size, a.compression, a.md5, a.uncompressed_md5,
        a.crc32, a.revision
    FROM json_each(?) AS wanted CROSS JOIN resources AS r ON r.id = wanted.value
    CROSS JOIN attachments AS a ON a.row = r.row
    ORDER BY r.row, a.type"""


def attachment(columns: Sequence[Any]) -> Attachment:
    """Return an attachment from its columns, in the order of the table."""
    type, uuid, size, uncompressed_size, compression, md5, uncompressed_md5, crc32, revision = columns
    return Attachment(
        type=type,
        uuid=uuid,
        size=size,
        uncompressed_size=uncompressed_size,
        compression=compression,
        md5=md5,
        uncompressed_md5=uncompressed_md5,
        crc32=crc32,
        revision=revision,
    )


class _Details:
    """Children, labels and files, by row."""

    def __init__(self, sql: Statements, rows: Sequence[int], instances: Sequence[int]) -> None:
        wanted = (as_json(rows),)
        children = sql.all(_CHILDREN, wanted)
        self.children = _grouped((parent, id) for parent, id, _ in children)
        self.indexes = _grouped((parent, index) for parent, _, index in children)
        self.labels = _grouped(sql.all(_LABELS, wanted))
        files = sql.all(_FILES, (as_json(instances),)) if instances else []
        self.files = {columns[0]: attachment(columns[1:]) for columns in files}


def load_facts(sql: Statements, ids: Sequence[str]) -> list[Facts]:
    """Return the facts of the resources of `ids` that exist, in this order."""
    found = sql.all(_RESOURCES, (as_json(ids),))
    instances = [columns[0] for columns in found if columns[1] == ResourceLevel.INSTANCE]
    details = _Details(sql, [columns[0] for columns in found], instances)
    return [_facts(columns, details) for columns in found]


def load_tags(sql: Statements, ids: Sequence[str]) -> dict[str, MainTags]:
    """Return the tags of the resources of `ids` that exist."""
    return {
        id: MainTags(_decode_tags(own), {} if patient is None else _decode_tags(patient))
        for id, own, patient in sql.all(_TAGS, (as_json(ids),))
    }


def load_attachments(sql: Statements, ids: Sequence[str]) -> dict[str, list[Attachment]]:
    """Return the attachments of the resources of `ids` that have some."""
    found = sql.all(_ATTACHMENTS, (as_json(dict.fromkeys(ids)),))
    return dict(_grouped((columns[0], attachment(columns[1:])) for columns in found))


def _facts(columns: Sequence[Any], details: _Details) -> Facts:
    row, level, id, tags, is_protected, patient_tags, parent, metadata = columns
    return Facts(
        level=LEVELS[level],
        id=id,
        parent=parent,
        tags=_decode_tags(tags),
        metadata=_decode_metadata(metadata),
        children=tuple(details.children[row]),
        labels=tuple(details.labels[row]),
        patient_tags=None if patient_tags is None else _decode_tags(patient_tags),
        indexes_in_series=tuple(details.indexes[row]) if level == ResourceLevel.SERIES else (),
        dicom=details.files.get(row),
        is_protected=bool(is_protected),
    )


def _grouped(pairs: Iterable[tuple[K, T]]) -> defaultdict[K, list[T]]:
    groups: defaultdict[K, list[T]] = defaultdict(list)
    for key, value in pairs:
        groups[key].append(value)
    return groups
