"""What is kept of answers is never seen: each one equals that which is made anew."""

import json
from typing import Any

import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from orthanc_trio import options
from orthanc_trio.config.choice import IndexBackend, StorageBackend
from orthanc_trio.config.settings import Settings
from orthanc_trio.index.transaction import Transaction
from orthanc_trio.model.event import ResourcesTouched
from orthanc_trio.model.resource import ResourceLevel
from orthanc_trio.rest.auth import access_policy
from orthanc_trio.rest.describing import encode_all
from orthanc_trio.rest.resource_json import FULL, Content, View
from orthanc_trio.server import open_context
from orthanc_trio.services.child_files import ChildFiles
from orthanc_trio.services.context import ServerContext
from orthanc_trio.services.ingest import Origin, OriginName
from orthanc_trio.services.library import Library
from orthanc_trio.services.requested_tags import RequestedTags
from tests.support.dicom import make_instance

SETTINGS = Settings(
    storage_backend=StorageBackend.MEMORY, index_backend=IndexBackend.MEMORY, http_server_enabled=False
)
ORIGIN = Origin(name=OriginName.REST_API)
PATIENT_NAME, ROWS, MODALITIES, COUNT = 0x00100010, 0x00280010, 0x00080061, 0x00201208
VIEWS = (
    View(),
    View(FULL, frozenset((Content.METADATA, Content.LABELS)), is_partial=True),
    View(tags=(PATIENT_NAME, ROWS, MODALITIES, COUNT)),
    View(content=frozenset((Content.ATTACHMENTS, Content.CHILDREN))),
)

NUMBERS = st.integers(1, 2)
STEPS = st.one_of(
    st.tuples(st.just("store"), NUMBERS, NUMBERS, NUMBERS),
    st.tuples(st.just("store"), NUMBERS, NUMBERS, NUMBERS),
    st.tuples(st.just("delete"), st.sampled_from(ResourceLevel), st.integers(0, 9)),
    st.tuples(st.just("label"), st.sampled_from(ResourceLevel), st.integers(0, 9), st.sampled_from("ab")),
    st.tuples(st.just("metadata"), st.sampled_from(ResourceLevel), st.integers(0, 9), st.sampled_from("ab")),
    st.tuples(st.just("protect"), st.integers(0, 9), st.booleans()),
    st.tuples(st.just("rename"), st.integers(0, 9), st.sampled_from("xy")),
)


async def act(context: ServerContext, step: tuple[Any, ...]) -> None:
    match step:
        case ("store", study, series, instance):
            data = make_instance(study=study, series=series, instance=instance, rows=2, columns=2)
            await context.ingest.store(data, ORIGIN)
        case ("protect", number, is_protected):
            for id in await some(context, ResourceLevel.PATIENT, number):
                await context.annotations.set_protected(id, is_protected=is_protected)
        case ("rename", number, name):
            for id in await some(context, ResourceLevel.STUDY, number):
                await context.index.write(lambda tx, id=id: rename(tx, id, name))  # type: ignore[misc]
                context.bus.publish(ResourcesTouched((id,)))
        case (verb, level, number, *rest):
            for id in await some(context, level, number):
                if verb == "delete":
                    await context.removal.delete(level, id)
                elif verb == "label":
                    await context.annotations.add_label(level, id, rest[0])
                else:
                    await context.metadata.write(id, 1024, rest[0], None)


def rename(tx: Transaction, study: str, name: str) -> None:
    """Change what a study says of its patient, as a reconstruction of this level alone does."""
    found = tx.find(study)
    assert found is not None
    tx.set_tags(found.row, tx.tags_of([study])[study].own, {"0010,0010": name})


async def some(context: ServerContext, level: ResourceLevel, number: int) -> list[str]:
    ids = await context.library.ids(level)
    return [ids[number % len(ids)]] if ids else []


def _is_stable(_id: str) -> bool:
    return False


def without_memory(context: ServerContext) -> ServerContext:
    """Return the same server, with a library that keeps nothing yet."""
    # In so short a test, nothing that has children becomes stable.
    library = Library(context.index, context.storage, _is_stable)
    requested = RequestedTags(
        context.index,
        library,
        ChildFiles(library, context.tags),
        context.indexed_tags.table,
        may_read=True,
        warnings={},
    )
    return replace(context, library=library, requested_tags=requested)


async def shown(context: ServerContext) -> list[Any]:
    answers: list[Any] = []
    for level in ResourceLevel:
        described = await context.library.describe_level(level)
        for view in VIEWS:
            bodies = await encode_all(context, described, view)
            answers.extend(json.loads(body) for body in bodies)
    return answers


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(STEPS, min_size=1, max_size=6))
def test_a_kept_answer_equals_one_made_anew(steps: list[tuple[Any, ...]]) -> None:
    async def main() -> None:
        policy = access_policy(options.access_options(SETTINGS))
        async with open_context(SETTINGS, policy) as context:
            try:
                for step in steps:
                    await act(context, step)
                    kept = await shown(context)
                    assert await shown(without_memory(context)) == kept
            finally:
                await context.jobs.stop(0)

    trio.run(main)
