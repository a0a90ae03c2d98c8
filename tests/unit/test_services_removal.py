"""Deleting resources: what goes, what stays, who hears of it."""

from pathlib import Path

import pytest

from orthanc_trio.model.event import ResourceDeleted, ResourcesTouched
from orthanc_trio.model.resource import Metadata, ResourceLevel
from tests.support.dicom import make_instance
from tests.support.services import REST, open_services

PATIENT, STUDY, SERIES, INSTANCE = ResourceLevel


@pytest.mark.parametrize("level", list(ResourceLevel))
async def test_deleting_a_lone_resource_of_any_level_removes_everything(
    tmp_path: Path, level: ResourceLevel
) -> None:
    async with open_services(tmp_path) as services:
        result = await services.ingest.store(make_instance(), REST)
        deletion = await services.removal.delete(level, result.ids.of(level))
        assert deletion is not None
        assert deletion.remaining_ancestor is None
        for each in ResourceLevel:
            assert await services.facts(each) == []
        assert await services.changes() == []
        await services.check_files(tmp_path)


async def test_the_surviving_ancestors_are_named_and_refreshed(tmp_path: Path) -> None:
    async with open_services(tmp_path) as services:
        await services.ingest.store(make_instance(instance=1), REST)
        result = await services.ingest.store(make_instance(instance=1, series=2), REST)
        services.time = services.time.replace(second=59)
        del services.events[:]
        deletion = await services.removal.delete(INSTANCE, result.ids.instance)
        assert deletion is not None
        assert deletion.remaining_ancestor is not None
        assert deletion.remaining_ancestor.id == result.ids.study
        for level in (STUDY, PATIENT):
            assert (await services.fact(level)).metadata[Metadata.LAST_UPDATE] == "20240102T030459"
        assert (await services.fact(SERIES)).metadata[Metadata.LAST_UPDATE] == "20240102T030405"
        assert services.events == [
            ResourceDeleted(INSTANCE, result.ids.instance),
            ResourceDeleted(SERIES, result.ids.series),
            ResourcesTouched((result.ids.study, result.ids.patient)),
        ]
        await services.check_files(tmp_path)


async def test_an_unknown_resource_or_one_of_another_level_is_not_deleted() -> None:
    async with open_services() as services:
        result = await services.ingest.store(make_instance(), REST)
        del services.events[:]
        assert await services.removal.delete(INSTANCE, "unknown") is None
        assert await services.removal.delete(SERIES, result.ids.study) is None
        assert len(await services.facts(INSTANCE)) == 1
        assert services.events == []
