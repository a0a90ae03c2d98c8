"""The pages of the log of changes, on a running server with 13 of them: as Orthanc 1.13.0 answers."""

from collections.abc import Iterator
from urllib.parse import quote

import pytest

from tests.support.dicom import make_instance
from tests.support.server import Server, running_server

ALL = list(range(1, 14))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(tmp_path_factory.mktemp("changes"), SyncStorageArea=False) as running:
        # Up to four levels of new resources for each file, and the last one completes its series.
        for data in (
            make_instance(patient_id="A", study=1),
            make_instance(patient_id="A", study=1, instance=2),
            make_instance(patient_id="A", study=2),
            make_instance(patient_id="B", study=3, CardiacNumberOfImages=1),
        ):
            assert running.post("/instances", data).status == 200
        yield running


@pytest.mark.parametrize(
    ("query", "seqs", "is_done"),
    [
        ("", ALL, True),
        ("last", [13], True),
        ("last=false&to=5&type=NewStudy", [13], True),
        ("since=2&limit=3", [3, 4, 5], False),
        ("since=-7&limit=1", [1], False),
        ("since=+11", [12, 13], True),
        ("since=100", [], True),
        ("limit=0", [], False),
        ("limit=-1", [], True),
        ("limit=+2", [1, 2], False),
        ("to=3", [1, 2, 3], True),
        ("to=0", [], True),
        ("to=-5", [], True),
        ("to=8&limit=2", [7, 8], False),
        ("since=0&to=8&limit=2", [7, 8], False),
        ("since=1&to=8&limit=2", [2, 3], False),
        ("since=6&to=8", [7, 8], True),
        ("since=abc&to=3&limit=2", ALL, True),
        ("to=", ALL, True),
        ("limit=3.5", ALL, True),
        ("since= 2", ALL, True),
        ("type=NewStudy", [3, 8, 11], True),
        ("type=NewStudy;NewPatient;", [3, 4, 8, 11, 12], True),
        ("type=NewStudy;Deleted&limit=1", [3], False),
        ("type=NewStudy&to=10", [3, 8], True),
        ("type=CompletedSeries", [13], True),
        ("type=Deleted", [], True),
        ("type=NewChildInstance", [], True),
        ("type=", ALL, True),
    ],
)
def test_a_page_of_the_log(server: Server, query: str, seqs: list[int], is_done: bool) -> None:
    page = server.get("/changes?" + quote(query, safe="=&;-")).json()
    assert [change["Seq"] for change in page["Changes"]] == seqs
    assert page["Done"] is is_done
    assert page.get("First") == (seqs[0] if seqs else None)
    assert page["Last"] == (seqs[-1] if seqs else 13)


@pytest.mark.parametrize("types", ["Foo", "newstudy", "NewStudy;;NewSeries"])
def test_an_unknown_type_is_refused(server: Server, types: str) -> None:
    reply = server.get(f"/changes?type={types}")
    assert (reply.status, reply.json()["OrthancStatus"]) == (400, 3)
