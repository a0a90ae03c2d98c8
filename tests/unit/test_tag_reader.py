"""Reading the tags of stored instances, and what is kept of them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from orthanc_trio.dicom.dictionary import STANDARD
from orthanc_trio.dicom.render import Format
from orthanc_trio.model.errors import BadFileFormat, UnknownResource
from orthanc_trio.model.resource import Attachment, AttachmentType, Facts, Metadata, ResourceLevel
from orthanc_trio.services import tags
from orthanc_trio.services.switches import Switches
from orthanc_trio.services.tags import TagReader
from orthanc_trio.storage.memory import MemoryArea
from tests.support.dicom import make_instance
from tests.support.storage import opened_storage

KEYS = [f"{number:08}-0000-4000-8000-000000000000" for number in range(3)]


def facts_of(number: int, size: int, offset: str | None = None) -> Facts:
    key = KEYS[number]
    file = Attachment(type=AttachmentType.DICOM, uuid=key, size=size, uncompressed_size=size)
    metadata = {} if offset is None else {int(Metadata.PIXEL_DATA_OFFSET): offset}
    return Facts(level=ResourceLevel.INSTANCE, id=key, parent="s", tags={}, metadata=metadata, dicom=file)


@asynccontextmanager
async def open_reader(*names: str) -> AsyncIterator[tuple[TagReader, MemoryArea, int]]:
    """A reader of files of one size, under KEYS."""
    area, size = MemoryArea(), 0
    for key, name in zip(KEYS, names, strict=False):
        data = make_instance(patient_name=name)
        area.create(key, data)
        size = len(data)
    async with opened_storage(area) as storage:
        yield TagReader(storage, switches=Switches(), dictionary=STANDARD), area, size


async def test_what_was_read_once_is_kept() -> None:
    async with open_reader("One") as (reader, area, size):
        first = await reader.encoded(facts_of(0, size), Format.HUMAN)
        area.delete(KEYS[0])
        assert await reader.encoded(facts_of(0, size), Format.HUMAN) is first
        assert b'"One"' in first


async def test_no_more_is_kept_than_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    async with open_reader("One", "Two", "Six") as (reader, _, size):
        first = await reader.encoded(facts_of(0, size), Format.FULL)
        monkeypatch.setattr(tags, "CACHE_BYTES", 2 * len(first))
        second = await reader.encoded(facts_of(1, size), Format.FULL)
        assert await reader.encoded(facts_of(0, size), Format.FULL) is first
        await reader.encoded(facts_of(2, size), Format.FULL)
        assert await reader.encoded(facts_of(0, size), Format.FULL) is first
        assert await reader.encoded(facts_of(1, size), Format.FULL) is not second


@pytest.mark.parametrize("offset", [None, "no number", "999999999999", "9" * 40, ""])
async def test_a_file_is_read_also_if_the_place_of_its_pixels_is_not_known(offset: str | None) -> None:
    async with open_reader("One") as (reader, _, size):
        shown = await reader.tags(facts_of(0, size, offset), format=Format.HUMAN)
        assert shown["PatientName"] == "One"
        assert "PixelData" in shown


async def test_a_file_that_is_too_large_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    async with open_reader("One") as (reader, _, size):
        monkeypatch.setattr(tags, "MAX_READ_BYTES", 100)
        with pytest.raises(BadFileFormat):
            await reader.tags(facts_of(0, size))


async def test_an_instance_without_a_file_has_no_tags() -> None:
    async with open_reader() as (reader, _, _):
        facts = Facts(level=ResourceLevel.INSTANCE, id="x", parent="s", tags={}, metadata={})
        with pytest.raises(UnknownResource):
            await reader.encoded(facts, Format.HUMAN)
