"""Jobs ResourceModification on real services, step by step, as the engine drives them."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from io import BytesIO
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import pytest
import trio
from pydicom import Dataset, dcmread
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian

from orthanc_trio.config.choice import OverwriteInstances
from orthanc_trio.dicom.modification import named_patient
from orthanc_trio.dicom.modification_request import anonymization_of_body, modification_of_body
from orthanc_trio.extent import Chunk
from orthanc_trio.kinds import KindServices
from orthanc_trio.kinds.modify import NAME, ModifyArgs, ModifyKind
from orthanc_trio.kinds.rewriting_step import cut
from orthanc_trio.model.errors import BadRequest, InexistentItem, UnknownResource
from orthanc_trio.model.job import Continue, Done
from orthanc_trio.model.resource import Attachment, Facts, Metadata, ResourceLevel
from orthanc_trio.services.ingest import ResourceIds
from orthanc_trio.services.rewriting import RewritingOptions, RewritingServices, Source
from orthanc_trio.services.switches import Switches
from orthanc_trio.storage.content import open_content
from tests.support.dicom import make_instance, make_series, series_uid, sop_uid, study_uid
from tests.support.services import REST, Services, open_services

PATIENT, STUDY, SERIES, INSTANCE = ResourceLevel
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
T = TypeVar("T")


class Context:
    """The engine's side of one job."""

    sink: trio.abc.SendChannel[Chunk] | None = None

    def __init__(self, folder: Path) -> None:
        self.job_id = "a5a8e1e6-6d28-4b1e-9d58-6a4b8f6a3c11"
        self._folder = folder

    def report(self, done: float, total: float, content: dict[str, Any] | None = None) -> None:
        pass

    async def checkpoint(self, _cursor: Any) -> None:
        await trio.lowlevel.checkpoint()

    def output_path(self, key: str) -> Path:
        return self._folder / f"{self.job_id}.{key}"

    async def in_worker(self, function: Callable[..., T], *args: Any) -> T:
        await trio.lowlevel.checkpoint()
        return function(*args)


class Rig:
    """A library, and the kind that works on it. `restart` forgets what is not saved."""

    def __init__(self, services: Services, folder: Path, **options: Any) -> None:
        self.services = services
        self.context = Context(folder)
        self._options = options
        self.restart()

    def restart(self) -> None:
        services = self.services
        rewriting = RewritingServices(
            ingest=services.ingest,
            storage=services.storage,
            removal=services.removal,
            options=RewritingOptions(),
            switches=Switches(),
            threads={NAME: 2},
            **{"pseudonym_keys": {}, **self._options},
        )
        self.kind = ModifyKind(
            KindServices(
                index=services.index,
                storage=services.storage,
                is_synchronous=False,
                cores=2,
                now=lambda: services.time,
            ),
            rewriting,
        )

    async def upload(self, *files: bytes) -> None:
        for data in files:
            await self.services.ingest.store(data, REST)

    async def ids(self, level: ResourceLevel) -> tuple[str, ...]:
        return tuple(facts.id for facts in await self.services.facts(level))

    async def run(
        self, args: ModifyArgs, *, steps_twice: bool = False, restarts: bool = False
    ) -> dict[str, Any]:
        """Run a job to its end through saved values and return its content."""
        content = await self.kind.check(args)
        plan = await self.kind.plan(self.context, args)
        cursor = self.kind.start(plan)
        for _ in range(1000):
            plan = msgspec.json.decode(msgspec.json.encode(plan), type=self.kind.plan_type)
            cursor = msgspec.json.decode(msgspec.json.encode(cursor), type=self.kind.cursor_type)
            args = msgspec.json.decode(msgspec.json.encode(args), type=self.kind.args_type)
            if restarts:
                self.restart()
            if steps_twice:
                await self.kind.step(self.context, args, plan, cursor)
            outcome = await self.kind.step(self.context, args, plan, cursor)
            content |= outcome.content or {}
            if isinstance(outcome, Done):
                return content
            assert isinstance(outcome, Continue)
            assert outcome.done <= outcome.total
            cursor = outcome.cursor
        raise AssertionError("the job does not end")


