"""How many requests there are, and how long they take. Source: `GET /tools/metrics-prometheus`."""

from time import perf_counter
from types import TracebackType

from ..metrics import Metrics
from .routing import METHODS

_OTHER = "other"


class RequestMeter:
    """Measures the requests of one door; `threads` is how many Orthanc would serve at the same time.

    As a context it counts one request as active. The time of a request ends when its answer begins to leave:
    how fast that is, is up to the client.
    """

    def __init__(self, metrics: Metrics, threads: int = 0) -> None:
        self._threads = threads
        self._active = 0
        self._most_active = metrics.largest("orthanc_rest_api_active_requests")
        self._duration_ms = metrics.largest("orthanc_rest_api_duration_ms")
        self._fewest_free = metrics.smallest(
            "orthanc_available_http_threads", "orthanc_available_http_threads_count"
        )
        self._requests = metrics.histogram(
            "orthanc_http_request_duration_seconds",
            "Time until the answer begins.",
            ("method", "route", "status"),
        )

    def __enter__(self) -> None:
        self._active += 1
        if self._most_active.see(self._active):  # the fewest are free when the most are active
            self._fewest_free.see(max(0, self._threads - self._active))

    def __exit__(
        self, type: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._active -= 1

    def answered(self, method: str, pattern: str, status: int, started_s: float) -> None:
        """Record a request that came when `perf_counter()` was `started_s`; no pattern is an unknown URL."""
        duration_s = perf_counter() - started_s
        self._duration_ms.see(int(duration_s * 1000))
        method = method if method in METHODS else _OTHER
        self._requests.observe((method, pattern, str(status)), duration_s)
