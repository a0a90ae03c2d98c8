"""The dictionary that is read alone says what pydicom says."""

import subprocess
import sys

from hypothesis import given
from hypothesis import strategies as st
from pydicom import datadict

from orthanc_trio.dicom.standard_tags import standard_row, tag_of_keyword, tags_of


def expected_row(tag: int) -> tuple[str, ...] | None:
    try:
        return datadict.get_entry(tag)
    except KeyError:
        return None


def test_every_tag_and_keyword_is_that_of_pydicom() -> None:
    for tag, row in datadict.DicomDictionary.items():  # type: ignore[attr-defined]
        assert standard_row(tag) == row
        assert tag_of_keyword(row[4]) == datadict.tag_for_keyword(row[4])
        assert tag in tags_of(row[0])


def test_repeating_groups_are_those_of_pydicom() -> None:
    for pattern in datadict.RepeatersDictionary:  # type: ignore[attr-defined]
        for digits in ("00", "02", "1e", "ff", "01"):
            filled = pattern.replace("xx", digits).replace("x", "2")
            tag = int(filled, 16)
            assert standard_row(tag) == expected_row(tag)


@given(st.integers(0, 0xFFFFFFFF))
def test_any_tag_is_that_of_pydicom(tag: int) -> None:
    assert standard_row(tag) == expected_row(tag)


def test_the_rest_of_pydicom_is_not_imported() -> None:
    code = (
        "import sys; from orthanc_trio.dicom.standard_tags import tag_of_keyword;"
        "assert tag_of_keyword('PatientName') == 0x00100010; assert 'pydicom' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
