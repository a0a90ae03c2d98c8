"""The resource that a URL names, at the level that it names."""

from ..model.errors import UnknownResource
from ..model.resource import ResourceLevel
from ..services.context import ServerContext
from ..services.library import Description


def check_level(context: ServerContext, level: ResourceLevel) -> None:
    """Raise UnknownResource for patients if the configuration does without them."""
    if level is ResourceLevel.PATIENT and not context.settings.patient_level_enabled:
        raise UnknownResource


async def require(context: ServerContext, level: ResourceLevel, id: str) -> Description:
    """Return the description of a resource. Raises UnknownResource, also for one of another level."""
    check_level(context, level)
    description = await context.library.describe(level, id)
    if description is None:
        raise UnknownResource
    return description
