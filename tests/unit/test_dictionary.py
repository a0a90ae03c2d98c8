"""The option Dictionary: its entries, and what the dictionary made of them says."""

import pickle
from typing import Any

import pytest

from orthanc_trio.config.dictionary import own_tags
from orthanc_trio.dicom.content import read_content
from orthanc_trio.dicom.dictionary import STANDARD, UNKNOWN, Dictionary
from orthanc_trio.dicom.render import Format, Rendering, render_dataset
from orthanc_trio.model.errors import (
    AlreadyExistingTag,
    BadFileFormat,
    OrthancError,
    ParameterOutOfRange,
    UnknownDicomTag,
)
from tests.support.dicom import make_dataset, write

BOOK = {
    "0405,0010": ["LO", "ReservedFor0405", 1, 1, "My Company"],
    "0405,1001": ["ST", "MyPrivateXMLTag", 1, 1, "My Company"],
}


def made_of(option: dict[str, Any], *, knows_vendors: bool = True) -> Dictionary:
    return Dictionary(tuple(own_tags(option)), knows_vendors=knows_vendors)


def test_own_private_tag_is_named_and_found() -> None:
    known = made_of(BOOK)
    assert known.tag_number("MyPrivateXMLTag") == 0x04051001
    assert known.tag_number("ReservedFor0405") == 0x04050010
    assert known.entry_of(0x04051001, "My Company") == ("MyPrivateXMLTag", b"ST")
    assert known.entry_of(0x04055501, "My Company") == ("MyPrivateXMLTag", b"ST")
    assert known.entry_of(0x04051001, "Another") is UNKNOWN
    assert known.entry_of(0x04051001) is UNKNOWN
    assert known.entry_of(0x04050010) == ("PrivateCreator", b"LO")


def test_own_private_tag_is_known_where_its_creator_is_not() -> None:
    known = made_of(BOOK)
    assert known.likely_entry(0x04051001) == ("MyPrivateXMLTag", b"ST")
    assert known.likely_entry(0x00100010).name == "PatientName"
    assert known.likely_entry(0x04091001) is UNKNOWN


def test_entry_without_creator_matches_where_none_applies() -> None:
    known = made_of({"0407,1001": ["DS", "Plain"], "0412,1001": ["LO", "Even", 1, 0]})
    assert known.entry_of(0x04071001) == ("Plain", b"DS")
    assert known.entry_of(0x04071001, "Somebody") is UNKNOWN
    assert known.entry_of(0x04121001) == ("Even", b"LO")


def test_low_byte_is_enough_for_a_private_tag() -> None:
    known = made_of({"0409,05": ["LO", "Low", 1, 0, "Short"]})
    assert known.entry_of(0x04091005, "Short").name == "Low"


def test_vendors_can_be_left_out() -> None:
    assert STANDARD.entry_of(0x0019108A, "GEMS_ACQU_01").vr == b"SS"
    assert made_of({}, knows_vendors=False).entry_of(0x0019108A, "GEMS_ACQU_01") is UNKNOWN


def test_a_process_keeps_one_dictionary_of_those_sent_to_it() -> None:
    sent = pickle.dumps(made_of(BOOK))
    first, second = pickle.loads(sent), pickle.loads(sent)
    assert first is second
    assert first.tag_number("MyPrivateXMLTag") == 0x04051001


def test_public_names_stay_known() -> None:
    known = made_of(BOOK)
    assert known.tag_number("PatientName") == known.tag_number("0010-0010") == 0x00100010
    with pytest.raises(UnknownDicomTag):
        known.tag_number("Nope")


@pytest.mark.parametrize(
    ("option", "error"),
    [
        ({"0405,1001": ["UI"]}, BadFileFormat),
        ({"0405,1001": ["UI", "a", 1, 1, "C", 1]}, BadFileFormat),
        ({"0405,1001": ["UI", "a", 1.0, 1, "C"]}, BadFileFormat),
        ({"0405,1001": ["UI", "a", True, 1, "C"]}, BadFileFormat),
        ({"0405,1001": ["UI", "a", 1, 1, None]}, BadFileFormat),
        ({"0405,1001": {"a": 1}}, BadFileFormat),
        ({"0405,1001": ["XX", "a"]}, ParameterOutOfRange),
        ({"0405,1001": ["UI", "a", 0]}, ParameterOutOfRange),
        ({"0405,1001": ["UI", "a", 3, 2]}, ParameterOutOfRange),
        ({"0408,1001": ["LO", "a", 1, 1, "C"]}, ParameterOutOfRange),
        ({"0005,1001": ["LO", "a", 1, 1, "C"]}, ParameterOutOfRange),
        ({"ffff,1001": ["LO", "a", 1, 1, "C"]}, ParameterOutOfRange),
        ({"PatientName": ["LO", "a"]}, UnknownDicomTag),
        ({"0010,0010": ["LO", "Mine", 1, 0]}, AlreadyExistingTag),
        ({"0019,108a": ["IS", "a", 1, 1, "GEMS_ACQU_01"]}, AlreadyExistingTag),
        (
            {"0405,1001": ["LO", "a", 1, 1, "C"], "0405-1001": ["LO", "b", 1, 1, "C"]},
            AlreadyExistingTag,
        ),
    ],
)
def test_entry_that_cannot_be_is_refused(option: dict[str, Any], error: type[OrthancError]) -> None:
    with pytest.raises(error):
        made_of(option)


def test_own_tags_are_shown_by_name_and_read_by_it() -> None:
    dataset = make_dataset()
    dataset.add_new(0x04050010, "LO", "My Company")
    dataset.add_new(0x04051001, "ST", "<a/>")
    data = write(dataset)
    known = made_of(BOOK)
    human = render_dataset(data, len(data), Rendering(Format.HUMAN, dictionary=known))
    assert human["MyPrivateXMLTag"] == "<a/>"
    assert read_content(data, ["MyPrivateXMLTag"], known) == b"<a/>"
