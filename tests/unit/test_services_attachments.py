"""Attachments that cannot be stored leave no file, and nobody's change is lost."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from orthanc_trio.bus import EventBus
from orthanc_trio.model.errors import BadRevision, FullStorage, InexistentItem
from orthanc_trio.model.resource import Attachment, Compression, ResourceLevel
from orthanc_trio.services.attachments import AttachmentOptions, Attachments
from orthanc_trio.services.limits import StorageLimits
from orthanc_trio.services.revision import Revision
from orthanc_trio.storage.area import StorageArea
from tests.support.dicom import make_instance
from tests.support.services import REST, Services, open_services

STUDY = ResourceLevel.STUDY
MINE = 1024


async def body(*pieces: bytes) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


class Stored:
    """One study, and the service that changes its attachments."""

    def __init__(self, services: Services, id: str, folder: Path, options: AttachmentOptions) -> None:
        self.services = services
        self.id = id
        self._folder = folder
        self.attachments = Attachments(
            services.index,
            services.storage,
            EventBus(),
            settling=services.settling,
            options=options,
            now=lambda: services.time,
        )

    async def put(self, *pieces: bytes, id: str | None = None, expected: Revision | None = None) -> Revision:
        return await self.attachments.store(
            id or self.id, MINE, body(*pieces), content_length=None, expected=expected
        )

    async def check_files(self) -> None:
        """Assert that the files on the disk are those of the attachments that the index knows."""
        await self.services.settling.idle()

        def all_keys() -> set[str]:
            return {path.name for path in (self._folder / "storage").rglob("*") if path.is_file()}

        instances = await self.services.facts(ResourceLevel.INSTANCE)
        known = {facts.dicom.uuid for facts in instances if facts.dicom}
        known |= {each.uuid for each in await self.attachments.all_of(STUDY, self.id)}
        assert all_keys() == known


@asynccontextmanager
async def stored_study(folder: Path, options: AttachmentOptions | None = None) -> AsyncIterator[Stored]:
    async with open_services(folder) as services:
        result = await services.ingest.store(make_instance(), REST)
        yield Stored(services, result.ids.study, folder, options or AttachmentOptions())


async def test_a_body_of_any_number_of_pieces_is_one_attachment(tmp_path: Path) -> None:
    async with stored_study(tmp_path) as stored:
        assert (await stored.put(b"a", b"", b"bc")).number == 0
        found = await stored.attachments.one_of(STUDY, stored.id, MINE)
        assert await stored.services.content(found) == b"abc"
        await stored.check_files()


async def test_a_replaced_and_a_removed_file_leave_the_disk(tmp_path: Path) -> None:
    async with stored_study(tmp_path) as stored:
        for number in range(3):
            assert (await stored.put(b"x" * number)).number == number
        await stored.check_files()
        await stored.attachments.remove(stored.id, MINE, None)
        await stored.check_files()


async def test_what_cannot_be_attached_leaves_no_file(tmp_path: Path) -> None:
    limits = StorageLimits(bytes=5000)
    async with stored_study(tmp_path, AttachmentOptions(limits=limits)) as stored:
        await stored.put(b"first")
        with pytest.raises(InexistentItem):
            await stored.put(b"x", id="none")
        with pytest.raises(BadRevision):
            await stored.put(b"x", expected=Revision(1, "wrong"))
        with pytest.raises(FullStorage):
            await stored.put(b"x" * 5000)
        found = await stored.attachments.one_of(STUDY, stored.id, MINE)
        assert (found.revision, await stored.services.content(found)) == (0, b"first")
        await stored.check_files()


async def test_recoding_gives_way_to_who_replaces_the_file_meanwhile(tmp_path: Path) -> None:
    async with stored_study(tmp_path) as stored:
        await stored.put(b"old")
        old = await stored.attachments.one_of(STUDY, stored.id, MINE)
        await stored.put(b"new")

        def write_late(area: StorageArea, key: str) -> Attachment:
            area.create(key, b"late")
            return Attachment(type=MINE, uuid=key, size=4, uncompressed_size=4)

        with pytest.raises(BadRevision):
            await stored.attachments.swap(stored.id, old, write_late)
        found = await stored.attachments.one_of(STUDY, stored.id, MINE)
        assert await stored.services.content(found) == b"new"
        await stored.check_files()


async def test_a_recoded_file_keeps_its_content_and_counts_its_revision_up(tmp_path: Path) -> None:
    async with stored_study(tmp_path) as stored:
        await stored.put(b"y" * 1000)
        for number, compression in enumerate((Compression.DEFLATE, Compression.DEFLATE, Compression.NONE)):
            await stored.attachments.recode(STUDY, stored.id, MINE, compression)
            found = await stored.attachments.one_of(STUDY, stored.id, MINE)
            assert (found.compression, found.revision) == (compression, (1, 1, 2)[number])
            assert await stored.attachments.is_intact(STUDY, stored.id, MINE)
            await stored.check_files()
        assert await stored.services.content(found) == b"y" * 1000
