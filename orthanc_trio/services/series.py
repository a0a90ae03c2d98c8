"""Whether a series is complete, and when it is worth looking."""

import re
from collections import OrderedDict
from collections.abc import Iterable
from enum import StrEnum

_INTEGER = re.compile(r"\s*([+]?[0-9]{1,12})\s*", re.ASCII)
_NEVER = -1
_WATCHED_SERIES = 4096


class SeriesStatus(StrEnum):
    """What is known about the instances of a series, in the words of the API."""

    UNKNOWN = "Unknown"
    MISSING = "Missing"
    INCONSISTENT = "Inconsistent"
    COMPLETE = "Complete"


def series_status(expected: str | None, indexes: Iterable[str | None]) -> SeriesStatus:
    """Compare the indexes of the instances with the expected number: complete are exactly 1 to that number.

    An instance without an index does not count. Source: the Orthanc Book, "Status of the series".
    """
    count = integer(expected)
    present = [integer(index) for index in indexes if index is not None]
    if count is None or None in present:
        return SeriesStatus.UNKNOWN
    in_range = {index for index in present if index is not None and 1 <= index <= count}
    if len(in_range) != len(present):
        return SeriesStatus.INCONSISTENT
    return SeriesStatus.COMPLETE if len(in_range) == count else SeriesStatus.MISSING


def integer(text: str | None) -> int | None:
    """Return the number in a text of metadata, None if there is none or a negative one."""
    match = _INTEGER.fullmatch(text) if text is not None else None
    return int(match[1]) if match else None


class CompletionWatch:
    """Remembers how many more instances a series needs before it can be complete.

    So the index is asked for all instances of a series only when the answer can be yes. A hint only: what is
    forgotten is asked for again. Used inside writes of the index, which run one at a time.
    """

    def __init__(self) -> None:
        self._missing: OrderedDict[str, int] = OrderedDict()

    def begin(self, series_id: str, expected: int | None) -> None:
        """Note a new series, before its first instance is counted."""
        self._note(series_id, _NEVER if expected is None else expected)

    def is_due(self, series_id: str) -> bool:
        """Count one more instance and return whether the series must be looked at."""
        missing = self._missing.get(series_id, 0)
        if missing > 0:
            self._missing[series_id] = missing = missing - 1
        return missing == 0

    def looked(self, series_id: str, expected: str | None, instances: int) -> None:
        """Note what was found when the series was looked at."""
        count = integer(expected)
        self._note(series_id, _NEVER if count is None else max(0, count - instances))

    def _note(self, series_id: str, missing: int) -> None:
        self._missing[series_id] = missing
        self._missing.move_to_end(series_id)
        if len(self._missing) > _WATCHED_SERIES:
            self._missing.popitem(last=False)
