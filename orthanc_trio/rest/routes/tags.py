"""DICOM tags as JSON. Source: the Orthanc Book, "DICOM-as-JSON"; `/instances/{id}/tags` and its like."""

from collections.abc import AsyncIterator, Collection
from typing import Any

import msgspec

from ...dicom.module import MODULES
from ...dicom.render import Format, Tags, in_format
from ...model.errors import UnknownResource
from ...model.resource import Facts, ResourceLevel
from ...services.context import ServerContext
from ...services.library import Description
from ..arguments import FORMAT, IGNORE_LENGTH, WHOLE
from ..level import require
from ..query import flag
from ..routing import Doc, Routes
from ..tag_query import format_of, unlimited_tags
from ..wire import JSON, Answer, AnyAnswer, Request, StreamAnswer

routes = Routes()


@routes.get(
    "/instances/{id}/tags",
    hot=True,
    doc=Doc(query=(*FORMAT, IGNORE_LENGTH, WHOLE), answer=dict[str, Any]),
)
async def get_tags(context: ServerContext, request: Request, *, id: str) -> AnyAnswer:
    """Answer the tags of an instance, up to its pixels unless `?whole`."""
    return await _answer_tags(context, request, id, format_of(request, Format.FULL))


@routes.get(
    "/instances/{id}/simplified-tags", hot=True, doc=Doc(query=(IGNORE_LENGTH, WHOLE), answer=dict[str, Any])
)
async def get_simplified_tags(context: ServerContext, request: Request, *, id: str) -> AnyAnswer:
    """Answer the same by name."""
    return await _answer_tags(context, request, id, Format.HUMAN)


async def _answer_tags(context: ServerContext, request: Request, id: str, format: Format) -> Answer:
    instance = (await require(context, ResourceLevel.INSTANCE, id)).facts
    if not request.query:
        return Answer(body=await context.tags.encoded(instance, format), media_type=JSON)
    unlimited, whole = unlimited_tags(request, context.dictionary), flag(request, "whole")
    encoded = await context.tags.encoded(instance, format, unlimited=unlimited, whole=whole)
    return Answer(body=encoded, media_type=JSON)


@routes.get("/instances/{id}/header", doc=Doc(query=FORMAT, answer=dict[str, Any]))
async def get_header(context: ServerContext, request: Request, *, id: str) -> AnyAnswer:
    """Answer the meta information of the file."""
    instance = (await require(context, ResourceLevel.INSTANCE, id)).facts
    return _sorted_json(await context.tags.header(instance, format_of(request, Format.FULL)))


def _mount_module(path: str, level: ResourceLevel, module: Collection[str]) -> None:
    @routes.get(path, doc=Doc(query=(*FORMAT, IGNORE_LENGTH), answer=dict[str, Any]))
    async def get_module(context: ServerContext, request: Request, *, id: str) -> AnyAnswer:
        instance = await _first_instance(context, await require(context, level, id))
        tags = await context.tags.tags(instance, unlimited=unlimited_tags(request, context.dictionary))
        shown = {tag: element for tag, element in tags.items() if tag in module}
        return _sorted_json(in_format(shown, format_of(request, Format.FULL)))


async def _first_instance(context: ServerContext, description: Description) -> Facts:
    facts = description.facts
    while facts.level is not ResourceLevel.INSTANCE:
        if not facts.children:
            raise UnknownResource
        facts = (await require(context, ResourceLevel(facts.level + 1), facts.children[0])).facts
    return facts


def _mount_many(level: ResourceLevel) -> None:
    @routes.get(f"/{level.collection}/{{id}}/shared-tags", doc=Doc(query=FORMAT, answer=dict[str, Any]))
    async def get_shared_tags(context: ServerContext, request: Request, *, id: str) -> AnyAnswer:
        await require(context, level, id)
        shared: Tags | None = None
        for each in await context.library.describe_descendants(id, ResourceLevel.INSTANCE):
            tags = await context.tags.tags(each.facts)
            shared = _texts(tags) if shared is None else _common(shared, tags)
        return _sorted_json(in_format(shared or {}, format_of(request, Format.FULL)))

    @routes.get(
        f"/{level.collection}/{{id}}/instances-tags",
        doc=Doc(query=(*FORMAT, IGNORE_LENGTH), answer=dict[str, Any]),
    )
    async def get_instances_tags(context: ServerContext, request: Request, *, id: str) -> AnyAnswer:
        await require(context, level, id)
        instances = await context.library.describe_descendants(id, ResourceLevel.INSTANCE)
        format, unlimited = format_of(request, Format.FULL), unlimited_tags(request, context.dictionary)

        async def chunks() -> AsyncIterator[bytes]:
            separator = b"{"
            for each in instances:
                tags = await context.tags.encoded(each.facts, format, unlimited=unlimited)
                yield separator + msgspec.json.encode(each.facts.id) + b":" + tags
                separator = b","
            yield b"}" if instances else b"{}"

        return StreamAnswer(chunks=chunks(), media_type=JSON)


def _texts(tags: Tags) -> Tags:
    return {tag: element for tag, element in tags.items() if element["Type"] == "String"}


def _common(shared: Tags, tags: Tags) -> Tags:
    """Return those of `shared` that have the same text in `tags`."""
    return {
        tag: element
        for tag, element in shared.items()
        if tag in tags and tags[tag]["Type"] == "String" and tags[tag]["Value"] == element["Value"]
    }


def _sorted_json(tags: Tags) -> Answer:
    return Answer(body=msgspec.json.encode(tags, order="sorted"), media_type=JSON)


for _level in ResourceLevel:
    _mount_module(f"/{_level.collection}/{{id}}/module", _level, MODULES[_level])
    if _level is not ResourceLevel.INSTANCE:
        _mount_many(_level)
_mount_module("/studies/{id}/module-patient", ResourceLevel.STUDY, MODULES[ResourceLevel.PATIENT])
