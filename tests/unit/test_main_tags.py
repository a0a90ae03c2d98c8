"""The main tags of a configuration, and their names without the whole dictionary."""

import subprocess
import sys

import pytest

from orthanc_trio.dicom.dictionary import STANDARD, Entry
from orthanc_trio.dicom.main_tags import IndexedTags, main_dicom_tags, places
from orthanc_trio.model.errors import UnknownDicomTag
from orthanc_trio.model.resource import ResourceLevel
from orthanc_trio.model.tags import MAIN_DICOM_TAGS, signature

PATIENT, STUDY, SERIES, INSTANCE = ResourceLevel

WITHOUT_PYDICOM = """
import sys
from orthanc_trio.dicom.dictionary import STANDARD
from orthanc_trio.dicom.main_tags import IndexedTags
from orthanc_trio.model.tags import MAIN_DICOM_TAGS
tags = IndexedTags(MAIN_DICOM_TAGS, STANDARD)
assert tags.number("PatientName") == 0x00100010 and tags.entry("0008,0061").name == "ModalitiesInStudy"
assert "pydicom" not in sys.modules
"""


def test_extra_tags_are_added_in_any_spelling() -> None:
    table = main_dicom_tags({PATIENT: ["PatientComments", "0010-0010"], SERIES: ["00280010"]}, STANDARD)
    assert signature(PATIENT, table).endswith("0010,1000;0010,4000")
    assert [row.name for row in table[SERIES] if row.tag == "0028,0010"] == ["Rows"]
    with pytest.raises(UnknownDicomTag):
        main_dicom_tags({PATIENT: ["Nonsense"]}, STANDARD)


def test_a_tag_is_where_the_lowest_level_from_the_own_one_up_has_it() -> None:
    assert places(MAIN_DICOM_TAGS, INSTANCE)["0020,0037"] is INSTANCE
    assert places(MAIN_DICOM_TAGS, SERIES)["0020,0037"] is SERIES
    assert places(MAIN_DICOM_TAGS, INSTANCE)["0010,0010"] is PATIENT
    assert "0020,0037" not in places(MAIN_DICOM_TAGS, STUDY)


def test_every_known_tag_is_named_as_the_dictionary_names_it() -> None:
    tags = IndexedTags(MAIN_DICOM_TAGS, STANDARD)
    for rows in MAIN_DICOM_TAGS.values():
        for row in rows:
            assert tags.entry(row.tag) == STANDARD.entry_of(row.number)
            assert tags.number(row.name) == row.number
    assert tags.entry("0028,0010") == Entry("Rows", b"US")
    assert tags.number("0028,0010") == tags.number("Rows") == 0x00280010


def test_known_tags_do_not_load_the_dictionary() -> None:
    subprocess.run([sys.executable, "-c", WITHOUT_PYDICOM], check=True, timeout=9)
