"""A small archive, made as a whole in one hop to a thread, without cursor and side files.

Further hops would cost several times what its few members do.
"""

from pathlib import Path

from msgspec import Struct

from .. import zipfmt
from ..model.errors import CorruptedFile, InexistentFile
from ..storage.area import StorageArea
from .archive_files import write_file
from .archive_pack import PackOptions
from .archive_plan import SMALL_BYTES, SMALL_INSTANCES, ArchivePlan, Member
from .archive_scratch import read_briefly

TINY_INSTANCES = 8
TINY_BYTES = 128 << 10
NEAR_BYTES = 32 << 10
"""So much is read, and compressed, where nothing may take long."""


def is_small(plan: ArchivePlan, options: PackOptions) -> bool:
    """Whether an archive is made as a whole: a small one that holds its instances alone."""
    return _is_within(SMALL_INSTANCES, SMALL_BYTES, plan, options)


def is_tiny(plan: ArchivePlan, options: PackOptions) -> bool:
    """Whether an archive takes no longer than a few hops between threads."""
    return _is_within(TINY_INSTANCES, TINY_BYTES, plan, options)


def _is_within(instances: int, size: int, plan: ArchivePlan, options: PackOptions) -> bool:
    is_bare = options.leaves is None and not options.has_manifest
    return plan.is_whole and is_bare and len(plan.members) <= instances and plan.size <= size


class Whole(Struct, frozen=True, gc=False):
    """The bytes of an archive, and the members that are not in it because their files have vanished."""

    data: bytes
    vanished: tuple[Member, ...]


def make_whole(area: StorageArea, *, plan: ArchivePlan, options: PackOptions) -> Whole:
    """Make an archive. Blocks. Raises CorruptedFile if a file that is stored deflated has lost its end."""
    packed: list[tuple[zipfmt.Entry, bytes]] = []
    vanished: list[Member] = []
    for member in plan.members:
        try:
            stored = _read(area, member)
        except InexistentFile:
            vanished.append(member)
        else:
            packed.append(_pack(plan.path(member), member, stored, options.time))
    return Whole(zipfmt.small_archive(packed), tuple(vanished))


def make_whole_near(area: StorageArea, *, plan: ArchivePlan, options: PackOptions) -> Whole | None:
    """Make an archive of at most 32 KiB, whose files are all in memory, without waiting for a disk.

    None if it is not such a one.
    """
    if plan.size > NEAR_BYTES:
        return None
    packed: list[tuple[zipfmt.Entry, bytes]] = []
    for member in plan.members:
        stored = area.read_near(member.key, _stored_size(member))
        if stored is None:
            return None
        packed.append(_pack(plan.path(member), member, stored, options.time))
    return Whole(zipfmt.small_archive(packed), ())


def _stored_size(member: Member) -> int:
    return member.size if member.deflated is None else member.deflated.size


def _read(area: StorageArea, member: Member) -> zipfmt.Buffer:
    """Return the file of a member as it is stored, until the next one is read."""
    size = _stored_size(member)
    if size <= NEAR_BYTES and (stored := area.read_near(member.key, size)) is not None:
        return stored  # which is fewer steps
    blob = area.open(member.key, size)
    if member.deflated is None:
        return read_briefly(blob)
    data = read_briefly(blob, 0, size)
    if len(data) != size:
        raise CorruptedFile
    return data


def _pack(path: str, member: Member, stored: zipfmt.Buffer, time: int) -> tuple[zipfmt.Entry, bytes]:
    if member.deflated is None:
        return zipfmt.compress(path, stored, time, is_compressed=member.is_compressed)
    sizes = {"size": member.size, "compressed_size": len(stored)}
    return zipfmt.deflated_entry(path, time, crc=member.deflated.crc32, **sizes), bytes(stored)


def write_whole(
    area: StorageArea, *, plan: ArchivePlan, options: PackOptions, path: Path, is_synchronous: bool
) -> Whole:
    """Write an archive to a file, `is_synchronous` durably. Safe to repeat. Blocks.

    Raises CannotWriteFile or FullStorage.
    """
    whole = make_whole(area, plan=plan, options=options)
    write_file(path, whole.data, is_synchronous=is_synchronous)
    return whole
