"""A small archive, made as a whole in one hop to a thread, without cursor and side files.

Further hops would cost several times what its few members do.
"""

from pathlib import Path

from msgspec import Struct

from .. import zipfmt
from ..storage.area import StorageArea
from .archive_files import write_file
from .archive_member import Source, open_member
from .archive_pack import Batch, PackedBatch, PackOptions, pack
from .archive_plan import SMALL_BYTES, SMALL_INSTANCES, ArchivePlan, Member

TINY_INSTANCES = 8
TINY_BYTES = 128 << 10


def is_small(plan: ArchivePlan, options: PackOptions) -> bool:
    """Whether an archive is made as a whole: a small one that holds its instances alone."""
    is_bare = options.leaves is None and not options.has_manifest
    if not (plan.is_whole and is_bare) or len(plan.members) > SMALL_INSTANCES:
        return False
    return sum(member.size for member in plan.members) <= SMALL_BYTES


def is_tiny(plan: ArchivePlan, options: PackOptions) -> bool:
    """Whether an archive takes no longer than a few hops between threads."""
    size = sum(member.size for member in plan.members)
    return len(plan.members) <= TINY_INSTANCES and size <= TINY_BYTES and is_small(plan, options)


class Whole(Struct, frozen=True):
    """The bytes of an archive, and the members that are not in it because their files have vanished."""

    data: bytes
    vanished: tuple[Member, ...]


def make_whole(area: StorageArea, *, plan: ArchivePlan, options: PackOptions) -> Whole:
    """Make an archive. Blocks."""
    sources = (
        Source(plan.path(member), open_member(area, member), member.size, member.is_compressed)
        for member in plan.members
    )
    packed = pack(Batch(tuple(sources)), options)
    assert isinstance(packed, PackedBatch)
    chunks: list[bytes] = []
    records: list[bytes] = []
    vanished: list[Member] = []
    offset = 0
    for planned, member in zip(plan.members, packed.members, strict=True):
        if member is None:
            vanished.append(planned)
        else:
            records.append(zipfmt.central_record(member.entry, offset))
            chunks += map(bytes, member.chunks)
            offset += member.size
    size = sum(map(len, records))
    chunks += (*records, zipfmt.end_of_archive(len(records), offset, size))
    return Whole(b"".join(chunks), tuple(vanished))


def write_whole(
    area: StorageArea, *, plan: ArchivePlan, options: PackOptions, path: Path, is_synchronous: bool
) -> Whole:
    """Write an archive to a file, `is_synchronous` durably. Safe to repeat. Blocks.

    Raises CannotWriteFile or FullStorage.
    """
    whole = make_whole(area, plan=plan, options=options)
    write_file(path, whole.data, is_synchronous=is_synchronous)
    return whole
