"""Labels of resources. Source: the Orthanc Book, "Labels"; `/{level}/{id}/labels`, `/tools/labels`."""

from ...model.resource import ResourceLevel
from ...services.context import ServerContext
from ..level import require
from ..routing import Doc, Routes
from ..wire import AnyAnswer, Request, json_answer, nothing, text_answer

routes = Routes()


@routes.get("/tools/labels", doc=Doc(answer=list[str]))
async def list_labels_in_use(context: ServerContext, request: Request) -> AnyAnswer:
    """Answer each label that some resource bears."""
    return json_answer(await context.annotations.labels_in_use())


def _mount(level: ResourceLevel) -> None:
    labels = f"/{level.collection}/{{id}}/labels"

    @routes.get(labels, doc=Doc(answer=list[str]))
    async def list_labels(context: ServerContext, request: Request, *, id: str) -> AnyAnswer:
        return json_answer((await require(context, level, id)).facts.labels)

    @routes.get(labels + "/{label}", doc=Doc(answer="text/plain"))
    async def get_label(context: ServerContext, request: Request, *, id: str, label: str) -> AnyAnswer:
        description = await require(context, level, id)
        return text_answer() if label in description.facts.labels else nothing(request)

    @routes.put(labels + "/{label}", doc=Doc(answer="text/plain"))
    async def put_label(context: ServerContext, request: Request, *, id: str, label: str) -> AnyAnswer:
        await context.annotations.add_label(level, id, label)
        return text_answer()

    @routes.delete(labels + "/{label}", doc=Doc(answer="text/plain"))
    async def delete_label(context: ServerContext, request: Request, *, id: str, label: str) -> AnyAnswer:
        await context.annotations.remove_label(level, id, label)
        return text_answer()


for _level in ResourceLevel:
    _mount(_level)
