"""Names inside archives: every example that was seen on real servers, and what hostile tags may try."""

import pytest

from orthanc_trio.dicom.archive_names import (
    Layout,
    UniqueNames,
    clean,
    file_names,
    layout_of,
    media_file_name,
    patient_folder,
    series_folder,
    study_folder,
)
from orthanc_trio.model.resource import ResourceLevel


def patient(id: str, name: str = "", *, utf8: bool = False) -> str:
    return patient_folder({"0010,0020": id, "0010,0010": name}, utf8=utf8)


def study(accession: str = "", description: str = "", *, utf8: bool = False) -> str:
    return study_folder({"0008,0050": accession, "0008,1030": description}, utf8=utf8)


def series(number: str = "", modality: str = "", description: str = "") -> str:
    tags = {"0020,0011": number, "0008,0060": modality, "0008,103e": description}
    return series_folder(tags, utf8=False)


@pytest.mark.parametrize(
    ("id", "name", "expected"),
    [
        ("Vafk,T,6", "PHENIX", "Vafk,T,6 - PHENIX"),
        ("1", "Anonymous^Unknown", "1 - Anonymous^Unknown"),
        ("1", "", "1"),
        ("", "NAME", "- NAME"),
        ("", "", "Unknown Patient"),
        ("^^", "", "Unknown Patient"),
        ("A/B\\C:D*E", "", "A B C D E"),
        ("ZZ/1", "Doe^John", "ZZ 1 - Doe^John"),
        ("a\x00\t\n b", "", "a b"),
        ("a\tb\x1bc\x7fd\ne", "", "abcd e"),
    ],
)
def test_patient_folders(id: str, name: str, expected: str) -> None:
    assert patient(id, name) == expected


@pytest.mark.parametrize(
    ("accession", "description", "expected"),
    [
        ("A1", "TestSUVce-TF", "A1 - TestSUVce-TF"),
        ("", "TestSUVce-TF", "TestSUVce-TF"),
        ("A1", "", "A1"),
        ("", "", "Unknown Study"),
        ("", "Knee (R)", "Knee (R)"),
        ("", "^", "Unknown Study"),
    ],
)
def test_study_folders(accession: str, description: str, expected: str) -> None:
    assert study(accession, description) == expected


@pytest.mark.parametrize(
    ("number", "modality", "description", "expected"),
    [
        ("587370", "PT", "[WB_CTAC] Body", "587370 - PT - [WB_CTAC] Body"),
        ("", "PT", "", "PT"),
        ("1", "", "x", "1 - x"),
        ("", "", "", "Unknown Series"),
    ],
)
def test_series_folders(number: str, modality: str, description: str, expected: str) -> None:
    assert series(number, modality, description) == expected


def test_folders_without_any_tag() -> None:
    assert patient_folder({}, utf8=False) == "Unknown Patient"
    assert study_folder({}, utf8=True) == "Unknown Study"
    assert series_folder({}, utf8=True) == "Unknown Series"


def test_utf8_keeps_what_ascii_drops() -> None:
    description = "IRM cérébrale, neuro-crâne"
    assert study("", description, utf8=True) == description
    assert study("", description) == "IRM crbrale, neuro-crne"


def test_a_name_of_dropped_characters_only_is_unknown() -> None:
    assert study("", "東京") == "Unknown Study"
    assert study("", "東京", utf8=True) == "東京"


@pytest.mark.parametrize("character", [*':*?"<>|/\\', "\n", " "])
def test_replaced_characters_become_one_space(character: str) -> None:
    assert clean(f"a{character}{character}b{character}", utf8=False) == "a b"


@pytest.mark.parametrize("character", ["\t", "\x00", "\x1b", "\x7f"])
def test_control_characters_are_dropped_with_all_that_is_not_ascii(character: str) -> None:
    assert clean(f"a{character}b", utf8=False) == "ab"
    assert clean(f"a{character}b", utf8=True) == "a b"


