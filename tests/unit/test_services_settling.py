"""Settling: what is done at the start, in the background, and when the disk fails."""

import logging
from collections.abc import Iterable
from functools import partial
from pathlib import Path

import pytest
import trio
import trio.testing

from orthanc_trio.index.memory import open_memory_index
from orthanc_trio.index.transaction import Transaction
from orthanc_trio.model.errors import FileStorageCannotWrite, InexistentFile
from orthanc_trio.model.resource import Attachment, ResourceLevel
from orthanc_trio.services.settling import Settling
from orthanc_trio.storage.key import new_key
from orthanc_trio.storage.memory import MemoryArea
from tests.support.dicom import make_instance
from tests.support.services import REST, open_services
from tests.support.storage import opened_storage


def _exists(area: MemoryArea, key: str) -> bool:
    try:
        area.open(key, 1).read()
    except InexistentFile:
        return False
    return True


def _know(tx: Transaction, key: str) -> None:
    row = tx.create(ResourceLevel.PATIENT, key, None, {})
    tx.attach(row, Attachment(type=1, uuid=key, size=1, uncompressed_size=1))


async def test_a_start_settles_what_the_index_knows_and_deletes_the_rest() -> None:
    area = MemoryArea()
    known, unknown, forgotten = [new_key() for _ in range(600)], [new_key() for _ in range(600)], new_key()
    for key in [*known, *unknown, forgotten]:
        area.create(key, b"x")
    async with open_memory_index() as index, opened_storage(area) as storage, trio.open_nursery() as nursery:
        for key in [*known, forgotten]:
            await index.write(partial(_know, key=key))
        await index.write(lambda tx: tx.delete(forgotten))
        await nursery.start(Settling(index, storage).run)
        assert area.unsettled() == []
        assert [key for key in [*known, *unknown, forgotten] if _exists(area, key)] == known
        assert await index.read(lambda tx: tx.forgotten_files(10)) == []
        nursery.cancel_scope.cancel()


async def test_what_is_stored_survives_a_restart_and_what_was_not_committed_goes(tmp_path: Path) -> None:
    async with open_services(tmp_path) as services:
        await services.ingest.store(make_instance(), REST)
        await services.settling.idle()
        for _ in range(3):
            await services.storage.run(lambda area: area.create(new_key(), b"crashed before the commit"))
    async with open_services(tmp_path) as services:
        await services.check_files(tmp_path)
        assert len(await services.facts(ResourceLevel.INSTANCE)) == 1


async def test_a_doubtful_file_is_kept_if_its_row_is_committed() -> None:
    area = MemoryArea()
    known, unknown = new_key(), new_key()
    async with open_memory_index() as index, opened_storage(area) as storage, trio.open_nursery() as nursery:
        settling = Settling(index, storage, linger_s=0)
        await nursery.start(settling.run)
        area.create(known, b"x")
        area.create(unknown, b"x")
        await index.write(lambda tx: _know(tx, known))
        settling.review(known)
        settling.review(unknown)
        await settling.idle()
        assert area.unsettled() == []
        assert _exists(area, known)
        assert not _exists(area, unknown)
        nursery.cancel_scope.cancel()


class _FailingArea(MemoryArea):
    """An area that cannot move or delete files as long as `failures` is above zero."""

    failures = 0

    def settle(self, keys: Iterable[str]) -> None:
        self._fail()
        super().settle(keys)

    def delete(self, key: str) -> None:
        self._fail()
        super().delete(key)

    def _fail(self) -> None:
        if self.failures:
            self.failures -= 1
            raise FileStorageCannotWrite("Read-only file system")


async def test_errors_of_the_disk_are_logged_once_and_the_work_is_tried_again(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    area = _FailingArea()
    settled, deleted = new_key(), new_key()
    for key in (settled, deleted):
        area.create(key, b"x")
    async with open_memory_index() as index, opened_storage(area) as storage, trio.open_nursery() as nursery:
        await index.write(lambda tx: _know(tx, settled))
        await index.write(lambda tx: _know(tx, deleted))
        settling = Settling(index, storage)
        await nursery.start(settling.run)
        await index.write(lambda tx: tx.delete(deleted))
        area.failures = 4
        settling.settle(settled)
        settling.collect()
        await settling.idle()
        assert area.failures == 0
        assert not _exists(area, deleted)
        assert await index.read(lambda tx: tx.forgotten_files(10)) == []
        nursery.cancel_scope.cancel()
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert "Read-only file system" in record.getMessage()
