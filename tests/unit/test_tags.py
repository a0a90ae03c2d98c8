import pytest

from orthanc_trio.model.resource import ResourceLevel
from orthanc_trio.model.tags import MAIN_DICOM_TAGS, MainTag, extended, signature

PATIENT, STUDY, SERIES, INSTANCE = ResourceLevel


@pytest.mark.parametrize(
    ("level", "count", "first", "last"),
    [
        (PATIENT, 5, "0010,0010", "0010,1000"),
        (STUDY, 11, "0008,0020", "0032,1060"),
        (SERIES, 26, "0008,0021", "0054,1000"),
        (INSTANCE, 11, "0008,0012", "0054,1330"),
    ],
)
def test_each_level_has_its_main_tags_in_ascending_order(
    level: ResourceLevel, count: int, first: str, last: str
) -> None:
    tags = [row.tag for row in MAIN_DICOM_TAGS[level]]
    assert (len(tags), tags[0], tags[-1]) == (count, first, last)
    assert tags == sorted(tags)


def test_signature_joins_the_tags_of_a_level() -> None:
    assert signature(PATIENT) == "0010,0010;0010,0020;0010,0030;0010,0040;0010,1000"
    assert ";0020,000d;" in signature(STUDY)


def test_number_of_a_tag_is_group_and_element() -> None:
    assert MainTag("7fe0,0010", "PixelData", "OW").number == 0x7FE00010


def test_names_and_vrs_agree_with_the_standard() -> None:
    from pydicom.datadict import dictionary_keyword, dictionary_VR

    for rows in MAIN_DICOM_TAGS.values():
        for row in rows:
            assert (row.name, row.vr) == (dictionary_keyword(row.number), dictionary_VR(row.number))


def test_an_extended_table_has_the_new_tag_in_its_place_and_leaves_the_default_alone() -> None:
    table = extended(MAIN_DICOM_TAGS, {PATIENT: [MainTag("0010,0021", "IssuerOfPatientID", "LO")]})

    assert signature(PATIENT, table) == "0010,0010;0010,0020;0010,0021;0010,0030;0010,0040;0010,1000"
    assert table[PATIENT][2].name == "IssuerOfPatientID"
    assert "0010,0021" not in signature(PATIENT)
    assert table[STUDY] == MAIN_DICOM_TAGS[STUDY]


def test_extending_by_a_tag_that_is_there_changes_nothing() -> None:
    assert extended(MAIN_DICOM_TAGS, {PATIENT: [MainTag("0010,0010", "Other", "LO")]}) == MAIN_DICOM_TAGS
