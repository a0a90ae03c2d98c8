"""Metrics as text: that of Orthanc, and OpenMetrics.

Source: the Orthanc Book, "Instrumentation with Prometheus"; the OpenMetrics specification 1.0.
"""

import struct
from collections.abc import Iterator
from itertools import accumulate
from typing import Final

from ..metrics import Histogram, Kind, Labels, Metrics, Number

PROMETHEUS: Final = "text/plain; version=0.0.4"
OPEN_METRICS: Final = "application/openmetrics-text; version=1.0.0; charset=utf-8"


def prometheus_text(metrics: Metrics) -> str:
    """Return a line of name, value and milliseconds since 1970 for each metric: no types, no labels.

    Web interfaces take each line with three words for a metric, so nothing else may be here.
    """
    return "".join(
        f"{sample.name} {_single(sample.value)} {int(sample.time_s * 1000)}\n" for sample in metrics.samples()
    )


def _single(value: Number) -> str:
    """Return a number, fractions in single precision."""
    if isinstance(value, int):
        return str(value)
    return f"{struct.unpack('f', struct.pack('f', value))[0]:.9g}"


def open_metrics_text(metrics: Metrics) -> str:
    """Return all metrics with their types, the distributions with their labels."""
    return "\n".join([*_numbers(metrics), *_distributions(metrics), "# EOF", ""])


def _numbers(metrics: Metrics) -> Iterator[str]:
    for sample in metrics.samples():
        family = sample.name.removesuffix("_total")
        suffix = "_total" if sample.kind is Kind.COUNTER else ""
        yield f"# TYPE {family} {sample.kind.value}"
        yield f"{family}{suffix} {sample.value} {sample.time_s:.3f}"


def _distributions(metrics: Metrics) -> Iterator[str]:
    for name, histogram in sorted(metrics.histograms.items()):
        yield f"# TYPE {name} histogram"
        yield f"# HELP {name} {_escaped(histogram.text)}"
        for labels, series in sorted(histogram.series.items()):
            counts = list(accumulate(series.counts))
            for bound, count in zip((*histogram.bounds, "+Inf"), counts, strict=True):
                bucket = _label_text(histogram, labels, f'le="{bound}"')
                yield f"{name}_bucket{bucket} {count}"
            yield f"{name}_count{_label_text(histogram, labels)} {counts[-1]}"
            yield f"{name}_sum{_label_text(histogram, labels)} {series.total:.9g}"


def _label_text(histogram: Histogram, values: Labels, *more: str) -> str:
    pairs = (f'{name}="{_escaped(value)}"' for name, value in zip(histogram.labels, values, strict=True))
    text = ",".join([*pairs, *more])
    return f"{{{text}}}" if text else ""


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
