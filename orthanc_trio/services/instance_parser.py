"""Parse an instance without reading more of its file than its head. Blocks."""

from collections.abc import Callable

from ..dicom.parse import NeedMoreData, ParsedInstance, ParsePlan, parse_instance
from ..model.errors import BadFileFormat
from .spool import Buffer

_HEAD = 16 << 10
"""Most headers are shorter; what is parsed is copied."""
_LONGEST_HEAD = 1 << 30

Read = Callable[[int, int], Buffer]
"""Returns a number of bytes from an offset, fewer at the end."""


class InstanceParser:
    """Parses files, as much of them as it takes."""

    def __init__(self, plan: ParsePlan) -> None:
        self._plan = plan

    def parse(self, read: Read, total: int, default_encoding: str) -> ParsedInstance:
        """Parse a file of `total` bytes; `default_encoding` is for one that does not name its own.

        Raises BadFileFormat, InexistentTag for what is no instance.
        """
        size = min(_HEAD, total)
        while True:
            head = read(0, size)
            try:
                return parse_instance(
                    head if isinstance(head, bytes) else memoryview(head),  # the parser copies all but bytes
                    default_encoding=default_encoding,
                    total_size=total,
                    plan=self._plan,
                )
            except NeedMoreData as exc:
                size = min(max(exc.needed, 8 * size), total)
                if size > _LONGEST_HEAD:
                    raise BadFileFormat("The file has no pixels, and too many bytes of other data") from exc
