"""What is measured when somebody asks: counts, sizes, jobs, caches, threads.

Source: the Orthanc Book, "Instrumentation with Prometheus". A name of Orthanc 1.12 stays beside the one that
took its place in 1.13, so that no dashboard loses a line.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Final

from ..jobs.engine import JobsEngine
from ..metrics import Metrics
from ..model.job import JobState
from .context import ServerContext
from .job_statistics import JobMeter
from .library import Library
from .tags import TagReader

_MEBIBYTE: Final = 1024 * 1024
_PREFIX: Final = "orthanc_"

Values = dict[str, int | float]


async def measure(context: ServerContext) -> None:
    """Fill the gauges that are not recorded on the way, unless metrics are disabled."""
    metrics = context.metrics
    if not metrics.is_enabled:
        return
    values = {
        **await _index(context.library),
        **_jobs(context.jobs, context.job_meter),
        **_caches(context.library, context.tags),
        **_threads(context),
        "up_time_s": int(monotonic() - metrics.started_s),
    }
    for name, value in values.items():
        metrics.gauge(_PREFIX + name).set(value)


async def _index(library: Library) -> Values:
    statistics = await library.statistics()
    last = await library.changes(since=0, to=None, types=(), limit=1, from_end=True)
    return {
        "count_patients": statistics.patients,
        "count_studies": statistics.studies,
        "count_series": statistics.series,
        "count_instances": statistics.instances,
        "disk_size_mb": statistics.disk_size / _MEBIBYTE,
        "uncompressed_size_mb": statistics.uncompressed_size / _MEBIBYTE,
        "last_change": last.last_seq,
    }


def _jobs(jobs: JobsEngine, meter: JobMeter) -> Values:
    """Return the counts of what is there, and of what has ended since the start once something has."""
    count = jobs.count
    kept = {"success": count(JobState.SUCCESS), "failed": count(JobState.FAILURE)}
    total = {"success": meter.ended[JobState.SUCCESS], "failed": meter.ended[JobState.FAILURE]}
    values: Values = {
        "jobs_pending": count(JobState.PENDING) + count(JobState.RETRY),
        "jobs_running": count(JobState.RUNNING) + count(JobState.PAUSED),
        "jobs_completed": sum(kept.values()),
        **{f"jobs_{name}": number for name, number in kept.items()},
    }
    if any(total.values()):
        values |= {f"jobs_total_{name}": number for name, number in total.items()}
        values["jobs_total_completed"] = sum(total.values())
    return values


def _caches(library: Library, tags: TagReader) -> Values:
    """Return what the caches hold: files that are kept open, and tags that are kept in memory.

    The bytes of files are kept by the system alone; what is transcoded is not kept.
    """
    files = library.files
    return {
        **_cache("storage", files.count, 0, files.hits, files.misses),
        **_cache("dicom_parser", tags.kept_count, tags.kept_bytes, tags.hits, tags.misses),
        **_cache("transcoder", 0, 0, 0, 0),
        "dicom_cache_count": tags.kept_count,
        "dicom_cache_size_mb": tags.kept_bytes / _MEBIBYTE,
    }


def _cache(name: str, count: int, size_bytes: int, hits: int, misses: int) -> Values:
    return {
        f"{name}_cache_count": count,
        f"{name}_cache_size_mb": size_bytes / _MEBIBYTE,
        f"{name}_cache_hit_count": hits,
        f"{name}_cache_miss_count": misses,
    }


def _threads(context: ServerContext) -> Values:
    idle = context.storage.idle_threads
    return {
        "storage_available_threads": idle,
        "dicom_parser_available_threads": idle,  # files are parsed where they are read
        "sequential_reader_available_threads": context.storage.idle_long_threads,
        "transcoder_available_threads": context.workers.idle,
        "available_dicom_threads": context.settings.dicom_threads_count,
    }


@contextmanager
def counted_log(metrics: Metrics) -> Iterator[None]:
    """Count the errors and warnings that are logged while the context is open."""
    handler = _Counting(metrics)
    root = logging.getLogger()
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)


class _Counting(logging.Handler):
    def __init__(self, metrics: Metrics) -> None:
        super().__init__(logging.WARNING)
        self._errors = metrics.counter(_PREFIX + "logged_errors_count")
        self._warnings = metrics.counter(_PREFIX + "logged_warnings_count")
        self._errors.add(0)
        self._warnings.add(0)

    def emit(self, record: logging.LogRecord) -> None:
        counter = self._errors if record.levelno >= logging.ERROR else self._warnings
        counter.add()
