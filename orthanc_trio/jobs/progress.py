"""What a job may show besides its percentage: `Progress` and `FailedInstances` of its content.

A kind puts the result of `progress_content` into what it reports or returns. The engine adds the rate, joins
the failed instances to those that were told before, and shows a success without its progress.
"""

from collections.abc import Iterable
from typing import Any, Final

from ..model.job import FailedInstance, Progress

MAX_FAILED_INSTANCES: Final = 100
MAX_ERROR_CHARACTERS: Final = 256
WINDOW_S: Final = 5.0
"""The rate is that of the last one to two windows."""

_PROGRESS: Final = "Progress"
_FAILED: Final = "FailedInstances"


def progress_content(progress: Progress, failed: Iterable[FailedInstance] = ()) -> dict[str, Any]:
    """Return the part of a job's content that tells of `progress`, and of instances that failed since."""
    content: dict[str, Any] = {
        _PROGRESS: {
            "InstancesDone": progress.instances_done,
            "InstancesFailed": progress.instances_failed,
            "InstancesTotal": progress.instances_total,
            "Bytes": progress.bytes,
            "BytesPerSecond": 0,
            "Step": progress.step,
        }
    }
    return content | failures_content(failed)


def failures_content(failed: Iterable[FailedInstance]) -> dict[str, Any]:
    """Return the part of a job's content that tells of instances that failed; empty if none did."""
    failures = [{"ID": one.id, "Error": one.error[:MAX_ERROR_CHARACTERS]} for one in failed]
    return {_FAILED: failures} if failures else {}


def at_begin(content: dict[str, Any]) -> dict[str, Any]:
    """Return the content of a job that begins, perhaps anew: without what an earlier run told."""
    if content.keys().isdisjoint((_PROGRESS, _FAILED)):
        return content
    return {name: value for name, value in content.items() if name not in (_PROGRESS, _FAILED)}


def at_end(content: dict[str, Any], news: dict[str, Any] | None) -> dict[str, Any]:
    """Return the content of a job that succeeded with `news`: without progress, unless these tell of it."""
    if _PROGRESS not in content or (news and _PROGRESS in news):
        return content
    return {name: value for name, value in content.items() if name != _PROGRESS}


class ProgressMeter:
    """Joins what one attempt tells to the content that is there, and measures the rate of its bytes.

    Times are in seconds of any clock.
    """

    def __init__(self, content: dict[str, Any], now_s: float) -> None:
        self._base = self._mark = (now_s, content.get(_PROGRESS, {}).get("Bytes", 0))

    def joined(self, content: dict[str, Any], news: dict[str, Any], now_s: float) -> dict[str, Any]:
        """Return `content` with `news` at `now_s`."""
        result = content | news
        if _PROGRESS in news:
            rate = self._rate(news[_PROGRESS]["Bytes"], now_s)
            result[_PROGRESS] = news[_PROGRESS] | {"BytesPerSecond": rate}
        if _FAILED in news:
            result[_FAILED] = _joined_failures(content.get(_FAILED, []), news[_FAILED])
        return result

    def _rate(self, size: int, now_s: float) -> int:
        if now_s - self._mark[0] >= WINDOW_S:
            self._base, self._mark = self._mark, (now_s, size)
        elapsed_s, more = now_s - self._base[0], size - self._base[1]
        return round(max(more, 0) / elapsed_s) if elapsed_s > 0 else 0


def _joined_failures(known: list[dict[str, str]], news: list[dict[str, str]]) -> list[dict[str, str]]:
    """Return each instance once, with its newest error; only the first ones are kept."""
    failures = {one["ID"]: one for one in known}
    for one in news:
        if one["ID"] in failures or len(failures) < MAX_FAILED_INSTANCES:
            failures[one["ID"]] = one
    return list(failures.values())
