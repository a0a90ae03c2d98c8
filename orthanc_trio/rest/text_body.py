"""Bodies that are one word. Source: the Orthanc Book, "REST API"; `PUT /tools/metrics` and its like."""

from ..model.errors import BadFileFormat
from .wire import Request

_BOOLEANS = {b"1": True, b"true": True, b"0": False, b"false": False}


async def boolean_body(request: Request) -> bool:
    """Return the body as a Boolean. Raises BadFileFormat for anything but `0`, `1`, `true` and `false`."""
    value = _BOOLEANS.get((await request.body()).strip())
    if value is None:
        raise BadFileFormat("Boolean value expected")
    return value


async def word_body(request: Request) -> str:
    """Return the body as text; what is not UTF-8 is replaced, so that no word is found in it."""
    return (await request.body()).decode("utf-8", "replace")
