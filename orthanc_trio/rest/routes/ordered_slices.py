"""The slices of a series in their order. Source: the Orthanc Book, `/series/{id}/ordered-slices`."""

from ...model.resource import ResourceLevel
from ...services.context import ServerContext
from ...services.slices import OrderedSlices, order_slices
from ..answers import SlicesAnswer
from ..level import require
from ..routing import Doc, Routes
from ..wire import AnyAnswer, Request, json_answer

_MOST_FRAMES = 1 << 20
"""More are not listed one by one, whatever a file says."""

routes = Routes()


@routes.get("/series/{id}/ordered-slices", doc=Doc(answer=SlicesAnswer))
async def get_ordered_slices(context: ServerContext, request: Request, *, id: str) -> AnyAnswer:
    """Answer the instances of a series, and their frames, in the order of their places or numbers."""
    await require(context, ResourceLevel.SERIES, id)
    instances = await context.library.describe_descendants(id, ResourceLevel.INSTANCE)
    return json_answer(slices_answer(order_slices([instance.facts for instance in instances])))


def slices_answer(ordered: OrderedSlices) -> SlicesAnswer:
    """Return what is answered of ordered slices."""
    frames = (
        f"/instances/{each.id}/frames/{frame}" for each in ordered.slices for frame in range(each.frames)
    )
    return SlicesAnswer(
        dicom=[f"/instances/{each.id}/file" for each in ordered.slices],
        slices=[path for path, _ in zip(frames, range(_MOST_FRAMES), strict=False)],
        slices_short=[(each.id, 0, each.frames) for each in ordered.slices],
        type="Volume" if ordered.is_volume else "Sequence",
    )
