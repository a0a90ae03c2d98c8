"""The answers of Orthanc 1.13.0 to files of careless and unusual writers, recorded once, are ours as well."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.server import Server, running_server

from .conftest import GOLDEN
from .odd_files import odd_files

RECORDED: dict[str, Any] = json.loads((GOLDEN / "odd_files.json").read_text())
FILES = odd_files()
SHOWN = {"MainDicomTags", "PatientMainDicomTags", "Status", "ExpectedNumberOfInstances", "IndexInSeries"}
METADATA = {"1", "9", "10", "14", "15", "16", "17"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(tmp_path_factory.mktemp("odd"), SyncStorageArea=False) as server:
        yield server


def answers(server: Server, data: bytes) -> dict[str, Any]:
    """What a server says of a file that it is sent, as far as it says the same each time."""
    ids = server.post("/instances", data).json()
    instance = f"/instances/{ids['ID']}"
    said = {"ids": ids, "tags": server.get(f"{instance}/tags").json()}
    for path in (
        instance,
        f"/series/{ids['ParentSeries']}",
        f"/studies/{ids['ParentStudy']}",
        f"/patients/{ids['ParentPatient']}",
    ):
        level = path.split("/")[1]
        for switch in ("full", "short", "simplify") if level == "series" else ("full",):
            shown = server.get(f"{path}?{switch}").json()
            said[f"{level} {switch}"] = {name: shown[name] for name in sorted(SHOWN & shown.keys())}
        metadata = server.get(f"{path}/metadata?expand&numeric").json()
        said[f"{level} metadata"] = {
            number: json.loads(text) if number == "16" else text
            for number, text in metadata.items()
            if number in METADATA
        }
    return said


def test_every_file_was_recorded() -> None:
    assert set(FILES) == set(RECORDED)


@pytest.mark.parametrize("name", FILES)
def test_an_odd_file_is_understood_as_orthanc_understands_it(server: Server, name: str) -> None:
    said = answers(server, FILES[name])
    for what, recorded in RECORDED[name].items():
        assert said[what] == recorded, what
