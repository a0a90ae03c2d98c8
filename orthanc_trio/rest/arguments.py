"""Arguments of URLs and headers that many routes share, as the OpenAPI document shows them."""

from .routing import Argument

EXPAND = Argument("expand", bool, "Whole objects in place of identifiers.")
SIMPLIFY = Argument("simplify", bool, "Tags by name.")
SHORT = Argument("short", bool, "Tags by number.")
FULL = Argument("full", bool, "Tags by number, with name and type.")
FORMAT = (SIMPLIFY, SHORT, FULL)
PAGE = (
    Argument("since", int, "How many to pass over; only together with limit."),
    Argument("limit", int, "How many at most; only together with since."),
)
REQUESTED_TAGS = Argument("requested-tags", str, "Names or numbers of more tags, separated by semicolons.")
RESOURCE = (*FORMAT, REQUESTED_TAGS, Argument("requestedTags", str, "The same, as older clients write it."))
"""How a resource is shown."""
RESPONSE_CONTENT = Argument("response-content", str, "The members to show, separated by semicolons.")
IGNORE_LENGTH = Argument("ignore-length", str, "Tags that are shown at any length, separated by commas.")
WHOLE = Argument("whole", bool, "Also what follows the pixels.")
FILENAME = Argument("filename", str, "The name under which a client saves the answer.")
TRANSCODING = (
    Argument("transcode", str, "The UID of a transfer syntax."),
    Argument("lossy-quality", int, "1 to 100."),
)
IF_MATCH = Argument("If-Match", str, "The revision that is to be changed.")
IF_NONE_MATCH = Argument("If-None-Match", str, "The revision that the client has.")
RANGE = Argument("Range", str, "A part of the content, in bytes.")