@pytest.mark.parametrize("hostile", ["..", ".", "/../", "...", "../..", " . "])
def test_no_folder_leads_out_of_the_archive(hostile: str) -> None:
    for name in (patient(hostile), study(hostile), series(hostile)):
        assert set(name.split("/")).isdisjoint({"", ".", ".."})
        assert name.strip(". ")


@pytest.mark.parametrize("hostile", ["\u202e", "\u2028", "\x85", "\ud800"])
def test_utf8_names_have_no_invisible_characters(hostile: str) -> None:
    assert clean(f"a{hostile}b", utf8=True) in {"a b", "ab"}


def test_names_of_any_length_fit_in_a_zip() -> None:
    assert len(patient("x" * 201)) == 201
    assert len(patient("\U0001f600" * 100_000, utf8=True).encode()) * 3 < 65_000


def test_equal_names_get_suffixes() -> None:
    names = UniqueNames()
    assert [names.add(name) for name in ("A", "B", "A", "A")] == ["A", "B", "A-2", "A-3"]


def test_a_suffix_never_meets_a_name_that_looks_like_one() -> None:
    names = UniqueNames()
    given = [names.add(name) for name in ("A-2", "A", "A", "A-2", "A")]
    assert len(set(given)) == len(given)
    assert given[:2] == ["A-2", "A"]


@pytest.mark.parametrize(
    ("modality", "number", "expected"),
    [
        ("", "1", "00000001.dcm"),
        ("m", "1", "M0000001.dcm"),
        ("CT", "12", "CT000012.dcm"),
        ("MR", "1", "MR000001.dcm"),
        ("ctpt", "1", "CT000001.dcm"),
        ("CT", "1234567", "CT1234567.dcm"),
        ("CT", str(2**32 + 5), "CT000005.dcm"),
        ("CT", None, "CT000000.dcm"),
        ("CT", "-4", "CT000000.dcm"),
        ("CT", "1.5", "CT000000.dcm"),
        ("CT", "1_0", "CT000000.dcm"),
        ("CT", "+3 ", "CT000003.dcm"),
        ("CT", "9" * 5000, "CT000000.dcm"),
        ("é/", "1", "0000001.dcm"),
        (" x", "7", "X000007.dcm"),
    ],
)
def test_file_names(modality: str, number: str | None, expected: str) -> None:
    assert file_names(modality, [number]) == [(0, expected)]


def test_files_are_in_the_order_of_their_numbers() -> None:
    files = file_names("CT", ["10", "2", None])
    assert files == [(2, "CT000000.dcm"), (1, "CT000002.dcm"), (0, "CT000010.dcm")]


def test_equal_numbers_are_replaced_by_a_count_in_their_order() -> None:
    files = file_names("CT", ["9", "7", None, "7"])
    assert files == [(2, "CT000000.dcm"), (1, "CT000001.dcm"), (3, "CT000002.dcm"), (0, "CT000003.dcm")]


def test_instances_that_are_listed_keep_their_order_and_numbers() -> None:
    files = file_names("", ["2", "1", "2", None], are_listed=True)
    names = ["00000002.dcm", "00000001.dcm", "00000002.dcm-2", "00000000.dcm"]
    assert files == list(enumerate(names))


def test_media_files_are_counted() -> None:
    assert [media_file_name(position) for position in (0, 1, 10)] == ["IM0", "IM1", "IM10"]


@pytest.mark.parametrize(
    ("level", "is_post", "expected"),
    [
        (None, True, Layout.PATIENT),
        (None, False, Layout.PATIENT),
        (ResourceLevel.PATIENT, False, Layout.PATIENT),
        (ResourceLevel.PATIENT, True, Layout.PATIENT),
        (ResourceLevel.STUDY, False, Layout.STUDY),
        (ResourceLevel.STUDY, True, Layout.STUDY),
        (ResourceLevel.SERIES, False, Layout.STUDY),
        (ResourceLevel.SERIES, True, Layout.SERIES),
    ],
)
def test_the_route_decides_which_folders_there_are(
    level: ResourceLevel | None, is_post: bool, expected: Layout
) -> None:
    assert layout_of(level, is_post=is_post) is expected
