"""What the server measures of itself: instruments by name, and the samples that they hold.

Recording never waits and is safe in every thread. While metrics are disabled nothing is recorded or shown,
and nothing that was recorded is forgotten. How they are written is in `rest/metrics_text.py`.
Source: the Orthanc Book, "Instrumentation with Prometheus".
"""

import time
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from enum import Enum
from threading import Lock
from typing import Final

from msgspec import Struct

LIFE_S: Final = 10.0
"""How long an extreme value stands against values that are less extreme."""

SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Bounds of the buckets of durations."""

Number = int | float
Labels = tuple[str, ...]


class Kind(Enum):
    """What the values of an instrument mean, in the words of OpenMetrics."""

    GAUGE = "gauge"
    COUNTER = "counter"


class Sample(Struct, frozen=True):
    """A value, and when it was recorded, in seconds since 1970."""

    name: str
    kind: Kind
    value: Number
    time_s: float


class Instrument:
    """One number: the last value that was set, or the sum of what was added."""

    def __init__(self, metrics: "Metrics", kind: Kind) -> None:
        self._metrics = metrics
        self._lock = Lock()
        self.kind = kind
        self.value: Number | None = None
        """None before anything was recorded."""
        self.time_s = 0.0

    def set(self, value: Number) -> None:
        """Record a value in place of the last one."""
        if self._metrics.is_enabled:
            self.value, self.time_s = value, self._metrics.now()

    def add(self, amount: Number = 1) -> None:
        """Add to the value, which begins at 0."""
        if self._metrics.is_enabled:
            with self._lock:
                self.value, self.time_s = (self.value or 0) + amount, self._metrics.now()


class Extreme(Instrument):
    """The largest (`sign` 1) or smallest (-1) of the last seconds: another value counts when that is old."""

    def __init__(self, metrics: "Metrics", sign: int) -> None:
        super().__init__(metrics, Kind.GAUGE)
        self._sign = sign

    def see(self, value: Number) -> bool:
        """Record a value if it is more extreme than the one that stands, or that one is too old.

        Return whether it was recorded.
        """
        if not self._metrics.is_enabled:
            return False
        now = self._metrics.now()
        with self._lock:
            standing = self.value
            if standing is None or (value - standing) * self._sign > 0 or now - self.time_s > LIFE_S:
                self.value, self.time_s = value, now
                return True
        return False

    def see_since(self, started_s: float) -> None:
        """Record the whole milliseconds since `time.perf_counter()` was `started_s`."""
        self.see(int((time.perf_counter() - started_s) * 1000))


class Distribution(Struct):
    """How many values were at most as large as each bound; the last count is that of all larger ones."""

    counts: list[int]
    total: float = 0.0


class Histogram:
    """Distributions of values, one for each combination of labels, of which there must be few."""

    def __init__(self, metrics: "Metrics", text: str, labels: Labels, bounds: Sequence[float]) -> None:
        self._metrics = metrics
        self._lock = Lock()
        self.text = text
        self.labels = labels
        self.bounds = bounds
        self.series: dict[Labels, Distribution] = {}

    def observe(self, labels: Labels, value: float) -> None:
        """Record a value."""
        if not self._metrics.is_enabled:
            return
        with self._lock:
            series = self.series.get(labels)
            if series is None:
                series = self.series[labels] = Distribution([0] * (len(self.bounds) + 1))
            series.counts[bisect_left(self.bounds, value)] += 1
            series.total += value


class Metrics:
    """The instruments of one server. Asking twice for a name gives the same instrument."""

    def __init__(self, *, is_enabled: bool = True, now: Callable[[], float] = time.time) -> None:
        self.is_enabled = is_enabled
        self.now = now
        self.started_s = time.monotonic()
        self._instruments: dict[str, Instrument] = {}
        self.histograms: dict[str, Histogram] = {}

    def gauge(self, name: str) -> Instrument:
        """Return a number that goes up and down."""
        return self._instruments.setdefault(name, Instrument(self, Kind.GAUGE))

    def counter(self, name: str) -> Instrument:
        """Return a number that only grows."""
        return self._instruments.setdefault(name, Instrument(self, Kind.COUNTER))

    def largest(self, name: str) -> Extreme:
        """Return the largest of the last seconds."""
        return self._extreme(name, 1)

    def smallest(self, name: str, *aliases: str) -> Extreme:
        """Return the smallest of the last seconds, which is shown under the other names as well."""
        found = self._extreme(name, -1)
        self._instruments.update(dict.fromkeys(aliases, found))
        return found

    def _extreme(self, name: str, sign: int) -> Extreme:
        found = self._instruments.setdefault(name, Extreme(self, sign))
        assert isinstance(found, Extreme)
        return found

    def histogram(
        self, name: str, text: str, labels: Labels = (), bounds: Sequence[float] = SECONDS
    ) -> Histogram:
        """Return the distributions of values; `text` says of what, for people."""
        return self.histograms.setdefault(name, Histogram(self, text, labels, bounds))

    def samples(self) -> Iterator[Sample]:
        """Yield all numbers that were recorded, in the order of their names."""
        for name, instrument in sorted(self._instruments.items()):
            if instrument.value is not None:
                yield Sample(name, instrument.kind, instrument.value, instrument.time_s)
