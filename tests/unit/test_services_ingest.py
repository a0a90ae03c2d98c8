"""Storing one instance: what the index, the storage area and the watchers get, and what failures leave."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest
import trio

from orthanc_trio.config.choice import OverwriteInstances
from orthanc_trio.index.index import Index
from orthanc_trio.index.transaction import ReadTransaction, Transaction
from orthanc_trio.model.errors import (
    BadFileFormat,
    DatabaseError,
    FullStorage,
    InexistentTag,
    OrthancError,
    ReadOnlyServer,
)
from orthanc_trio.model.event import ChangeEvent, ResourceDeleted, ResourcesTouched
from orthanc_trio.model.resource import Metadata, ResourceLevel
from orthanc_trio.model.tags import signature
from orthanc_trio.services.ingest import IngestOptions, Origin, OriginName, Received, StoreStatus
from orthanc_trio.services.spool import Spool
from orthanc_trio.storage.area import Storage
from orthanc_trio.storage.memory import MemoryArea
from tests.support.dicom import ABSENT, make_instance, study_uid
from tests.support.services import REST, Services, open_services
from tests.support.storage import opened_storage

T = TypeVar("T")
PATIENT, STUDY, SERIES, INSTANCE = ResourceLevel


async def test_a_new_instance_is_there_on_all_levels_with_its_file() -> None:
    data = make_instance()
    async with open_services() as services:
        result = await services.ingest.store(data, REST)
        assert result.status is StoreStatus.SUCCESS
        for level in ResourceLevel:
            assert (await services.fact(level)).id == result.ids.of(level)
        dicom = (await services.fact(INSTANCE)).dicom
        assert dicom is not None
        assert await services.content(dicom) == data
        assert dicom.size == dicom.uncompressed_size == len(data)
        assert dicom.md5 == dicom.uncompressed_md5 == hashlib.md5(data).hexdigest()


async def test_metadata_of_an_instance_received_by_rest() -> None:
    async with open_services() as services:
        await services.ingest.store(make_instance(instance=7, NumberOfSlices=3, NumberOfTimeSlices=2), REST)
        instance = (await services.fact(INSTANCE)).metadata
        assert int(instance.pop(Metadata.PIXEL_DATA_OFFSET)) > 132
        assert instance == {
            Metadata.INDEX_IN_SERIES: "7",
            Metadata.RECEPTION_DATE: "20240102T030405",
            Metadata.REMOTE_AET: "",
            Metadata.ORIGIN: "RestApi",
            Metadata.TRANSFER_SYNTAX: "1.2.840.10008.1.2.1",
            Metadata.SOP_CLASS_UID: "1.2.840.10008.5.1.4.1.1.2",
            Metadata.REMOTE_IP: "127.0.0.1",
            Metadata.HTTP_USERNAME: "",
            Metadata.MAIN_DICOM_TAGS_SIGNATURE: signature(INSTANCE),
        }
        assert (await services.fact(SERIES)).metadata == {
            Metadata.LAST_UPDATE: "20240102T030405",
            Metadata.REMOTE_AET: "",
            Metadata.EXPECTED_NUMBER_OF_INSTANCES: "6",
            Metadata.MAIN_DICOM_TAGS_SIGNATURE: signature(SERIES),
        }
        for level in (PATIENT, STUDY):
            assert (await services.fact(level)).metadata == {
                Metadata.LAST_UPDATE: "20240102T030405",
                Metadata.MAIN_DICOM_TAGS_SIGNATURE: signature(level),
            }


async def test_metadata_of_an_instance_received_by_dicom() -> None:
    origin = Origin(
        name=OriginName.DICOM_PROTOCOL, remote_ip="192.0.2.1", remote_aet="SCANNER", called_aet="ORTHANC"
    )
    async with open_services() as services:
        await services.ingest.store(make_instance(), origin)
        metadata = (await services.fact(INSTANCE)).metadata
        assert metadata[Metadata.ORIGIN] == "DicomProtocol"
        assert metadata[Metadata.CALLED_AET] == "ORTHANC"
        assert metadata[Metadata.REMOTE_AET] == "SCANNER"
        assert Metadata.HTTP_USERNAME not in metadata
        assert (await services.fact(SERIES)).metadata[Metadata.REMOTE_AET] == "SCANNER"


async def test_given_metadata_is_set_in_the_same_commit() -> None:
    async with open_services() as services:
        number = int(Metadata.MODIFIED_FROM)
        given = {INSTANCE: {number: "a"}, STUDY: {number: "b"}}
        await services.ingest.store(make_instance(), REST, metadata=given)
        assert (await services.fact(INSTANCE)).metadata[Metadata.MODIFIED_FROM] == "a"
        assert (await services.fact(STUDY)).metadata[Metadata.MODIFIED_FROM] == "b"
        assert Metadata.MODIFIED_FROM not in (await services.fact(SERIES)).metadata


async def test_changes_come_from_the_instance_up_and_only_for_what_is_new() -> None:
    async with open_services() as services:
        await services.ingest.store(make_instance(instance=1), REST)
        assert await services.changes() == ["NewInstance", "NewSeries", "NewStudy", "NewPatient"]
        await services.ingest.store(make_instance(instance=2), REST)
        await services.ingest.store(make_instance(instance=1, series=2), REST)
        await services.ingest.store(make_instance(study=2, series=3), REST)
        assert (await services.changes())[4:] == [
            *["NewInstance"],
            *["NewInstance", "NewSeries"],
            *["NewInstance", "NewSeries", "NewStudy"],
        ]


async def test_ancestors_keep_the_tags_of_the_first_instance_and_note_the_time_of_the_last() -> None:
    async with open_services() as services:
        await services.ingest.store(make_instance(patient_name="First"), REST)
        services.time = services.time.replace(second=59)
        await services.ingest.store(make_instance(patient_name="Second", instance=2), REST)
        for level in (PATIENT, STUDY, SERIES):
            assert (await services.fact(level)).metadata[Metadata.LAST_UPDATE] == "20240102T030459"
        assert (await services.fact(PATIENT)).tags["0010,0010"] == "First"


async def test_watchers_hear_of_the_changes_and_of_the_ancestors_after_the_commit() -> None:
    async with open_services() as services:
        result = await services.ingest.store(make_instance(), REST)
        changes = [event.change for event in services.events if isinstance(event, ChangeEvent)]
        assert [change.id for change in changes] == [
            result.ids.of(level) for level in (INSTANCE, SERIES, STUDY, PATIENT)
        ]
        assert services.events[-1] == ResourcesTouched(
            (result.ids.series, result.ids.study, result.ids.patient)
        )
        assert not services.stability.is_stable(result.ids.series)


async def test_a_series_is_completed_by_its_last_instance_whatever_the_order() -> None:
    async with open_services() as services:
        for number in (3, 1):
            await services.ingest.store(make_instance(instance=number, CardiacNumberOfImages=3), REST)
        assert "CompletedSeries" not in await services.changes()
        await services.ingest.store(make_instance(instance=2), REST)
        assert (await services.changes())[-2:] == ["NewInstance", "CompletedSeries"]


async def test_a_series_is_completed_again_after_a_deletion() -> None:
    async with open_services() as services:
        for number in (1, 2):
            result = await services.ingest.store(
                make_instance(instance=number, CardiacNumberOfImages=2), REST
            )
        await services.removal.delete(INSTANCE, result.ids.instance)
        await services.ingest.store(make_instance(instance=2), REST)
        assert (await services.changes()).count("CompletedSeries") == 2


async def test_a_duplicate_changes_nothing_by_default(tmp_path: Path) -> None:
    async with open_services(tmp_path) as services:
        first = await services.ingest.store(make_instance(), REST)
        before = [await services.fact(level) for level in ResourceLevel], await services.changes()
        del services.events[:]
        second = await services.ingest.store(make_instance(patient_name="Other"), REST)
        assert second.status is StoreStatus.ALREADY_STORED
        assert second.ids == first.ids
        assert ([await services.fact(level) for level in ResourceLevel], await services.changes()) == before
        assert services.events == []
        await services.check_files(tmp_path)


async def test_with_always_an_instance_is_replaced_by_its_like(tmp_path: Path) -> None:
    options = IngestOptions(overwrite=OverwriteInstances.ALWAYS)
    async with open_services(tmp_path, options=options) as services:
        await services.ingest.store(make_instance(), REST)
        del services.events[:]
        new = make_instance(patient_name="Other")
        result = await services.ingest.store(new, REST)
        assert result.status is StoreStatus.SUCCESS
        instance = await services.fact(INSTANCE)
        assert instance.dicom is not None
        assert await services.content(instance.dicom) == new
        assert (await services.fact(PATIENT)).tags["0010,0010"] == "Other"
        assert await services.changes() == ["NewInstance", "NewSeries", "NewStudy", "NewPatient"]
        assert [type(event) for event in services.events[:5]] == [ResourceDeleted] * 4 + [ChangeEvent]
        await services.check_files(tmp_path)


async def test_with_if_changed_only_other_bytes_replace_an_instance(tmp_path: Path) -> None:
    options = IngestOptions(overwrite=OverwriteInstances.IF_CHANGED)
    async with open_services(tmp_path, options=options) as services:
        data, other = make_instance(), make_instance(patient_name="Other")
        statuses = [(await services.ingest.store(body, REST)).status for body in (data, data, other, other)]
        assert statuses == ["Success", "AlreadyStored", "Success", "AlreadyStored"]
        await services.check_files(tmp_path)


async def test_without_md5_none_is_kept() -> None:
    async with open_services(options=IngestOptions(stores_md5=False)) as services:
        await services.ingest.store(make_instance(), REST)
        dicom = (await services.fact(INSTANCE)).dicom
        assert dicom is not None
        assert dicom.md5 == dicom.uncompressed_md5 == ""


async def test_uploads_of_one_instance_at_once_store_it_once(tmp_path: Path) -> None:
    async with open_services(tmp_path) as services:
        statuses: list[StoreStatus] = []

        async def store() -> None:
            statuses.append((await services.ingest.store(make_instance(), REST)).status)

        async with trio.open_nursery() as nursery:
            for _ in range(8):
                nursery.start_soon(store)
        assert sorted(statuses) == ["AlreadyStored"] * 7 + ["Success"]
        await services.check_files(tmp_path)


@pytest.mark.parametrize("size", [2, 300_000], ids=["small", "with a header longer than the first look"])
@pytest.mark.parametrize("rows", [0, 8], ids=["without pixels", "with pixels"])
async def test_a_received_file_is_stored_like_one_in_memory(tmp_path: Path, rows: int, size: int) -> None:
    data = make_instance(rows=rows, EncapsulatedDocument=b"x" * size)
    async with open_services(tmp_path) as services:
        await services.ingest.store(await _receive(services.storage, data), REST)
        dicom = (await services.fact(INSTANCE)).dicom
        assert dicom is not None
        assert await services.content(dicom) == data
        assert dicom.md5 == hashlib.md5(data).hexdigest()
        await services.check_files(tmp_path)


async def _receive(storage: Storage, data: bytes) -> Received:
    spool = await storage.run(lambda area: Spool(area, 0))
    await storage.run(lambda _: spool.write(data))
    received = spool.finish()
    assert isinstance(received, Received)
    return received


@pytest.mark.parametrize("is_received", [False, True])
@pytest.mark.parametrize(
    ("data", "error", "details"),
    [
        (b"x", BadFileFormat, r"Cannot parse an invalid DICOM file \(size: 1 bytes\)"),
        (b"\0" * 9999, BadFileFormat, r"Cannot parse an invalid DICOM file \(size: 9999 bytes\)"),
        (make_instance(StudyInstanceUID=""), BadFileFormat, "missing StudyInstanceUID, SeriesInstanceUID"),
        (make_instance(SeriesInstanceUID=ABSENT), InexistentTag, "^$"),
    ],
)
async def test_what_is_no_instance_leaves_nothing(
    tmp_path: Path, data: bytes, error: type[OrthancError], details: str, is_received: bool
) -> None:
    async with open_services(tmp_path) as services:
        body = await _receive(services.storage, data) if is_received else data
        with pytest.raises(error, match=details):
            await services.ingest.store(body, REST)
        assert await services.facts(PATIENT) == []
        await services.check_files(tmp_path)


async def test_an_empty_body_is_refused() -> None:
    async with open_services() as services:
        with pytest.raises(BadFileFormat, match="Received an empty DICOM file"):
            await services.ingest.store(b"", REST)


async def test_a_patient_id_forged_like_a_study_is_refused(tmp_path: Path) -> None:
    async with open_services(tmp_path) as services:
        await services.ingest.store(make_instance(), REST)
        with pytest.raises(BadFileFormat, match="another resource"):
            await services.ingest.store(make_instance(patient_id=f"P1|{study_uid()}", study=2), REST)
        assert len(await services.facts(PATIENT)) == 1
        await services.check_files(tmp_path)


class _FailingIndex:
    """An index whose next writes fail, inside the transaction or at its commit."""

    def __init__(self, index: Index) -> None:
        self._index = index
        self.failures = 0
        self.read_at_once = index.read_at_once

    async def read(self, function: Callable[[ReadTransaction], T], *, is_quick: bool = False) -> T:
        return await self._index.read(function, is_quick=is_quick)

    async def write(self, function: Callable[[Transaction], T]) -> T:
        return await self._index.write(function)

    def write_here(self, function: Callable[[Transaction], T]) -> T:
        def fail_at_the_end(tx: Transaction) -> T:
            result = function(tx)
            if self.failures:
                self.failures -= 1
                raise DatabaseError("disk I/O error")
            return result

        return self._index.write_here(fail_at_the_end)


async def test_an_index_that_fails_leaves_no_file_and_the_next_upload_works(tmp_path: Path) -> None:
    failing: list[_FailingIndex] = []

    def adapt(index: Index, storage: Storage) -> tuple[Index, Storage]:
        failing.append(_FailingIndex(index))
        return failing[0], storage

    async with open_services(tmp_path, adapt=adapt) as services:
        failing[0].failures = 1
        with pytest.raises(DatabaseError, match="disk I/O error"):
            await services.ingest.store(make_instance(CardiacNumberOfImages=1), REST)
        await services.check_files(tmp_path)
        assert services.events == []
        await services.ingest.store(make_instance(CardiacNumberOfImages=1), REST)
        assert (await services.changes())[-1] == "CompletedSeries"
        await services.check_files(tmp_path)


class _FullArea(MemoryArea):
    def create(self, key: str, data: bytes | bytearray | memoryview) -> None:
        super().create(key, data)
        self.delete(key)
        raise FullStorage("No space left on device")


async def test_a_full_disk_reaches_the_caller_with_the_reason() -> None:
    async with (
        opened_storage(_FullArea()) as full,
        open_services(adapt=lambda index, _: (index, full)) as services,
    ):
        with pytest.raises(FullStorage, match="No space left on device"):
            await services.ingest.store(make_instance(), REST)
        assert await services.facts(INSTANCE) == []


class _CancelAtStep(trio.abc.Instrument):
    """Cancels a scope when its task is about to run for the n-th time."""

    def __init__(self, step: int) -> None:
        self._left = step
        self._task = trio.lowlevel.current_task()
        self.scope = trio.CancelScope()

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        if task is self._task:
            self._left -= 1
            if self._left == 0:
                self.scope.cancel()


async def _store_cancelled(services: Services, data: bytes, step: int) -> bool:
    """Store with a cancellation before the given step; return whether it came too late."""
    instrument = _CancelAtStep(step)
    trio.lowlevel.add_instrument(instrument)
    try:
        with instrument.scope:
            if step == 0:
                instrument.scope.cancel()
            await services.ingest.store(data, REST)
    finally:
        trio.lowlevel.remove_instrument(instrument)
    return not instrument.scope.cancel_called


async def test_a_cancel_at_any_moment_leaves_no_half_of_an_instance(tmp_path: Path) -> None:
    async with open_services(tmp_path) as services:
        for step in range(20):
            is_too_late = await _store_cancelled(services, make_instance(instance=step + 1), step)
            await services.check_files(tmp_path)
            new = [event for event in services.events if isinstance(event, ChangeEvent)]
            assert len(new) == len(await services.changes())
            if is_too_late:
                break
        else:
            pytest.fail("storing takes more steps than expected")
        assert step > 1


async def test_a_read_only_server_stores_nothing_whoever_asks(tmp_path: Path) -> None:
    async with open_services(tmp_path, options=IngestOptions(is_read_only=True)) as services:
        with pytest.raises(ReadOnlyServer):
            await services.ingest.store(make_instance(), REST)
        assert await services.facts(INSTANCE) == []
        await services.check_files(tmp_path)
