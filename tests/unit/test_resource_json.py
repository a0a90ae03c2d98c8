from typing import Any

import pytest

from orthanc_trio.dicom.dictionary import STANDARD
from orthanc_trio.dicom.main_sequences import text_of_sequences
from orthanc_trio.dicom.main_tags import IndexedTags
from orthanc_trio.model.resource import Attachment, Facts, Metadata, ResourceLevel
from orthanc_trio.model.tags import MAIN_DICOM_TAGS
from orthanc_trio.rest.resource_json import Content, Found, Naming, View, resource_json
from orthanc_trio.services.library import Description
from orthanc_trio.services.metadata import MetadataNames

TAGS = IndexedTags(MAIN_DICOM_TAGS, STANDARD)


def facts(level: ResourceLevel, **changes: Any) -> Facts:
    values: dict[str, Any] = {
        "id": "i",
        "parent": None if level is ResourceLevel.PATIENT else "p",
        "tags": {},
        "metadata": {},
    }
    return Facts(level=level, **(values | changes))


def shown_as(facts: Facts, format: str, **how: Any) -> dict[str, Any]:
    description = Description(facts, is_stable=True)
    return resource_json(description, View(format, **how), Found(), Naming(TAGS, MetadataNames({})))


def test_a_study_shows_its_patient() -> None:
    study = facts(
        ResourceLevel.STUDY, tags={"0020,0010": "7"}, patient_tags={"0010,0020": "P"}, children=("s",)
    )
    shown = shown_as(study, "simplify")
    assert shown["MainDicomTags"] == {"StudyID": "7"}
    assert shown["PatientMainDicomTags"] == {"PatientID": "P"}
    assert (shown["ParentPatient"], shown["Series"], shown["IsStable"]) == ("p", ("s",), True)


@pytest.mark.parametrize(
    ("format", "tags"),
    [
        ("simplify", {"StudyID": "7"}),
        ("short", {"0020,0010": "7"}),
        ("full", {"0020,0010": {"Name": "StudyID", "Type": "String", "Value": "7"}}),
    ],
)
def test_tags_have_three_formats(format: str, tags: dict[str, Any]) -> None:
    study = facts(ResourceLevel.STUDY, tags={"0020,0010": "7"})
    assert shown_as(study, format)["MainDicomTags"] == tags


@pytest.mark.parametrize(
    ("format", "tags"),
    [
        ("simplify", {"RequestAttributesSequence": [{"ScheduledProcedureStepID": "1"}]}),
        ("short", {"0040,0275": [{"0040,0009": "1"}]}),
        (
            "full",
            {
                "0040,0275": {
                    "Name": "RequestAttributesSequence",
                    "Type": "Sequence",
                    "Value": [
                        {"0040,0009": {"Name": "ScheduledProcedureStepID", "Type": "String", "Value": "1"}}
                    ],
                }
            },
        ),
    ],
)
def test_sequences_among_the_main_tags_are_arrays_in_all_formats(format: str, tags: dict[str, Any]) -> None:
    item = {"0040,0009": {"Name": "ScheduledProcedureStepID", "Type": "String", "Value": "1"}}
    text = text_of_sequences({"0040,0275": [item]}, STANDARD)
    series = facts(ResourceLevel.SERIES, metadata={Metadata.MAIN_DICOM_SEQUENCES: text})
    assert shown_as(series, format)["MainDicomTags"] == tags


def test_an_instance_shows_its_file_and_its_index() -> None:
    dicom = Attachment(type=1, uuid="u", size=3, uncompressed_size=5)
    instance = facts(ResourceLevel.INSTANCE, dicom=dicom, metadata={Metadata.INDEX_IN_SERIES: "4"})
    shown = shown_as(instance, "simplify")
    assert (shown["FileSize"], shown["FileUuid"], shown["IndexInSeries"]) == (5, "u", 4)
    assert "IsStable" not in shown


@pytest.mark.parametrize(("index", "shown"), [("-3", None), ("", None), ("007", 7), ("+4", 4), ("a", None)])
def test_an_index_is_no_negative_number(index: str, shown: int | None) -> None:
    dicom = Attachment(type=1, uuid="u", size=3, uncompressed_size=5)
    instance = facts(ResourceLevel.INSTANCE, dicom=dicom, metadata={Metadata.INDEX_IN_SERIES: index})
    assert shown_as(instance, "simplify")["IndexInSeries"] == shown


def test_only_patients_show_their_protection() -> None:
    assert shown_as(facts(ResourceLevel.PATIENT), "short")["IsProtected"] is False
    assert "IsProtected" not in shown_as(facts(ResourceLevel.STUDY), "short")


def test_the_origin_of_a_modified_resource_is_shown() -> None:
    series = facts(
        ResourceLevel.SERIES, metadata={Metadata.MODIFIED_FROM: "a", Metadata.ANONYMIZED_FROM: "b"}
    )
    shown = shown_as(series, "simplify")
    assert (shown["ModifiedFrom"], shown["AnonymizedFrom"]) == ("a", "b")


def test_a_partial_view_shows_only_what_was_chosen() -> None:
    series = facts(ResourceLevel.SERIES, children=("i",), metadata={Metadata.LAST_UPDATE: "now", 1024: "x"})
    chosen = frozenset((Content.METADATA, Content.STATUS))
    assert shown_as(series, "simplify", content=chosen, is_partial=True) == {
        "ID": "i",
        "Metadata": {"1024": "x", "LastUpdate": "now"},
        "Status": "Unknown",
        "Type": "Series",
    }
