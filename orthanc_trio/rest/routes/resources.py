"""Patients, studies, series and instances: list, look, walk, delete. Source: the Orthanc Book, "REST API"."""

from msgspec.structs import replace

from ...model.errors import UnknownResource
from ...model.resource import ResourceLevel
from ...services.context import ServerContext
from ..answers import Deleted, Resource, link
from ..arguments import EXPAND, PAGE, RESOURCE, RESPONSE_CONTENT
from ..describing import answer_all, answer_one, view_of_url
from ..find_body import content_of_url
from ..level import require
from ..query import flag, page
from ..routing import Doc, Routes
from ..wire import AnyAnswer, Request, json_answer, nothing

routes = Routes()

_PARENT_NAMES = {
    ResourceLevel.PATIENT: "patient",
    ResourceLevel.STUDY: "study",
    ResourceLevel.SERIES: "series",
}


def _mount_level(level: ResourceLevel) -> None:
    collection = level.collection

    @routes.get(
        f"/{collection}",
        hot=True,
        doc=Doc(query=(EXPAND, *PAGE, *RESOURCE, RESPONSE_CONTENT), answer=list[Resource | str]),
    )
    async def list_level(context: ServerContext, request: Request) -> AnyAnswer:
        since, limit = page(request)
        content = request.query.get("response-content")
        view = view_of_url(context, request)
        if content is None and not flag(request, "expand"):
            return json_answer(await context.library.ids(level, since, limit))
        if content is not None:
            view = replace(view, content=content_of_url(content), is_partial=True)
        return await answer_all(context, await context.library.describe_level(level, since, limit), view)

    @routes.get(f"/{collection}/{{id}}", hot=True, doc=Doc(query=RESOURCE, answer=Resource))
    async def get_resource(context: ServerContext, request: Request, *, id: str) -> AnyAnswer:
        description = await context.library.describe(level, id)
        if description is None:
            return nothing(request)
        return await answer_one(context, description, view_of_url(context, request))

    @routes.delete(f"/{collection}/{{id}}", doc=Doc(answer=Deleted))
    async def delete_resource(context: ServerContext, request: Request, *, id: str) -> AnyAnswer:
        deletion = await context.removal.delete(level, id)
        if deletion is None:
            return nothing(request)
        ancestor = deletion.remaining_ancestor
        return json_answer(Deleted(None if ancestor is None else link(ancestor)))


def _mount_descendants(level: ResourceLevel, lower: ResourceLevel) -> None:
    @routes.get(
        f"/{level.collection}/{{id}}/{lower.collection}",
        doc=Doc(query=(EXPAND, *RESOURCE), answer=list[Resource | str]),
    )
    async def list_descendants(context: ServerContext, request: Request, *, id: str) -> AnyAnswer:
        await require(context, level, id)
        view = view_of_url(context, request)
        if not flag(request, "expand", default=True):
            return json_answer(await context.library.descendants(id, lower))
        return await answer_all(context, await context.library.describe_descendants(id, lower), view)


def _mount_ancestor(level: ResourceLevel, upper: ResourceLevel) -> None:
    @routes.get(
        f"/{level.collection}/{{id}}/{_PARENT_NAMES[upper]}", doc=Doc(query=RESOURCE, answer=Resource)
    )
    async def get_ancestor(context: ServerContext, request: Request, *, id: str) -> AnyAnswer:
        await require(context, level, id)
        description = await context.library.ancestor(id, upper)
        if description is None:
            raise UnknownResource
        return await answer_one(context, description, view_of_url(context, request))


for _level in ResourceLevel:
    _mount_level(_level)
    for _other in ResourceLevel:
        if _other > _level:
            _mount_descendants(_level, _other)
        elif _other < _level:
            _mount_ancestor(_level, _other)
