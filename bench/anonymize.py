"""Question: how fast is a study anonymised, by a job, and what does it cost the server?

The server is started anew after the upload, so that the peak of memory is that of the job. After each round
the result is checked and deleted.
"""

import time
from io import BytesIO

import pydicom

from .connection import Connection, request_head
from .data import Data, Instances
from .failure import require
from .load import load_study, wait_success
from .question import Better, Question, Sample
from .server import Server

_POLL_S = 0.03
_READ_BACK = 5


def _case(name: str, rate: float, memory: float | None = None) -> Question:
    def prepare(server: Server, data: Data) -> str:
        study = load_study(server, getattr(data, name))
        server.restart()
        return study

    def measure(server: Server, data: Data, study: str) -> list[Sample]:
        return _measure(server, getattr(data, name), study, rate, memory)

    return Question(name=f"anonymize/{name}", prepare=prepare, measure=measure)


def _measure(
    server: Server, instances: Instances, study: str, rate: float, memory: float | None
) -> list[Sample]:
    server.reset_peak()
    before_s, started = server.cpu_s(), time.perf_counter()
    with server.connect() as connection:
        job = connection.post_json(f"/studies/{study}/anonymize", {"Asynchronous": True})["ID"]
        ended = wait_success(connection, job, _POLL_S)
        elapsed_s, cpu_s = time.perf_counter() - started, server.cpu_s() - before_s
        peak_bytes = server.peak_rss_bytes()
        _check(connection, instances, ended["Content"]["ID"])
    count, label = len(instances.files), f"anonymize {instances.name}"
    return [
        Sample(label, "instances/s", count / elapsed_s, expected=rate),
        Sample(f"{label}: server CPU", "ms/instance", 1000 * cpu_s / count, Better.LOWER),
        Sample(f"{label}: peak RSS", "MB", peak_bytes / 1e6, Better.LOWER, expected=memory),
    ]


def _check(connection: Connection, instances: Instances, study: str) -> None:
    """Require as many instances as there were, without the patient and with the pixels; delete them."""
    found = [one["ID"] for one in connection.get_json(f"/studies/{study}/instances")]
    count = len(instances.files)
    require(len(found) == count, f"{len(found)} instances were made, not {count}")
    for id in found[:: max(1, count // _READ_BACK)]:
        dataset = pydicom.dcmread(BytesIO(connection.get(f"/instances/{id}/file")))
        require(str(dataset.PatientName).startswith("Anonymized"), "the patient is still named")
        require(dataset.AccessionNumber == "", "the accession number is still there")
        is_known = any(file.endswith(dataset.PixelData) for file in instances.files)
        require(is_known, "the pixels are not those of a source")
    answer = connection.request(request_head("DELETE", f"/studies/{study}"))
    require(answer.status == 200, f"the deletion answered {answer.status}")


QUESTIONS: list[Question] = [_case("ct", 4.0, 0.25), _case("small", 3.0)]