@asynccontextmanager
async def opened(folder: Path, **options: Any) -> AsyncIterator[Rig]:
    async with open_services(folder) as services:
        yield Rig(services, folder, **options)


def anonymization(
    resources: tuple[str, ...], level: ResourceLevel | None = STUDY, **fields: Any
) -> ModifyArgs:
    body = fields.pop("body", {})
    return ModifyArgs(
        modification=named_patient(anonymization_of_body(body), 7),
        resources=resources,
        level=level,
        key=b"k" * 32,
        origin=REST,
        **fields,
    )


def modification(resources: tuple[str, ...], level: ResourceLevel, body: Any, **fields: Any) -> ModifyArgs:
    return ModifyArgs(
        modification=modification_of_body(body, level=level),
        resources=resources,
        level=level,
        key=b"k" * 32,
        origin=REST,
        **fields,
    )


def made(facts: list[Facts]) -> list[Facts]:
    return [one for one in facts if Metadata.ANONYMIZED_FROM in one.metadata]


async def test_content_is_that_of_the_api(tmp_path: Path) -> None:
    async with opened(tmp_path) as rig:
        await rig.upload(*make_series(3))
        [study] = await rig.ids(STUDY)
        content = await rig.run(anonymization((study,)))
        [result] = made(await rig.services.facts(STUDY))
        assert content == {
            "Description": "REST API",
            "FailedInstancesCount": 0,
            "ID": result.id,
            "InstancesCount": 3,
            "IsAnonymization": True,
            "ParentResources": [study],
            "Path": f"/studies/{result.id}",
            "PatientID": result.parent,
            "Resources": [{"ID": study, "Type": "Study"}],
            "Type": "Study",
        }
        assert result.patient_tags is not None
        assert result.patient_tags["0010,0010"] == "Anonymized7"


@pytest.mark.parametrize("steps_twice", [False, True])
async def test_steps_can_be_repeated_after_a_restart(tmp_path: Path, steps_twice: bool) -> None:
    async with opened(tmp_path) as rig:
        await rig.upload(*make_series(100), *make_series(5, series=2))
        ids = await rig.ids(PATIENT)
        content = await rig.run(anonymization(ids, None), steps_twice=steps_twice, restarts=True)
        results = made(await rig.services.facts(INSTANCE))
        assert len(results) == 105
        assert len({one.metadata[Metadata.ANONYMIZED_FROM] for one in results}) == 105
        shown = [one["ID"] for one in content["Resources"] if one["Type"] == "Instance"]
        assert shown == sorted(one.id for one in results)
        assert [one["Type"] for one in content["Resources"][105:]] == ["Series", "Series", "Study", "Patient"]
        await rig.services.check_files(tmp_path)


async def test_several_resources_that_overlap_are_handled_once(tmp_path: Path) -> None:
    async with opened(tmp_path) as rig:
        await rig.upload(*make_series(4))
        args = anonymization((*(await rig.ids(INSTANCE))[:2], *await rig.ids(SERIES)), None)
        assert (await rig.run(args))["InstancesCount"] == 4
        assert len(made(await rig.services.facts(INSTANCE))) == 4


async def test_sources_go_after_success_only(tmp_path: Path) -> None:
    async with opened(tmp_path) as rig:
        await rig.upload(*make_series(40), make_instance(patient_id="P2", study=9))
        [study] = [one.id for one in await rig.services.facts(STUDY) if len(one.children)][:1]
        args = modification((study,), STUDY, {"Replace": {"StudyDescription": "x"}}, keeps_source=False)
        content = await rig.run(args, steps_twice=True)
        assert content["FailedInstancesCount"] == 0
        facts = await rig.services.facts(INSTANCE)
        assert len(facts) == 41
        assert study not in await rig.ids(STUDY)
        await rig.services.check_files(tmp_path)


async def test_a_failure_leaves_the_sources(tmp_path: Path) -> None:
    async with opened(tmp_path) as rig:
        await rig.upload(*make_series(3))
        ids = await rig.ids(STUDY)
        args = modification(ids, STUDY, {"Replace": {"Rows": "abc"}}, keeps_source=False)
        with pytest.raises(Exception, match="out-of-range"):
            await rig.run(args)
        assert len(await rig.services.facts(INSTANCE)) == 3


