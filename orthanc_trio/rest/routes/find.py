"""Search resources. Source: the Orthanc Book, "Finding resources"."""

from ...model.errors import BadFileFormat
from ...services.context import ServerContext
from ...services.finder import Search
from ..answers import Count, Resource, ResourceLink, link
from ..bodies import BulkContentBody, CountBody, FindBody
from ..describing import answer_all
from ..fields import Fields
from ..find_body import FindReader, format_of, level_of, read_object
from ..presence import while_present
from ..resource_json import USUAL_CONTENT, Content, View
from ..routing import Doc, Routes
from ..wire import Answer, AnyAnswer, Request, json_answer

routes = Routes()


@routes.post("/tools/find", hot=True, doc=Doc(body=FindBody, answer=list[Resource | str]))
async def find(context: ServerContext, request: Request) -> AnyAnswer:
    """Answer the resources that meet a query: their identifiers, or with `Expand` all about them."""
    question = _reader(context).find(read_object(await request.body(), FindBody))
    search, view = question.search, question.view
    if search.is_of_index and (view is None or not view.tags):
        return await _answer(context, search, view)
    # It may have to read many files: that ends when the client leaves.
    answers: list[Answer] = []

    async def work() -> None:
        answers.append(await _answer(context, search, view))

    await while_present(work, request.wait_gone)
    return answers[0] if answers else Answer()


async def _answer(context: ServerContext, search: Search, view: View | None) -> Answer:
    ids = await context.finder.ids(search)
    if view is None:
        return json_answer(ids)
    return await answer_all(context, await context.library.describe_all(ids), view)


@routes.post("/tools/count-resources", hot=True, doc=Doc(body=CountBody, answer=Count))
async def count_resources(context: ServerContext, request: Request) -> AnyAnswer:
    """Answer how many resources meet a query."""
    search = _reader(context).count(read_object(await request.body(), CountBody))
    return json_answer(Count(await context.finder.count(search)))


@routes.post("/tools/lookup", hot=True, doc=Doc(body="text/plain", answer=list[ResourceLink]))
async def look_up(context: ServerContext, request: Request) -> AnyAnswer:
    """Answer the resources that bear a PatientID, or a UID of a study, series or instance."""
    text = (await request.body()).decode("utf-8", "replace")
    found = await context.finder.lookup(text)
    return json_answer([link(ref) for ref in found])


@routes.post("/tools/bulk-content", doc=Doc(body=BulkContentBody, answer=list[Resource]))
async def bulk_content(context: ServerContext, request: Request) -> AnyAnswer:
    """Answer all about many resources, or about what is above or below them."""
    members = read_object(await request.body(), BulkContentBody)
    ids = members.get("Resources")
    if not isinstance(ids, list) or not all(isinstance(id, str) for id in ids):
        raise BadFileFormat("List of strings expected in field: Resources")
    fields = Fields(members)
    level = level_of(fields.text("Level", "")) if "Level" in members else None
    content = USUAL_CONTENT | {Content.METADATA} if fields.boolean("Metadata", True) else USUAL_CONTENT
    described = await context.finder.describe_moved(ids, level)
    return await answer_all(context, described, View(format_of(members), content))


def _reader(context: ServerContext) -> FindReader:
    return FindReader(context.finder, context.indexed_tags, context.metadata_names)
