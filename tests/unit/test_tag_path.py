"""The notation of tags in sequences."""

import pytest

from orthanc_trio.dicom.tag_path import Parent, TagPath, parse_tag_path
from orthanc_trio.model.errors import OrthancError, ParameterOutOfRange, UnknownDicomTag

NAME, SEQUENCE, INNER = 0x00100010, 0x00081140, 0x00081250


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("PatientName", TagPath(NAME)),
        ("0010,0010", TagPath(NAME)),
        ("0010-0010", TagPath(NAME)),
        ("00100010", TagPath(NAME)),
        ("(0010,0010)", TagPath(NAME)),
        ("0009,10Ff", TagPath(0x000910FF)),
        ("ReferencedImageSequence[0].PatientName", TagPath(NAME, (Parent(SEQUENCE, 0),))),
        ("0008,1140[12].(0010,0010)", TagPath(NAME, (Parent(SEQUENCE, 12),))),
        (
            "(0008,1140)[*].RelatedSeriesSequence[2].00100010",
            TagPath(NAME, (Parent(SEQUENCE), Parent(INNER, 2))),
        ),
    ],
)
def test_every_notation_is_understood(text: str, expected: TagPath) -> None:
    assert parse_tag_path(text) == expected


@pytest.mark.parametrize(
    ("text", "error", "details"),
    [
        ("nope", UnknownDicomTag, "nope"),
        ("", UnknownDicomTag, ""),
        (" PatientName", UnknownDicomTag, " PatientName"),
        ("patientname", UnknownDicomTag, "patientname"),
        ("(PatientName)", UnknownDicomTag, "(PatientName)"),
        ("ReferencedImageSequence[0]", UnknownDicomTag, "ReferencedImageSequence[0]"),
        ("ReferencedImageSequence[0].", UnknownDicomTag, ""),
        ("nope[0].PatientName", UnknownDicomTag, "nope"),
        ("0008,1140.PatientName", ParameterOutOfRange, "Parent path doesn't contain an index"),
        ("0008,1140[].PatientName", ParameterOutOfRange, "Not a valid index in parent path: []"),
        ("0008,1140[a].PatientName", ParameterOutOfRange, "Not a valid index in parent path: [a]"),
        ("0008,1140[-1].PatientName", ParameterOutOfRange, "Negative index in parent path: -1"),
        ("0008,1140[0]." * 65 + "PatientName", ParameterOutOfRange, "Too many parents in the path of a tag"),
    ],
)
def test_a_wrong_path_is_refused(text: str, error: type[OrthancError], details: str) -> None:
    with pytest.raises(error) as refused:
        parse_tag_path(text)

    assert refused.value.details == details


@pytest.mark.parametrize(
    "text", ["0010,0010", "0008,1140[*].0010,0010", "0008,1140[3].0008,1250[0].0010,0010"]
)
def test_a_path_is_written_as_it_is_read(text: str) -> None:
    assert str(parse_tag_path(text)) == text
