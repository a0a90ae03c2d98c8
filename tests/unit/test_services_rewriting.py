"""Making instances of others: what is stored, what it is said to come from, and what fails alone."""

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import pydicom
import pytest

from orthanc_trio.bus import EventBus
from orthanc_trio.dicom.modification_request import anonymization_of_body, modification_of_body
from orthanc_trio.index.transaction import ReadTransaction
from orthanc_trio.model.errors import CorruptedFile, InexistentFile
from orthanc_trio.model.resource import Facts, Metadata, ResourceLevel
from orthanc_trio.services.ingest import Ingest, IngestOptions, ResourceIds, StoreResult
from orthanc_trio.services.ingest_transcoding import IngestTranscoder, TranscodingRules
from orthanc_trio.services.rewriting import Outcome, Recipe, Rewriting, RewritingOptions, Source, Transcoding
from orthanc_trio.storage.content import open_content
from tests.support.dicom import make_instance
from tests.support.services import REST, Services, open_services

PATIENT, STUDY, SERIES, INSTANCE = ResourceLevel
KEY = b"k" * 32


async def in_place_of_a_worker(function: Any, *args: Any) -> Any:
    """Run here what would run in a process."""
    return function(*args)


async def sources_of(services: Services) -> list[Source]:
    def read(tx: ReadTransaction) -> list[Source]:
        sources = []
        for leaf in tx.leaves(tx.ids(INSTANCE)):
            series, study, patient = (ref.id for ref in tx.ancestors(leaf.id))
            sources.append(Source(ResourceIds(patient, study, series, leaf.id), leaf.attachment))
        return sources

    return await services.index.read(read)


async def facts_of(services: Services, ids: ResourceIds, level: ResourceLevel) -> Facts:
    facts = await services.index.read(lambda tx: tx.facts(ids.of(level)))
    assert facts is not None
    return facts


def make_rewriting(services: Services, recipe: Recipe, **arguments: Any) -> Rewriting:
    options = RewritingOptions(stores_md5=arguments.pop("stores_md5", True))
    return Rewriting(services.ingest, services.storage, in_place_of_a_worker, recipe, options, **arguments)


def anonymization(**body: Any) -> Recipe:
    return Recipe(
        modification=anonymization_of_body(body),
        key=KEY,
        origin=REST,
        relation=Metadata.ANONYMIZED_FROM,
    )


async def stored(services: Services, outcome: Outcome) -> tuple[bytes, pydicom.Dataset]:
    assert outcome.result is not None
    facts = await facts_of(services, outcome.result, INSTANCE)
    assert facts.dicom is not None
    file = facts.dicom
    data = await services.storage.run(lambda area: open_content(area, file).read())
    return data, pydicom.dcmread(BytesIO(data))


async def upload(services: Services, files: Sequence[bytes]) -> None:
    for data in files:
        await services.ingest.store(data, REST)


@pytest.mark.parametrize("stores_md5", [True, False])
@pytest.mark.parametrize("compresses", [True, False])
async def test_the_pixels_stay_and_the_patient_changes(
    tmp_path: Path, stores_md5: bool, compresses: bool
) -> None:
    options = IngestOptions(stores_md5=stores_md5, compresses=compresses)
    async with open_services(tmp_path, options=options) as services:
        source = make_instance(rows=300, columns=300)
        await upload(services, [source])
        [outcome] = await make_rewriting(services, anonymization(), stores_md5=stores_md5).store(
            await sources_of(services)
        )
        assert outcome.is_new
        _, dataset = await stored(services, outcome)
        assert dataset.PixelData == pydicom.dcmread(BytesIO(source)).PixelData
        assert dataset.PatientID != "P1"
        await services.check_files(tmp_path)
        facts = await services.facts(INSTANCE)
        assert all(bool(fact.dicom and fact.dicom.uncompressed_md5) is stores_md5 for fact in facts)


async def test_results_name_their_sources_where_they_are_others() -> None:
    async with open_services() as services:
        await upload(services, [make_instance()])
        [source] = await sources_of(services)
        recipe = Recipe(
            modification=modification_of_body({}, level=SERIES),
            key=KEY,
            origin=REST,
            relation=Metadata.MODIFIED_FROM,
        )
        [outcome] = await make_rewriting(services, recipe).store([source])
        assert outcome.result is not None
        for level in ResourceLevel:
            facts = await facts_of(services, outcome.result, level)
            expected = source.ids.of(level) if level in (SERIES, INSTANCE) else None
            assert facts.metadata.get(Metadata.MODIFIED_FROM) == expected


async def test_a_repetition_finds_its_results_stored_already(tmp_path: Path) -> None:
    async with open_services(tmp_path) as services:
        await upload(services, [make_instance(instance=1), make_instance(instance=2)])
        sources = await sources_of(services)
        first = await make_rewriting(services, anonymization()).store(sources)
        second = await make_rewriting(services, anonymization()).store(sources)
        assert [outcome.result for outcome in first] == [outcome.result for outcome in second]
        assert [outcome.is_new for outcome in first + second] == [True, True, False, False]
        assert len(await services.facts(INSTANCE)) == 4
        await services.check_files(tmp_path)


