"""The DICOM-as-JSON of Orthanc 1.13.0 for the files that come with pydicom, recorded once, is ours as well.

Left out: the patient without a PatientID, since it is by chance which of its unlike studies tells its module;
and, as in `test_golden_answers.py`, the file whose name in JIS X 0208 Orthanc does not decode.
"""

import json
from typing import Any

import pytest

from tests.support.server import Server

from .conftest import GOLDEN

RECORDED: dict[str, Any] = json.loads((GOLDEN / "pydicom_tags.json").read_text())
ROUTES = sorted({path.rpartition("/")[2] for path in RECORDED})


@pytest.mark.parametrize("route", ROUTES)
def test_tags_are_shown_as_orthanc_shows_them(filled: tuple[Server, dict[str, Any]], route: str) -> None:
    server = filled[0]
    connection = server.connect()
    for path in RECORDED:
        if path.rpartition("/")[2] == route:
            reply = server.request("GET", path, connection=connection)
            assert reply.status == 200, path
            assert reply.json() == RECORDED[path], path
    connection.close()
