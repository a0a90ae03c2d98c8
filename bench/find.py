"""Questions: how fast are resources found among many, listed in full, and the tags of instances shown?"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import msgspec

from .crowd import Crowd, patient_id
from .data import Data
from .failure import require
from .load import check_count, on_connections, posts_per_s, requests_per_s, upload
from .question import Better, Question, Sample
from .server import Server

_SECONDS = 3.0
_CONNECTIONS = (1, 8)
_FIND = "/tools/find"
_NO_SYNC = {"SyncStorageArea": False}  # both are filled the sooner

MANY = Crowd(patients=2000, per_study=25)
FEW = Crowd(patients=52, per_study=10)

Body = dict[str, Any]


def _fill(server: Server, crowd: Crowd) -> None:
    upload(server, list(crowd.files()), connections=4)
    check_count(server, crowd.instances)


def _many(data: Data) -> Crowd:
    return Crowd(patients=data.scaled(MANY.patients), per_study=MANY.per_study)


def _exact(crowd: Crowd) -> tuple[list[Body], int]:
    return [_body(PatientID=patient_id(number)) for number in range(crowd.patients)], 1


def _prefix(crowd: Crowd) -> tuple[list[Body], int]:
    return [_body(PatientName=f"doe{number:04}*") for number in range(crowd.patients // 100)], 100


def _infix(crowd: Crowd) -> tuple[list[Body], int]:
    return [_body(PatientName=f"*{number:02}^J*") for number in range(100)], crowd.patients // 100


def _expanded(crowd: Crowd) -> tuple[list[Body], int]:
    """Return the search for a thousand studies, or for all if there are fewer."""
    return [{**_body(PatientName="doe000*"), "Expand": True}], min(crowd.patients, 1000)


def _body(**query: str) -> Body:
    return {"Level": "Study", "Query": query}


class _Search(NamedTuple):
    label: str
    bodies_of: Callable[[Crowd], tuple[list[Body], int]]
    """The bodies to send in turn, and the number of studies that each finds."""
    expected: float | None


_SEARCHES = (
    _Search("a PatientID", _exact, None),
    _Search("PatientName DOE0001*, 100 hits", _prefix, 3.0),
    _Search("PatientName *01^J*, 20 hits", _infix, 3.0),
    _Search("1,000 studies, expanded", _expanded, 5.0),
)


def _measure_searches(server: Server, data: Data, _prepared: Any) -> list[Sample]:
    return [sample for search in _SEARCHES for sample in _samples(server, data, search)]


def _samples(server: Server, data: Data, search: _Search) -> Iterator[Sample]:
    bodies, count = search.bodies_of(_many(data))
    with server.connect() as connection:
        for body in (bodies[0], bodies[-1]):
            found = len(connection.post_json(_FIND, body))
            require(found == count, f"{body} found {found} studies, not {count}")
    encoded = [msgspec.json.encode(body).decode() for body in bodies]
    seconds = 1.0 if data.quick else _SECONDS
    for connections in _CONNECTIONS:
        cpu_s = server.cpu_s()
        rate = posts_per_s(server, _FIND, encoded, connections, seconds)
        cpu_us = (server.cpu_s() - cpu_s) / (rate * seconds) * 1e6
        label = f"find {search.label}, {on_connections(connections)}"
        yield Sample(label, "requests/s", rate, expected=search.expected)
        yield Sample(f"{label}: server CPU", "us/request", cpu_us, Better.LOWER)


def _fill_few(server: Server, _data: Data) -> dict[str, list[str]]:
    _fill(server, FEW)
    instances = server.get_json("/instances")
    return {
        "GET /studies?expand, 52 studies": ["/studies?expand"],
        "GET /instances/{id}/simplified-tags": [f"/instances/{id}/simplified-tags" for id in instances],
    }


def _measure_lists(server: Server, data: Data, paths_of: dict[str, list[str]]) -> list[Sample]:
    require(len(server.get_json("/studies?expand")) == FEW.patients, "not all studies are listed")
    seconds = 1.0 if data.quick else _SECONDS
    return [
        Sample(
            f"{label}, {on_connections(connections)}",
            "requests/s",
            requests_per_s(server, paths, connections, seconds),
            expected=3.0 if len(paths) == 1 else None,
        )
        for label, paths in paths_of.items()
        for connections in _CONNECTIONS
    ]


QUESTIONS = [
    Question(
        name="find/many",
        prepare=lambda server, data: _fill(server, _many(data)),
        measure=_measure_searches,
        settings=_NO_SYNC,
    ),
    Question(name="studies-expand", prepare=_fill_few, measure=_measure_lists, settings=_NO_SYNC),
]
