"""Metrics: how instruments remember, and the two texts that tell of them."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from orthanc_trio.metrics import Metrics
from orthanc_trio.rest.metrics_text import open_metrics_text, prometheus_text


class Clock:
    def __init__(self) -> None:
        self.time_s = 1_795_300_710.795

    def __call__(self) -> float:
        return self.time_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def metrics(clock: Clock) -> Metrics:
    return Metrics(now=clock)


def parsed(text: str) -> list[Any]:
    """What another library reads in a text."""
    return list(text_string_to_metric_families(text))  # type: ignore[no-untyped-call]


def values(metrics: Metrics) -> dict[str, float]:
    return {sample.name: sample.value for sample in metrics.samples()}


def test_a_gauge_has_its_last_value_and_the_time_of_that(metrics: Metrics, clock: Clock) -> None:
    metrics.gauge("b").set(288)
    clock.time_s += 1
    metrics.gauge("a").set(24_014_345 / 1048576)
    assert prometheus_text(metrics) == "a 22.9018631 1795300711795\nb 288 1795300710795\n"


def test_what_was_never_recorded_is_not_shown(metrics: Metrics) -> None:
    metrics.gauge("a")
    metrics.largest("b")
    assert prometheus_text(metrics) == ""


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (0.0, "0"), (39206 / 1048576, "0.0373897552"), (0.1, "0.100000001"), (3.5, "3.5"), (-1, "-1")],
)
def test_fractions_are_of_single_precision(metrics: Metrics, value: float, text: str) -> None:
    metrics.gauge("a").set(value)
    assert prometheus_text(metrics).split()[1] == text


@pytest.mark.parametrize(("sign", "more", "less"), [(1, 9, 3), (-1, 3, 9)])
def test_an_extreme_stands_for_ten_seconds(
    metrics: Metrics, clock: Clock, sign: int, more: int, less: int
) -> None:
    extreme = metrics.largest("a") if sign > 0 else metrics.smallest("a")
    extreme.see(5)
    extreme.see(more)
    extreme.see(less)
    assert values(metrics) == {"a": more}
    clock.time_s += 10
    extreme.see(less)
    assert values(metrics) == {"a": more}
    clock.time_s += 0.001
    extreme.see(less)
    assert values(metrics) == {"a": less}


def test_disabling_forgets_nothing_and_records_nothing(metrics: Metrics) -> None:
    counter, gauge, largest = metrics.counter("a"), metrics.gauge("b"), metrics.largest("c")
    histogram = metrics.histogram("d", "")
    for is_enabled in (True, False):
        metrics.is_enabled = is_enabled
        counter.add(2)
        gauge.set(1 + is_enabled)
        largest.see(7 - is_enabled)
        histogram.observe((), 1.0)
    assert values(metrics) == {"a": 2, "b": 2, "c": 6}
    assert sum(histogram.series[()].counts) == 1


def test_no_addition_of_several_threads_is_lost(metrics: Metrics) -> None:
    counter, histogram = metrics.counter("a"), metrics.histogram("b", "")

    def add(_: int) -> None:
        for _ in range(2000):
            counter.add()
            histogram.observe((), 0.2)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(add, range(8)))
    assert values(metrics) == {"a": 16_000}
    assert sum(histogram.series[()].counts) == 16_000


def test_open_metrics_has_types_labels_and_buckets(metrics: Metrics) -> None:
    metrics.counter("orthanc_read_bytes").add(12)
    metrics.gauge("orthanc_up_time_s").set(3)
    requests = metrics.histogram("orthanc_seconds", 'Time of "requests".', ("route",), (0.1, 1.0))
    for value in (0.05, 0.1, 0.5, 20.0):
        requests.observe(('/a "b" \\c',), value)
    families = {family.name: family for family in parsed(open_metrics_text(metrics))}
    assert families["orthanc_read_bytes"].type == "counter"
    assert [s.name for s in families["orthanc_read_bytes"].samples] == ["orthanc_read_bytes_total"]
    assert families["orthanc_up_time_s"].samples[0].value == 3
    found = families["orthanc_seconds"]
    assert found.documentation == 'Time of "requests".'
    assert {s.labels["route"] for s in found.samples} == {'/a "b" \\c'}
    buckets = [(s.labels["le"], s.value) for s in found.samples if s.name.endswith("_bucket")]
    assert buckets == [("0.1", 2), ("1.0", 3), ("+Inf", 4)]
    assert found.samples[-1].value == pytest.approx(20.65)
