"""Media and archives of resources of several levels hold what Orthanc 1.13.0 puts into them, recorded once.

Where the date of a study is empty in the file, Orthanc leaves it empty in the record; ours has the next best
one, since a DICOMDIR must have it (PS3.3 §F.5.2). Of three files Orthanc makes no media; ours does.
"""

import io
import json
import zipfile
from typing import Any

import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

from tests.support.server import Server

from .conftest import GOLDEN

RECORDED: list[dict[str, Any]] = json.loads((GOLDEN / "media.json").read_text())
LINKS = ("OffsetOfTheNextDirectoryRecord", "OffsetOfReferencedLowerLevelDirectoryEntity")
DATES = ("StudyDate", "StudyTime")


def shown(record: Dataset) -> dict[str, Any]:
    """Return the values of a record of a DICOMDIR as they were recorded."""
    return {
        element.keyword: list(map(str, element.value))
        if isinstance(element.value, MultiValue)
        else str(element.value)
        for element in record
        if element.keyword not in LINKS
    }


def without_dates(ours: list[dict[str, Any]], recorded: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return our records with the dates left empty that Orthanc leaves empty."""
    return [
        {key: "" if key in DATES and theirs.get(key) == "" else value for key, value in record.items()}
        for record, theirs in zip(ours, recorded, strict=True)
    ]


@pytest.mark.parametrize("number", range(len(RECORDED)))
def test_it_holds_what_orthanc_puts_in(filled: tuple[Server, dict[str, Any]], number: int) -> None:
    case = RECORDED[number]
    reply = filled[0].post(case["path"], case["body"])
    assert reply.status == 200, reply.body
    with zipfile.ZipFile(io.BytesIO(reply.body)) as archive:
        members = sorted([info.filename, info.CRC] for info in archive.infolist())
        assert [member for member in members if member[0] != "DICOMDIR"] == case["members"]
        if case["directory"] is None:
            assert "DICOMDIR" not in archive.namelist()
            return
        directory = pydicom.dcmread(io.BytesIO(archive.read("DICOMDIR")))
    records = [shown(record) for record in directory.DirectoryRecordSequence]
    assert all(record[key] for record in records for key in DATES if key in record)
    assert without_dates(records, case["directory"]) == case["directory"]
