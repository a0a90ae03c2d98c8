"""What requests to modify and to anonymise may say, and what they are answered otherwise."""

from typing import Any

import msgspec
import pytest

from orthanc_trio.dicom.modification import Modification, PathReplacement, named_patient
from orthanc_trio.dicom.modification_request import (
    anonymization_of_body,
    level_of_body,
    modification_of_body,
)
from orthanc_trio.dicom.tag_path import parse_tag_path
from orthanc_trio.model.errors import OrthancError
from orthanc_trio.model.resource import ResourceLevel

NAME, PATIENT_ID, DESCRIPTION = 0x00100010, 0x00100020, 0x00081030
STUDY_UID, SERIES_UID, SOP_UID = 0x0020000D, 0x0020000E, 0x00080018
METHOD = 0x00120063
PATH = "ReferencedImageSequence[0].PatientName"
IDENTIFIERS = ["PatientID", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"]
FULL_METHOD = "Orthanc 1.13.0 - PS 3.15-2023b Table E.1-1 Basic Profile"


def test_a_request_says_what_becomes_of_tags_and_paths() -> None:
    modification = modification_of_body(
        {
            "Replace": {"PatientName": "A", "0008-1030": None, PATH: "B"},
            "Remove": ["PatientAge", "ReferencedImageSequence[*].StudyDescription"],
            "Keep": ["SOPInstanceUID", "ReferencedImageSequence[1].PatientID"],
            "RemovePrivateTags": True,
            "PrivateCreator": "ME",
            "Force": True,
        },
        level=ResourceLevel.STUDY,
    )

    assert modification == Modification(
        level=ResourceLevel.STUDY,
        replacements={NAME: "A", DESCRIPTION: None},
        removals=frozenset((0x00101010,)),
        keeps=frozenset((SOP_UID,)),
        path_replacements=(PathReplacement(parse_tag_path(PATH), "B"),),
        path_removals=(parse_tag_path("0008,1140[*].0008,1030"),),
        path_keeps=(parse_tag_path("0008,1140[1].0010,0020"),),
        removes_private_tags=True,
        private_creator="ME",
    )


@pytest.mark.parametrize(
    "body",
    [
        {},
        {
            "Replace": {"PatientName": "A", "0008,1140": [{"PatientName": "B"}]},
            "Remove": [PATH],
            "Keep": [PATH],
        },
        {"ShiftDates": True, "Pseudonym": {"Key": "k"}},
        {"ShiftDates": 1},
    ],
)
def test_a_modification_can_be_saved(body: Any) -> None:
    modification = anonymization_of_body(body)

    assert msgspec.json.decode(msgspec.json.encode(modification), type=Modification) == modification


def test_the_later_of_remove_replace_and_keep_counts() -> None:
    tags = ["PatientName", "PatientAge", "StudyID"]
    modification = modification_of_body(
        {"Keep": tags[:1], "Replace": dict.fromkeys(tags[:2], "x"), "Remove": tags}, level=ResourceLevel.STUDY
    )

    assert modification.keeps == {NAME}
    assert modification.replacements == {0x00101010: "x"}
    assert modification.removals == {0x00200010}


@pytest.mark.parametrize(
    ("replaced", "level"),
    [
        ([], ResourceLevel.INSTANCE),
        (["SOPInstanceUID"], ResourceLevel.INSTANCE),
        (["SeriesInstanceUID"], ResourceLevel.SERIES),
        (["SeriesInstanceUID", "StudyInstanceUID"], ResourceLevel.STUDY),
        (["SeriesInstanceUID", "PatientID"], ResourceLevel.PATIENT),
    ],
)
def test_the_level_is_that_of_the_highest_identifier_replaced(
    replaced: list[str], level: ResourceLevel
) -> None:
    body = {"Replace": dict.fromkeys(replaced, "1.2"), "Force": True}

    assert modification_of_body(body).level is level


@pytest.mark.parametrize(
    ("body", "level"),
    [({}, None), ({"Level": "Patient"}, 1), ({"Level": "series"}, 3), ({"Level": "Instance"}, 4)],
)
def test_the_level_of_a_bulk_request(body: Any, level: int | None) -> None:
    assert level_of_body(body) == level


@pytest.mark.parametrize("tag", IDENTIFIERS)
@pytest.mark.parametrize(
    ("member", "word"), [("Remove", "removed"), ("Replace", "replaced"), ("Keep", "kept")]
)
def test_an_identifier_needs_force(tag: str, member: str, word: str) -> None:
    body = {member: {tag: "1"} if member == "Replace" else [tag]}

    for parse in (modification_of_body, anonymization_of_body):
        with pytest.raises(OrthancError) as refused:
            parse(body)
        expected = f'Marking tag "{tag}" as to be {word} requires the "Force" option to be set to true'
        assert (refused.value.code.value, refused.value.details) == (8, expected)


@pytest.mark.parametrize("tag", IDENTIFIERS)
def test_an_identifier_is_never_removed(tag: str) -> None:
    with pytest.raises(OrthancError, match="forbidden to remove one of the main Dicom identifiers"):
        modification_of_body({"Remove": [tag], "Force": True})


def test_a_path_to_an_identifier_needs_no_force() -> None:
    path = "ReferencedImageSequence[0].StudyInstanceUID"
    body = {"Remove": [path], "Keep": [path], "Replace": {path: "1"}}

    assert modification_of_body(body).path_keeps == (parse_tag_path(path),)


BAD = [
    ([], 15, ""),
    (12, 15, ""),
    (None, 15, ""),
    ({"Force": 1}, 15, 'Member "Force" should be a Boolean value'),
    ({"Replace": []}, 8, ""),
    ({"Replace": None}, 8, ""),
    ({"Remove": {}}, 8, ""),
    ({"Remove": "PatientName"}, 8, ""),
    ({"Remove": [1]}, 8, ""),
    ({"Keep": [None]}, 8, ""),
    ({"Replace": {"nope": "x"}}, 27, "nope"),
    ({"Keep": ["nope"]}, 27, "nope"),
    ({"Remove": ["ReferencedImageSequence.PatientName"]}, 3, "Parent path doesn't contain an index"),
    ({"Replace": {"fffe,e000": "x"}}, 8, "The tags of items and delimiters have no value"),
    ({"PrivateCreator": 1}, 15, "String value expected in field: PrivateCreator"),
]
BAD_MODIFY = [({"RemovePrivateTags": "yes"}, 15, 'Member "RemovePrivateTags" should be a Boolean value')]
BAD_ANONYMIZE = [
    ({"KeepPrivateTags": 0}, 15, 'Member "KeepPrivateTags" should be a Boolean value'),
    ({"DicomVersion": "2009"}, 3, "Unknown specific version of the DICOM standard: 2009"),
    ({"DicomVersion": 2008}, 15, "DicomVersion should be a string"),
    ({"Pseudonym": "k"}, 15, "Object value expected in field: Pseudonym"),
    ({"Pseudonym": {}}, 15, "String value expected in field: Pseudonym.Key"),
    ({"ShiftDates": "5"}, 15, "Boolean or integer value expected in field: ShiftDates"),
    ({"ShiftDates": 40_000}, 3, "ShiftDates is at most 36500 days"),
]
CASES = (
    [(modification_of_body, *row) for row in BAD + BAD_MODIFY]
    + [(anonymization_of_body, *row) for row in BAD + BAD_ANONYMIZE]
    + [
        (level_of_body, {"Level": "Foo"}, 3, "Invalid resource type 'Foo'"),
        (level_of_body, {"Level": 1}, 15, "String value expected in field: Level"),
    ]
)


@pytest.mark.parametrize(("parse", "body", "code", "details"), CASES)
def test_a_bad_request_is_refused(parse: Any, body: Any, code: int, details: str) -> None:
    with pytest.raises(OrthancError) as refused:
        parse(body)

    assert (refused.value.code.value, refused.value.details) == (code, details)


@pytest.mark.parametrize(
    ("body", "method"),
    [
        ({}, FULL_METHOD),
        ({"DicomVersion": "2021b"}, FULL_METHOD.replace("2023b", "2021b")),
        ({"DicomVersion": "2017c", "KeepPrivateTags": False}, FULL_METHOD.replace("2023b", "2017c")),
        ({"DicomVersion": "2008"}, "Orthanc 1.13.0 - PS 3.15-2008 Table E.1-1"),
        ({"Pseudonym": {"Key": "k"}, "Force": True}, FULL_METHOD),
        ({"Keep": ["StudyID"]}, "Orthanc 1.13.0"),
        ({"Remove": [PATH]}, "Orthanc 1.13.0"),
        ({"Replace": {"StudyID": "x"}}, "Orthanc 1.13.0"),
        ({"KeepPrivateTags": True}, "Orthanc 1.13.0"),
        ({"ShiftDates": True}, "Orthanc 1.13.0"),
        ({"Replace": {"DeidentificationMethod": "mine"}}, "mine"),
    ],
)
def test_an_anonymisation_says_how_it_was_done(body: Any, method: str) -> None:
    assert anonymization_of_body(body).replacements[METHOD] == method


@pytest.mark.parametrize(
    ("body", "name"),
    [
        ({}, "Anonymized7"),
        ({"Replace": {"PatientName": "Mine"}}, "Mine"),
        ({"Keep": ["PatientName"]}, None),
        ({"Remove": ["PatientName"]}, None),
        ({"Pseudonym": {"Key": "k"}}, None),
    ],
)
def test_a_patient_is_named_unless_the_user_says_what(body: Any, name: str | None) -> None:
    assert named_patient(anonymization_of_body(body), 7).replacements.get(NAME) == name


def test_a_modification_names_nobody() -> None:
    assert NAME not in named_patient(modification_of_body({}), 7).replacements


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"Keep": IDENTIFIERS[1:]}, True),
        ({"Keep": IDENTIFIERS}, True),
        ({"Keep": IDENTIFIERS[1:3]}, False),
        ({"Keep": IDENTIFIERS[1:], "Replace": {"PatientID": "x"}}, False),
    ],
)
def test_whether_results_take_the_place_of_their_sources(body: Any, expected: bool) -> None:
    assert modification_of_body(body | {"Force": True}).keeps_all_uids is expected
