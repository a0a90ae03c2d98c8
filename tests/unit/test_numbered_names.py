import pytest

from orthanc_trio.model.errors import BadRequest, InexistentItem, ParameterOutOfRange
from orthanc_trio.services.numbered_names import NumberedNames


def test_a_number_without_a_name_is_its_own_one() -> None:
    names = NumberedNames({1: "dicom"}, {"mine": 1024})
    assert [names.name(number) for number in (1, 1024, 1025)] == ["dicom", "mine", "1025"]
    assert [names.number(name) for name in ("dicom", "mine", "1024", "1025", "-1")] == [
        1,
        1024,
        1024,
        1025,
        -1,
    ]
    with pytest.raises(InexistentItem):
        names.number("yours")


def test_names_and_numbers_belong_to_one_thing() -> None:
    with pytest.raises(BadRequest):
        NumberedNames({1: "dicom"}, {"dicom": 1024})
    with pytest.raises(ParameterOutOfRange):
        NumberedNames({1: "dicom"}, {"mine": 1024, "yours": 1024})
