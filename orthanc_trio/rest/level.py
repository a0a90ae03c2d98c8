"""The resource that a URL names, at the level that it names."""

from ..model.errors import UnknownResource
from ..model.resource import ResourceLevel
from ..services.context import ServerContext
from ..services.library import Description


async def require(context: ServerContext, level: ResourceLevel, id: str) -> Description:
    """Return the description of a resource. Raises UnknownResource, also for one of another level."""
    description = await context.library.describe(level, id)
    if description is None:
        raise UnknownResource
    return description
