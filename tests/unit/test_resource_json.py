from typing import Any

import pytest

from orthanc_trio.model.resource import Attachment, Facts, Metadata, ResourceLevel
from orthanc_trio.rest.resource_json import resource_json


def facts(level: ResourceLevel, **changes: Any) -> Facts:
    values: dict[str, Any] = {
        "id": "i",
        "parent": None if level is ResourceLevel.PATIENT else "p",
        "tags": {},
        "metadata": {},
    }
    return Facts(level=level, **(values | changes))


def test_a_study_shows_its_patient() -> None:
    study = facts(
        ResourceLevel.STUDY, tags={"0020,0010": "7"}, patient_tags={"0010,0020": "P"}, children=("s",)
    )
    shown = resource_json(study, is_stable=True, format="simplify")
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
    assert resource_json(study, is_stable=False, format=format)["MainDicomTags"] == tags


def test_sequences_among_the_main_tags_are_arrays() -> None:
    sequences = '{"0040,0275": [{"ScheduledProcedureStepID": "1"}]}'
    series = facts(ResourceLevel.SERIES, metadata={Metadata.MAIN_DICOM_SEQUENCES: sequences})
    shown = resource_json(series, is_stable=False, format="simplify")["MainDicomTags"]
    assert shown == {"RequestAttributesSequence": [{"ScheduledProcedureStepID": "1"}]}


def test_an_instance_shows_its_file_and_its_index() -> None:
    dicom = Attachment(type=1, uuid="u", size=3, uncompressed_size=5)
    instance = facts(ResourceLevel.INSTANCE, dicom=dicom, metadata={Metadata.INDEX_IN_SERIES: "4"})
    shown = resource_json(instance, is_stable=False, format="simplify")
    assert (shown["FileSize"], shown["FileUuid"], shown["IndexInSeries"]) == (5, "u", 4)
    assert "IsStable" not in shown


def test_only_patients_show_their_protection() -> None:
    assert resource_json(facts(ResourceLevel.PATIENT), is_stable=True, format="short")["IsProtected"] is False
    assert "IsProtected" not in resource_json(facts(ResourceLevel.STUDY), is_stable=True, format="short")


def test_the_origin_of_a_modified_resource_is_shown() -> None:
    series = facts(
        ResourceLevel.SERIES, metadata={Metadata.MODIFIED_FROM: "a", Metadata.ANONYMIZED_FROM: "b"}
    )
    shown = resource_json(series, is_stable=True, format="simplify")
    assert (shown["ModifiedFrom"], shown["AnonymizedFrom"]) == ("a", "b")