async def test_a_permissive_job_counts_what_fails_and_keeps_its_source(tmp_path: Path) -> None:
    async with opened(tmp_path) as rig:
        await rig.upload(*make_series(3))
        ids = await rig.ids(STUDY)
        lost = (await rig.services.facts(INSTANCE))[1]
        assert lost.dicom is not None
        key = lost.dicom.uuid
        await rig.services.settling.idle()
        await rig.services.storage.run(lambda area: area.delete(key))
        content = await rig.run(anonymization(ids, is_permissive=True, keeps_source=False))
        assert content["FailedInstancesCount"] == 1
        assert [one["ID"] for one in content["FailedInstances"]] == [lost.id]
        facts = await rig.services.facts(INSTANCE)
        assert len(made(facts)) == 2
        assert [one.id for one in facts if one not in made(facts)] == [lost.id]


async def test_a_source_that_takes_its_own_place_is_not_deleted(tmp_path: Path) -> None:
    kept = {"Keep": ["StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"], "Force": True}
    async with opened(tmp_path) as rig:
        await rig.upload(make_instance())
        await rig.run(modification(await rig.ids(SERIES), SERIES, kept, keeps_source=False))
        assert len(await rig.services.facts(INSTANCE)) == 1


async def test_an_atomic_job_takes_back_what_it_has_stored(tmp_path: Path) -> None:
    async with opened(tmp_path) as rig:
        await rig.upload(*make_series(20))
        before = await rig.ids(INSTANCE)
        args = anonymization(await rig.ids(STUDY), is_atomic=True)
        plan = await rig.kind.plan(rig.context, args)
        await rig.kind.step(rig.context, args, plan, rig.kind.start(plan))
        assert len(await rig.ids(INSTANCE)) > 20
        rig.restart()
        await rig.kind.discard(rig.context, args)
        await rig.kind.discard(rig.context, args)
        assert await rig.ids(INSTANCE) == before
        await rig.services.check_files(tmp_path)


async def test_an_atomic_job_takes_back_nothing_that_was_there_before(tmp_path: Path) -> None:
    async with opened(tmp_path) as rig:
        await rig.upload(*make_series(3))
        args = anonymization(await rig.ids(STUDY), is_atomic=True)
        await rig.run(args)
        rig.context.output_path("results").unlink()  # as the engine does at the end
        before = await rig.ids(INSTANCE)
        plan = await rig.kind.plan(rig.context, args)
        await rig.kind.step(rig.context, args, plan, rig.kind.start(plan))
        await rig.kind.discard(rig.context, args)
        assert await rig.ids(INSTANCE) == before


async def test_what_was_moved_is_not_taken_back(tmp_path: Path) -> None:
    async with opened(tmp_path) as rig:
        await rig.upload(*make_series(3))
        args = anonymization(await rig.ids(STUDY), is_atomic=True, keeps_source=False)
        await rig.run(args)
        await rig.kind.discard(rig.context, args)
        assert len(made(await rig.services.facts(INSTANCE))) == len(await rig.ids(INSTANCE)) == 3


async def test_a_log_that_was_lost_makes_the_job_start_over(tmp_path: Path) -> None:
    async with opened(tmp_path) as rig:
        await rig.upload(*make_series(3))
        args = anonymization(await rig.ids(STUDY), None)
        plan = await rig.kind.plan(rig.context, args)
        outcome = await rig.kind.step(rig.context, args, plan, rig.kind.start(plan))
        assert isinstance(outcome, Continue)
        rig.context.output_path("results").write_bytes(b'["torn')
        again = await rig.kind.step(rig.context, args, plan, outcome.cursor)
        assert isinstance(again, Continue)
        assert again.cursor == rig.kind.start(plan)
        assert len((await rig.run(args))["Resources"]) == 6


