"""Metrics of a real server: every name, values that move, and what it takes to switch them off."""

from collections.abc import Iterator

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from tests.support.dicom import make_instance
from tests.support.server import Server, running_server

PROMETHEUS = "/tools/metrics-prometheus"
AT_ONCE = frozenset(
    {
        "available_dicom_threads",
        "available_http_threads",
        "available_http_threads_count",
        "count_instances",
        "count_patients",
        "count_series",
        "count_studies",
        "dicom_cache_count",
        "dicom_cache_size_mb",
        "dicom_parser_available_threads",
        "dicom_parser_cache_count",
        "dicom_parser_cache_hit_count",
        "dicom_parser_cache_miss_count",
        "dicom_parser_cache_size_mb",
        "disk_size_mb",
        "jobs_completed",
        "jobs_failed",
        "jobs_pending",
        "jobs_running",
        "jobs_success",
        "last_change",
        "logged_errors_count",
        "logged_warnings_count",
        "rest_api_active_requests",
        "rest_api_duration_ms",
        "sequential_reader_available_threads",
        "storage_available_threads",
        "storage_cache_count",
        "storage_cache_hit_count",
        "storage_cache_miss_count",
        "storage_cache_size_mb",
        "transcoder_available_threads",
        "transcoder_cache_count",
        "transcoder_cache_hit_count",
        "transcoder_cache_miss_count",
        "transcoder_cache_size_mb",
        "uncompressed_size_mb",
        "up_time_s",
    }
)
AFTER_USE = frozenset(
    {
        "jobs_total_completed",
        "jobs_total_failed",
        "jobs_total_success",
        "storage_create_duration_ms",
        "storage_read_bytes",
        "storage_read_duration_ms",
        "storage_remove_duration_ms",
        "storage_written_bytes",
        "store_dicom_duration_ms",
    }
)


@pytest.fixture
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(tmp_path_factory.mktemp("metrics"), SyncStorageArea=False) as server:
        yield server


def measured(server: Server) -> dict[str, float]:
    reply = server.get(PROMETHEUS)
    assert reply.headers["Content-Type"] == "text/plain; version=0.0.4"
    lines = [line.split(" ") for line in reply.body.decode().splitlines()]
    assert [name for name, _, _ in lines] == sorted(name for name, _, _ in lines)
    return {name.removeprefix("orthanc_"): float(value) for name, value, _ in lines}


def use(server: Server) -> int:
    """Store, read, archive and delete; return the size of a file."""
    data = make_instance()
    id = server.post("/instances", data).json()["ID"]
    for _ in range(2):
        server.get(f"/instances/{id}/simplified-tags")
        server.get(f"/instances/{id}/file")
    job = server.post("/tools/create-archive", {"Resources": [id], "Asynchronous": True}).json()
    server.wait_for_job(job["ID"])
    other = server.post("/instances", make_instance(patient_id="P2", study=2)).json()["ID"]
    server.request("DELETE", f"/instances/{other}")
    return len(data)


def test_every_name_is_there_and_counts(server: Server) -> None:
    first = measured(server)
    assert AT_ONCE - first.keys() == {"rest_api_duration_ms"}
    size = use(server)
    # A file is removed a moment after its row.
    server.wait_until(lambda: "storage_remove_duration_ms" in measured(server))
    values = measured(server)
    assert (AT_ONCE | AFTER_USE) - values.keys() == set()
    assert values["count_instances"] == values["count_patients"] == 1
    assert values["disk_size_mb"] == pytest.approx(size / 1048576)
    assert values["jobs_total_success"] == values["jobs_success"] == values["jobs_total_completed"] == 1
    assert values["jobs_total_failed"] == 0
    assert values["dicom_parser_cache_hit_count"] == values["dicom_parser_cache_miss_count"] == 1
    assert values["storage_cache_hit_count"] >= 1
    assert values["storage_written_bytes"] >= 2 * size
    assert values["storage_read_bytes"] >= size
    assert values["last_change"] == 8
    assert values["available_dicom_threads"] == 4


def test_nothing_is_shown_or_recorded_while_they_are_off(server: Server) -> None:
    server.request("PUT", "/tools/metrics", "0")
    reply = server.get(PROMETHEUS)
    assert (reply.status, reply.body) == (200, b"")
    assert server.get("/tools/metrics-openmetrics").body == b"# EOF\n"
    use(server)
    server.request("PUT", "/tools/metrics", "1")
    assert "storage_written_bytes" not in measured(server)


def test_requests_have_their_route_and_status(server: Server) -> None:
    server.get("/patients/x")
    server.get("/nowhere/at/all")
    reply = server.get("/tools/metrics-openmetrics")
    assert reply.headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
    families = text_string_to_metric_families(reply.body.decode())  # type: ignore[no-untyped-call]
    requests = next(f for f in families if f.name == "orthanc_http_request_duration_seconds")
    counts = {
        (sample.labels["method"], sample.labels["route"], sample.labels["status"]): sample.value
        for sample in requests.samples
        if sample.name.endswith("_count")
    }
    assert counts["GET", "/patients/{id}", "404"] == 1
    assert counts["GET", "", "404"] == 1
