"""The bytes of small archives: wherever the files are read from, and whatever has become of them."""

import io
import random
import zipfile
import zlib
from datetime import UTC, datetime

import pytest

from orthanc_trio.kinds.archive_pack import LeafOptions, PackOptions
from orthanc_trio.kinds.archive_plan import ArchivePlan, Deflated, Member
from orthanc_trio.kinds.archive_whole import (
    NEAR_BYTES,
    TINY_BYTES,
    TINY_INSTANCES,
    is_small,
    is_tiny,
    make_whole,
    make_whole_near,
)
from orthanc_trio.model.errors import CorruptedFile
from orthanc_trio.storage.area import StorageArea
from orthanc_trio.storage.key import new_key
from orthanc_trio.storage.memory import MemoryArea

OPTIONS = PackOptions(0x58210000)
TEXT, NOISE = b"text " * 300, random.Random(1).randbytes(2000)


class FarArea(MemoryArea):
    """Has nothing at hand."""

    def read_near(self, key: str, size: int) -> bytes | None:
        return None


def add(area: StorageArea, name: str, data: bytes, *, is_deflated: bool = False) -> Member:
    key = new_key()
    stored = zlib.compress(data, wbits=-15) if is_deflated else data
    area.create(key, stored)
    deflated = Deflated(len(stored), zlib.crc32(data)) if is_deflated else None
    return Member(0, name, key, len(data), is_compressed=data is NOISE, id=name, deflated=deflated)


def plan_of(*members: Member) -> ArchivePlan:
    return ArchivePlan(("folder/",), members)


def contents(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name) for name in archive.namelist()}


def fill(area: StorageArea) -> ArchivePlan:
    return plan_of(
        add(area, "a", TEXT),
        add(area, "b", NOISE),
        add(area, "é", TEXT, is_deflated=True),
        add(area, "empty", b""),
    )


@pytest.mark.parametrize("area", [MemoryArea(), FarArea()], ids=["near", "far"])
def test_the_files_come_back_with_their_names(area: StorageArea) -> None:
    whole = make_whole(area, plan=fill(area), options=OPTIONS)
    expected = {"folder/a": TEXT, "folder/b": NOISE, "folder/é": TEXT, "folder/empty": b""}
    assert contents(whole.data) == expected
    assert whole.vanished == ()


def test_an_archive_of_near_files_is_the_same() -> None:
    area = MemoryArea()
    plan = fill(area)
    assert make_whole_near(area, plan=plan, options=OPTIONS) == make_whole(area, plan=plan, options=OPTIONS)


def test_nothing_is_made_of_files_that_are_far() -> None:
    area = FarArea()
    assert make_whole_near(area, plan=fill(area), options=OPTIONS) is None


def test_what_has_vanished_is_not_near() -> None:
    area = MemoryArea()
    there, gone = add(area, "there", TEXT), add(area, "gone", TEXT)
    area.delete(gone.key)
    plan = plan_of(gone, there)
    assert make_whole_near(area, plan=plan, options=OPTIONS) is None
    whole = make_whole(area, plan=plan, options=OPTIONS)
    assert (contents(whole.data), whole.vanished) == ({"folder/there": TEXT}, (gone,))


@pytest.mark.parametrize("excess", [0, 1])
def test_only_little_is_made_of_near_files(excess: int) -> None:
    area = MemoryArea()
    plan = plan_of(add(area, "a", bytes(NEAR_BYTES - 1)), add(area, "b", bytes(1 + excess)))
    made = make_whole_near(area, plan=plan, options=OPTIONS)
    assert (made is None) == bool(excess)


@pytest.mark.parametrize("size", [100, 2 * NEAR_BYTES])
def test_a_stream_that_has_lost_its_end_is_corrupted(size: int) -> None:
    area = MemoryArea()
    member = add(area, "a", random.Random(2).randbytes(size), is_deflated=True)
    assert member.deflated is not None
    stored = area.content(member.key)
    area.delete(member.key)
    area.create(member.key, stored[:-1])
    assert make_whole_near(area, plan=plan_of(member), options=OPTIONS) is None
    with pytest.raises(CorruptedFile):
        make_whole(area, plan=plan_of(member), options=OPTIONS)


def test_a_file_of_another_size_goes_in_as_it_is() -> None:
    area = MemoryArea()
    member = add(area, "a", TEXT)
    area.delete(member.key)
    area.create(member.key, TEXT + b"more")
    assert make_whole_near(area, plan=plan_of(member), options=OPTIONS) is None
    whole = make_whole(area, plan=plan_of(member), options=OPTIONS)
    assert contents(whole.data) == {"folder/a": TEXT + b"more"}


def test_what_is_tiny_and_what_is_small() -> None:
    def is_what(count: int, size: int, options: PackOptions = OPTIONS) -> tuple[bool, bool]:
        plan = plan_of(*[Member(0, "a", "", size, is_compressed=False)] * count)
        return is_tiny(plan, options), is_small(plan, options)

    assert is_what(TINY_INSTANCES, TINY_BYTES // TINY_INSTANCES) == (True, True)
    assert is_what(TINY_INSTANCES + 1, 1) == (False, True)
    assert is_what(1, TINY_BYTES + 1) == (False, True)
    assert is_what(65, 1) == (False, False)
    assert is_what(1, (4 << 20) + 1) == (False, False)
    assert is_what(1, 1, PackOptions(0, has_manifest=True)) == (False, False)
    assert is_what(
        1, 1, PackOptions(0, LeafOptions(is_extended=False, now=datetime(2026, 1, 1, tzinfo=UTC)))
    ) == (False, False)
    assert not is_small(ArchivePlan(is_whole=False), OPTIONS)
