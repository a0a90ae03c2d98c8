"""The first instance of a resource, whose tags stand for those of all: who joins them gets the same."""

from typing import Any, Final

from msgspec import Struct

from ..dicom.module import MODULES
from ..dicom.render import Format
from ..index.index import Index
from ..index.transaction import ReadTransaction
from ..model.resource import Facts, ResourceLevel
from .tags import TagReader

_UNLIMITED: Final = frozenset(int(tag[:4] + tag[5:], 16) for module in MODULES.values() for tag in module)
"""The tags that belong to a level; their values are read whatever their length."""


class Exemplar(Struct, frozen=True):
    """A resource: its level, and the tags of its first instance, `gggg,eeee` -> value."""

    level: ResourceLevel
    tags: dict[str, Any]


async def exemplar_of(index: Index, reader: TagReader, id: str) -> Exemplar | None:
    """Return what stands for a resource, None if it does not exist. Raises as `TagReader.tags`."""
    found = await index.read(lambda tx: _find(tx, id))
    if found is None:
        return None
    level, instance = found
    return Exemplar(level, await reader.tags(instance, format=Format.SHORT, unlimited=_UNLIMITED))


def _find(tx: ReadTransaction, id: str) -> tuple[ResourceLevel, Facts] | None:
    row = tx.find(id)
    if row is None:
        return None
    instances = tx.descendants(id, ResourceLevel.INSTANCE)
    facts = tx.facts(instances[0] if instances else id, ResourceLevel.INSTANCE)
    return None if facts is None else (row.level, facts)