async def test_a_source_that_vanished_fails_alone(tmp_path: Path) -> None:
    async with open_services(tmp_path) as services:
        await upload(services, [make_instance(instance=1), make_instance(instance=2)])
        sources = await sources_of(services)
        await services.settling.idle()
        await services.storage.run(lambda area: area.delete(sources[0].file.uuid))
        outcomes = await make_rewriting(services, anonymization()).store(sources)
        assert isinstance(outcomes[0].error, InexistentFile)
        assert outcomes[1].is_new


@pytest.mark.parametrize("stores_md5", [True, False])
async def test_a_source_that_was_cut_off_fails_alone(tmp_path: Path, stores_md5: bool) -> None:
    async with open_services(tmp_path) as services:
        await upload(services, [make_instance(instance=n, rows=300, columns=300) for n in (1, 2)])
        sources = await sources_of(services)
        await services.settling.idle()
        [path] = (tmp_path / "storage").glob(f"*/{sources[1].file.uuid}")
        with path.open("r+b") as file:
            file.truncate(100_000)
        outcomes = await make_rewriting(services, anonymization(), stores_md5=stores_md5).store(sources)
        assert outcomes[0].is_new
        assert isinstance(outcomes[1].error, CorruptedFile)
        assert len(await services.facts(INSTANCE)) == 3


async def test_ancestors_that_stay_get_the_new_values() -> None:
    async with open_services() as services:
        await upload(services, [make_instance()])
        recipe = Recipe(
            modification=modification_of_body({"Replace": {"PatientName": "New^Name"}}, level=STUDY),
            key=KEY,
            origin=REST,
        )
        await make_rewriting(services, recipe).store(await sources_of(services))
        patient = await services.fact(PATIENT)
        assert patient.tags["0010,0010"] == "New^Name"


async def test_labels_of_the_ancestors_are_kept_on_request() -> None:
    async with open_services() as services:
        await upload(services, [make_instance()])
        [source] = await sources_of(services)

        def label(tx: Any) -> None:
            for level in ResourceLevel:
                tx.add_label(tx.find(source.ids.of(level)).row, level.type_name)

        await services.index.write(label)
        recipe = anonymization()
        recipe = Recipe(modification=recipe.modification, key=KEY, origin=REST, keeps_labels=True)
        [outcome] = await make_rewriting(services, recipe).store([source])
        assert outcome.result is not None
        labels = [(await facts_of(services, outcome.result, level)).labels for level in ResourceLevel]
        assert labels == [("Patient",), ("Study",), ("Series",), ()]


async def test_what_is_stored_is_told_before_it_can_be_seen() -> None:
    told: list[tuple[Source, StoreResult]] = []
    async with open_services() as services:
        await upload(services, [make_instance()])
        sources = await sources_of(services)
        outcomes = await make_rewriting(services, anonymization(), note=told.extend).store(sources)
        assert [(source, result.ids) for source, result in told] == [(sources[0], outcomes[0].result)]


@pytest.mark.time_limit(30)
async def test_a_lossy_transcoding_keeps_the_uid_that_the_modification_gives() -> None:
    async with open_services() as services:
        pixels: dict[str, Any] = {
            "BitsAllocated": 8,
            "BitsStored": 8,
            "HighBit": 7,
            "rows": 16,
            "columns": 16,
        }
        await upload(services, [make_instance(**pixels, PixelData=bytes(256))])
        sources = await sources_of(services)
        plain = anonymization()
        transcoded = Recipe(
            modification=plain.modification,
            key=KEY,
            origin=REST,
            transcoding=Transcoding("1.2.840.10008.1.2.4.50", 80),
        )
        [outcome] = await make_rewriting(services, transcoded).store(sources)
        _, dataset = await stored(services, outcome)
        assert outcome.is_transcoded
        assert dataset.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.4.50"
        assert "SourceImageSequence" not in dataset
        [again] = await make_rewriting(services, plain).store(sources)
        assert again.result == outcome.result


@pytest.mark.time_limit(30)
async def test_results_are_transcoded_as_new_instances_are_unless_the_recipe_says_how() -> None:
    async with open_services() as services:
        pixels: dict[str, Any] = {"rows": 16, "columns": 16, "PixelData": bytes(512)}
        await upload(services, [make_instance(**pixels)])
        sources = await sources_of(services)
        services.ingest = Ingest(
            services.index,
            services.storage,
            EventBus(),
            settling=services.settling,
            stability=services.stability,
            options=IngestOptions(),
            now=lambda: services.time,
            transcoder=IngestTranscoder(TranscodingRules(syntax="1.2.840.10008.1.2.5"), in_place_of_a_worker),
        )
        [outcome] = await make_rewriting(services, anonymization()).store(sources)
        _, dataset = await stored(services, outcome)
        assert dataset.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.5"
        [again] = await make_rewriting(services, anonymization()).store(sources)
        assert again.result == outcome.result
        assert not again.is_new


async def test_what_cannot_be_transcoded_is_stored_as_it_is() -> None:
    async with open_services() as services:
        await upload(services, [make_instance(transfer_syntax="1.2.840.10008.1.2.4.90")])
        recipe = anonymization()
        recipe = Recipe(
            modification=recipe.modification,
            key=KEY,
            origin=REST,
            transcoding=Transcoding("1.2.840.10008.1.2.4.50", 80),
        )
        [outcome] = await make_rewriting(services, recipe).store(await sources_of(services))
        assert outcome.is_new
        assert not outcome.is_transcoded
