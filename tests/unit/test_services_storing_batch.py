"""Storing several instances in one hop: all of them, those that are none, and what failures leave."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from orthanc_trio.index.transaction import Transaction
from orthanc_trio.model.errors import BadFileFormat, FullStorage, OrthancError
from orthanc_trio.model.resource import Metadata, ResourceLevel
from orthanc_trio.services.ingest import Entry, IngestOptions, Received, StoreResult, StoringBatch
from orthanc_trio.services.registration import Registrar
from orthanc_trio.services.spool import Spool
from orthanc_trio.storage.area import StorageArea
from tests.support.dicom import make_instance, study_uid
from tests.support.services import REST, open_services

INSTANCE = ResourceLevel.INSTANCE


def received(area: StorageArea, data: bytes) -> Received:
    spool = Spool(area, 0)
    spool.write(data)
    collected = spool.finish()
    assert isinstance(collected, Received)
    return collected


def store_all(
    files: Sequence[bytes], area: StorageArea, batch: StoringBatch
) -> list[StoreResult | OrthancError]:
    written = batch.write_all(area, [received(area, data) for data in files])
    entries = [Entry(file, {INSTANCE: {1024: "x"}}) for file in written if not isinstance(file, OrthancError)]
    return batch.register(entries)


@pytest.mark.parametrize("compresses", [False, True])
async def test_a_batch_stores_all_but_what_is_no_instance(tmp_path: Path, compresses: bool) -> None:
    files = [make_instance(instance=1), b"not a DICOM file", make_instance(instance=2)]
    async with open_services(tmp_path, options=IngestOptions(compresses=compresses)) as services:
        results = await services.ingest.store_in_batch(
            lambda area, batch: store_all(files, area, batch), REST
        )
        assert [result.status.value for result in results if isinstance(result, StoreResult)] == [
            "Success"
        ] * 2
        facts = await services.facts(INSTANCE)
        assert {fact.metadata[1024] for fact in facts} == {"x"}
        assert len(await services.changes()) == 5
        await services.check_files(tmp_path)


async def test_the_same_instance_twice_is_already_stored(tmp_path: Path) -> None:
    files = [make_instance(), make_instance()]
    async with open_services(tmp_path) as services:
        results = await services.ingest.store_in_batch(
            lambda area, batch: store_all(files, area, batch), REST
        )
        statuses = [result.status.value for result in results if isinstance(result, StoreResult)]
        assert statuses == ["Success", "AlreadyStored"]
        await services.check_files(tmp_path)


async def test_an_instance_that_the_index_refuses_disturbs_no_other(tmp_path: Path) -> None:
    # The study of the second one has the identifier of the patient of the first.
    first = make_instance(patient_id=f"A|{study_uid(7)}", study=1)
    second = make_instance(patient_id="A", study=7)
    third = make_instance(patient_id="B", study=3)
    async with open_services(tmp_path) as services:
        results = await services.ingest.store_in_batch(
            lambda area, batch: store_all([first, second, third], area, batch), REST
        )
        assert [isinstance(result, BadFileFormat) for result in results] == [False, True, False]
        await services.check_files(tmp_path)


async def test_a_batch_that_fails_leaves_no_file(tmp_path: Path) -> None:
    def work(area: StorageArea, batch: StoringBatch) -> None:
        batch.write_all(area, [received(area, make_instance())])
        raise FullStorage

    async with open_services(tmp_path) as services:
        with pytest.raises(FullStorage):
            await services.ingest.store_in_batch(work, REST)
        await services.check_files(tmp_path)
        assert await services.facts(INSTANCE) == []


async def test_what_else_is_done_in_the_commit_is_done_or_undone_with_it(tmp_path: Path) -> None:
    def also(tx: Transaction, registrar: Registrar, results: Sequence[object]) -> None:
        row = tx.find(tx.ids(ResourceLevel.PATIENT)[0])
        assert row is not None
        tx.set_metadata(row.row, {Metadata.ANONYMIZED_FROM: "there"})
        raise FullStorage

    def work(area: StorageArea, batch: StoringBatch) -> None:
        [file] = batch.write_all(area, [received(area, make_instance())])
        assert not isinstance(file, OrthancError)
        batch.register([Entry(file, {})], also)

    async with open_services(tmp_path) as services:
        with pytest.raises(FullStorage):
            await services.ingest.store_in_batch(work, REST)
        await services.check_files(tmp_path)
        assert await services.facts(ResourceLevel.PATIENT) == []
