"""Requested tags of resources that were entered in other ways than now."""

import pytest

from orthanc_trio import options
from orthanc_trio.config.choice import IndexBackend, StorageBackend
from orthanc_trio.config.settings import Settings
from orthanc_trio.index.transaction import Transaction
from orthanc_trio.model.resource import Metadata, ResourceLevel
from orthanc_trio.rest.auth import access_policy
from orthanc_trio.server import open_context
from tests.support.dicom import make_instance
from tests.support.services import REST

INSTITUTION_NAME = 0x00080080


@pytest.mark.parametrize("is_warned", [True, False])
async def test_without_a_signature_a_main_tag_may_be_in_the_file_alone(
    caplog: pytest.LogCaptureFixture, is_warned: bool
) -> None:
    settings = Settings(
        storage_backend=StorageBackend.MEMORY,
        index_backend=IndexBackend.MEMORY,
        http_server_enabled=False,
        warnings={"W004_NoMainDicomTagsSignature": is_warned},
    )

    def forget_signature(tx: Transaction) -> str:
        [id] = tx.ids(ResourceLevel.STUDY)
        row = tx.find(id)
        assert row is not None
        tx.remove_metadata(row.row, Metadata.MAIN_DICOM_TAGS_SIGNATURE)
        tx.set_tags(row.row, {})
        return id

    async with open_context(settings, access_policy(options.access_options(settings))) as context:
        try:
            await context.ingest.store(make_instance(InstitutionName="Charity"), REST)
            id = await context.index.write(forget_signature)
            described = await context.library.describe_all([id])
            found = await context.requested_tags.values(described, [INSTITUTION_NAME])
        finally:
            await context.jobs.stop(0)
    assert found == {id: {"0008,0080": "Charity"}}
    assert ("W004" in caplog.text) == is_warned
