"""Question: how many small requests per second are answered?"""

from .data import Data
from .failure import require
from .jobs_latency import submit_tiny
from .load import load_one, on_connections, requests_per_s, wait_success
from .question import Question, Sample
from .server import Server

_SECONDS = 3.0


def _prepare(server: Server, data: Data) -> dict[str, str]:
    instance = load_one(server, data)
    with server.connect() as connection:
        job = submit_tiny(connection, instance)
        wait_success(connection, job, every_s=0.01)
    return {"/system": "/system", "/jobs/{id}": f"/jobs/{job}", "/instances/{id}": f"/instances/{instance}"}


def _measure(server: Server, data: Data, paths: dict[str, str]) -> list[Sample]:
    seconds = 1.0 if data.quick else _SECONDS
    return [
        _sample(server, label, path, connections, seconds)
        for label, path in paths.items()
        for connections in (1, 8)
    ]


def _sample(server: Server, label: str, path: str, connections: int, seconds: float) -> Sample:
    answer = server.get_json(path)
    require(path == "/system" or path.endswith(answer["ID"]), f"{path} answered something else")
    rate = requests_per_s(server, [path], connections, seconds)
    return Sample(f"GET {label}, {on_connections(connections)}", "requests/s", rate)


QUESTIONS = [Question(name="small-gets", prepare=_prepare, measure=_measure)]