async def test_a_dry_run_tells_what_would_be_done_and_stores_nothing(tmp_path: Path) -> None:
    async with opened(tmp_path) as rig:
        await rig.upload(*make_series(60), *make_series(1, series=2))
        before = await rig.ids(INSTANCE)
        args = modification(
            await rig.ids(STUDY), STUDY, {"Replace": {"PatientName": "New"}, "Remove": ["AccessionNumber"]}
        )
        content = await rig.run(msgspec.structs.replace(args, is_dry_run=True))
        assert await rig.ids(INSTANCE) == before
        assert content["InstancesCount"] == 61
        assert len(content["Differences"]) == 50
        changes = {one["Path"]: one for one in content["Differences"][0]["Changes"]}
        assert changes["0010,0010"] == {
            "Path": "0010,0010",
            "Name": "PatientName",
            "Type": "Changed",
            "Old": "Doe^Jane",
            "New": "New",
        }
        assert changes["0008,0050"]["Type"] == "Removed"
        uids = changes["0020,000d"]
        assert content["UIDs"][uids["Old"]] == uids["New"]
        real = await rig.run(args)
        [study] = [one for one in await rig.services.facts(STUDY) if one.id == real["ID"]]
        assert study.tags["0020,000d"] == uids["New"]


async def test_a_dry_run_fails_as_the_job_would(tmp_path: Path) -> None:
    async with opened(tmp_path) as rig:
        await rig.upload(make_instance())
        args = modification(await rig.ids(STUDY), STUDY, {"Replace": {"Rows": "abc"}}, is_dry_run=True)
        with pytest.raises(Exception, match="out-of-range"):
            await rig.run(args)
        permissive = msgspec.structs.replace(args, is_permissive=True)
        [difference] = (await rig.run(permissive))["Differences"]
        assert "out-of-range" in difference["Error"]


async def test_secondary_captures_are_left_out_on_request(tmp_path: Path) -> None:
    async with opened(tmp_path) as rig:
        capture = make_instance(instance=2, SOPClassUID=SECONDARY_CAPTURE)
        await rig.upload(
            make_instance(instance=1),
            capture,
            make_instance(instance=3, SOPClassUID=SECONDARY_CAPTURE + ".4"),
        )
        content = await rig.run(anonymization(await rig.ids(STUDY), removes_secondary_captures=True))
        assert content["InstancesCount"] == 1
        assert content["RemovedSecondaryCapturesCount"] == 2
        [result] = made(await rig.services.facts(INSTANCE))
        assert result.metadata[Metadata.SOP_CLASS_UID] != SECONDARY_CAPTURE


async def test_pixels_that_name_the_patient_are_reported(tmp_path: Path) -> None:
    async with opened(tmp_path) as rig:
        await rig.upload(make_instance(instance=1), make_instance(instance=2, BurnedInAnnotation="YES"))
        content = await rig.run(anonymization(await rig.ids(STUDY)))
        assert content["BurnedInAnnotationsCount"] == 1
        assert set(content["BurnedInAnnotations"]) <= set(await rig.ids(INSTANCE))


async def test_a_pseudonym_gives_the_same_patient_in_each_job(tmp_path: Path) -> None:
    keys = {"trial": "a secret of the trial", "other": "a secret of another"}
    async with opened(tmp_path, pseudonym_keys=keys) as rig:
        await rig.upload(make_instance(instance=1))
        ids = await rig.ids(STUDY)
        results: list[str] = []
        for name, key in (("trial", b"1" * 32), ("trial", b"2" * 32), ("other", b"1" * 32)):
            args = anonymization(ids, body={"Pseudonym": {"Key": name}})
            rig.context.job_id = f"{len(results):036}"
            results.append((await rig.run(msgspec.structs.replace(args, key=key)))["PatientID"])
        assert results[0] == results[1] != results[2]


async def test_an_unknown_pseudonym_is_refused(tmp_path: Path) -> None:
    async with opened(tmp_path) as rig:
        await rig.upload(make_instance())
        with pytest.raises(InexistentItem, match="trial"):
            await rig.kind.check(anonymization(await rig.ids(STUDY), body={"Pseudonym": {"Key": "trial"}}))


async def test_unknown_resources_are_refused(tmp_path: Path) -> None:
    async with opened(tmp_path) as rig:
        with pytest.raises(UnknownResource):
            await rig.kind.check(anonymization(("nothing",)))


@pytest.mark.parametrize(
    ("overwrite", "fields", "text"),
    [
        (OverwriteInstances.ALWAYS, {"keeps_source": False}, "you must set KeepSource"),
        (OverwriteInstances.NEVER, {}, "'OverwriteInstances'"),
        (OverwriteInstances.ALWAYS, {"is_atomic": True}, "Atomic"),
    ],
)
async def test_what_must_not_take_the_place_of_its_source_is_refused(
    tmp_path: Path, overwrite: OverwriteInstances, fields: dict[str, Any], text: str
) -> None:
    kept = {"Keep": ["StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"], "Force": True}
    async with opened(tmp_path, overwrite=overwrite) as rig:
        await rig.upload(make_instance())
        with pytest.raises(BadRequest, match=text):
            await rig.kind.check(modification(await rig.ids(STUDY), STUDY, kept, **fields))


async def test_a_patient_with_other_studies_is_not_changed_by_one_of_them(tmp_path: Path) -> None:
    async with opened(tmp_path) as rig:
        await rig.upload(make_instance(study=1), make_instance(study=2))
        study = (await rig.ids(STUDY))[0]
        body = {"Replace": {"PatientName": "Other"}}
        with pytest.raises(BadRequest, match="Failing tag: 0010,0010"):
            await rig.kind.check(modification((study,), STUDY, body))
        await rig.kind.check(modification((study,), SERIES, body))
    async with opened(tmp_path, checks_patients=False) as rig:
        await rig.kind.check(modification((study,), STUDY, body))


def test_batches_are_bounded_in_number_and_size() -> None:
    ids = ResourceIds("p", "t", "s", "i")

    def source(size: int) -> Source:
        return Source(ids, Attachment(type=1, uuid="", size=size, uncompressed_size=size))

    small = [source(10)] * 70
    assert [len(batch) for batch in cut([*small, ids])] == [32, 32, 7]
    large = [source(7 << 20), source(7 << 20), source(100 << 20), source(1)]
    assert [len(batch) for batch in cut(large)] == [1, 1, 1, 1]
    assert list(cut([])) == []


async def dataset_of(rig: Rig, facts: Facts) -> Dataset:
    file = facts.dicom
    assert file is not None
    return dcmread(BytesIO(await rig.services.storage.run(lambda area: open_content(area, file).read())))


# What is big endian is rewritten by pydicom.
@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ExplicitVRBigEndian])
async def test_references_follow_uids_that_the_user_chose(tmp_path: Path, syntax: str) -> None:
    referenced = Dataset()
    referenced.StudyInstanceUID, referenced.SeriesInstanceUID = study_uid(1), series_uid(1, 1)
    referenced.SOPInstanceUID, referenced.ReferencedSOPInstanceUID = sop_uid(1, 1, 1), sop_uid(1, 1, 1)
    how: dict[str, Any] = {"transfer_syntax": syntax, "rows": 128, "columns": 128}
    # The one that refers is handled first or last, by chance of the identifiers: so there are two.
    files = [
        make_instance(series=1, **how),
        *(make_instance(series=series, ReferencedSeriesSequence=[referenced], **how) for series in (2, 3)),
    ]
    chosen = {"StudyInstanceUID": "1.2.3", "SeriesInstanceUID": "1.2.4"}
    async with opened(tmp_path) as rig:
        await rig.upload(*files)
        args = anonymization(await rig.ids(STUDY), body={"Replace": chosen, "Force": True})
        await rig.run(args, restarts=True)
        results = made(await rig.services.facts(INSTANCE))
        datasets = [await dataset_of(rig, one) for one in results]
    [first] = [one for one in datasets if "ReferencedSeriesSequence" not in one]
    others = [one for one in datasets if "ReferencedSeriesSequence" in one]
    assert len(others) == 2
    for one in others:
        [item] = one.ReferencedSeriesSequence
        assert item.StudyInstanceUID == first.StudyInstanceUID == "1.2.3"
        assert item.SeriesInstanceUID == first.SeriesInstanceUID == "1.2.4"
        assert item.SOPInstanceUID == item.ReferencedSOPInstanceUID == first.SOPInstanceUID
