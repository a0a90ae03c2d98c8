import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest
from pydicom.config import disable_value_validation
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
)

from orthanc_trio.dicom import part10
from orthanc_trio.dicom.main_sequences import sequences_of_text
from orthanc_trio.dicom.parse import MAX_VALUE_BYTES, NeedMoreData, ParsedInstance, ParsePlan, parse_instance
from orthanc_trio.dicom.render import Format, Tags, in_format
from orthanc_trio.model.errors import BadFileFormat, InexistentTag, ParameterOutOfRange
from orthanc_trio.model.resource import DicomIdentifiers, ResourceLevel
from orthanc_trio.model.tags import MAIN_DICOM_TAGS, MainTag, extended
from tests.support.dicom import ABSENT, make_dataset, make_instance, series_uid, sop_uid, study_uid, write

PATIENT, STUDY, SERIES, INSTANCE = ResourceLevel


@pytest.fixture(autouse=True)
def _any_value_can_be_written() -> Iterator[None]:
    with disable_value_validation():
        yield


SYNTAXES = [
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
    JPEGBaseline8Bit,
]


def parse(**arguments: Any) -> ParsedInstance:
    return parse_instance(make_instance(**arguments))


def replaced(data: bytes, old: bytes, new: bytes) -> bytes:
    assert data.count(old) == 1
    assert len(old) == len(new)
    return data.replace(old, new)


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_a_file_is_described_in_every_encoding(syntax: str) -> None:
    data = make_instance(study=2, series=3, instance=4, transfer_syntax=syntax)

    parsed = parse_instance(data)

    assert parsed.identifiers == DicomIdentifiers("P1", study_uid(2), series_uid(2, 3), sop_uid(2, 3, 4))
    assert parsed.tags == {
        PATIENT: {"0010,0010": "Doe^Jane", "0010,0020": "P1"},
        STUDY: {
            "0008,0020": "20240102",
            "0008,0030": "030405",
            "0008,0050": "A2",
            "0008,1030": "Study 2",
            "0020,000d": study_uid(2),
        },
        SERIES: {
            "0008,0060": "CT",
            "0008,103e": "Series 3",
            "0020,000e": series_uid(2, 3),
            "0020,0011": "3",
        },
        INSTANCE: {"0008,0018": sop_uid(2, 3, 4), "0020,0013": "4"},
    }
    assert parsed.sequences == {}
    assert parsed.transfer_syntax == syntax
    assert parsed.sop_class_uid == "1.2.840.10008.5.1.4.1.1.2"
    assert parsed.index_in_series == "4"
    assert parsed.expected_number_of_instances is None


def test_a_memoryview_is_as_good_as_bytes() -> None:
    data = make_instance()
    assert parse_instance(memoryview(data)) == parse_instance(data)


def test_an_empty_file_is_refused() -> None:
    with pytest.raises(BadFileFormat, match=r"^Received an empty DICOM file$"):
        parse_instance(b"")


@pytest.mark.parametrize(
    "data",
    [
        b"x",
        b"PK\x03\x04" * 50,
        b"\0" * 128 + b"DICX" + b"\0" * 50,
        make_instance()[:-1],
        make_instance()[:500],
    ],
)
def test_what_is_no_dicom_file_or_cut_off_is_refused_with_its_size(data: bytes) -> None:
    with pytest.raises(BadFileFormat) as caught:
        parse_instance(data)
    assert caught.value.details == f"Cannot parse an invalid DICOM file (size: {len(data)} bytes)"


@pytest.mark.parametrize("keyword", ["StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"])
def test_an_absent_uid_is_an_inexistent_tag(keyword: str) -> None:
    with pytest.raises(InexistentTag):
        parse(**{keyword: ABSENT})


@pytest.mark.parametrize("keyword", ["StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"])
def test_an_empty_uid_is_a_bad_file(keyword: str) -> None:
    with pytest.raises(
        BadFileFormat, match=r"^missing StudyInstanceUID, SeriesInstanceUID or SOPInstanceUID$"
    ):
        parse(**{keyword: ""})


def test_a_dicomdir_has_no_uids() -> None:
    path = get_testdata_file("DICOMDIR", download=False)
    assert isinstance(path, str)
    with open(path, "rb") as file, pytest.raises(InexistentTag):
        parse_instance(file.read())


@pytest.mark.parametrize("value", ["", ABSENT])
def test_the_patient_id_may_be_empty_or_absent(value: object) -> None:
    assert parse(PatientID=value).identifiers.patient_id == ""


def test_leading_spaces_are_kept_and_padding_is_not() -> None:
    parsed = parse(PatientID=" a b ", StudyDescription="x\\ y \\z  ")
    assert parsed.identifiers.patient_id == " a b"
    assert parsed.tags[STUDY]["0008,1030"] == "x\\ y \\z"


def test_a_value_ends_at_a_nul() -> None:
    data = replaced(make_instance(PatientName="Doe^Jane12"), b"Doe^Jane12", b"Doe\0Jane\0 ")
    assert parse_instance(data).tags[PATIENT]["0010,0010"] == "Doe"


def test_an_empty_main_tag_is_there_and_an_absent_one_is_not() -> None:
    parsed = parse(PatientBirthDate="", AccessionNumber=ABSENT)
    assert parsed.tags[PATIENT]["0010,0030"] == ""
    assert "0008,0050" not in parsed.tags[STUDY]


def test_a_tag_of_two_levels_is_given_to_both() -> None:
    parsed = parse(ImageOrientationPatient=list("100010"), TimezoneOffsetFromUTC="+0100")
    assert parsed.tags[SERIES]["0020,0037"] == parsed.tags[INSTANCE]["0020,0037"] == r"1\0\0\0\1\0"
    assert parsed.tags[STUDY]["0008,0201"] == parsed.tags[SERIES]["0008,0201"] == "+0100"


@pytest.mark.parametrize(("size", "is_shown"), [(256, True), (257, False)])
def test_a_text_of_more_than_256_bytes_is_not_among_the_main_tags(size: int, is_shown: bool) -> None:
    assert ("0020,4000" in parse(ImageComments="x" * size).tags[INSTANCE]) is is_shown


def test_a_file_without_preamble_and_meta_information_is_read_as_what_it_looks_like() -> None:
    whole = make_instance(instance=7)
    start = whole.index(b"\x08\x00")
    bare = parse_instance(whole[start:])
    assert (bare.identifiers, bare.tags) == (parse_instance(whole).identifiers, parse_instance(whole).tags)
    assert bare.transfer_syntax == ExplicitVRLittleEndian


def test_a_file_that_begins_with_its_meta_information_is_read() -> None:
    whole, bare = parse_instance(make_instance()), parse_instance(make_instance()[132:])
    assert whole.pixel_data_offset is not None
    assert bare == msgspec.structs.replace(whole, pixel_data_offset=whole.pixel_data_offset - 132)


def test_the_padding_of_a_value_of_unknown_representation_is_kept() -> None:
    written = make_instance(patient_id="odd")
    place = written.index(b"\x10\x00\x20\x00LO")
    raw = written[:place] + b"\x10\x00\x20\x00UN\0\0\x04\0\0\0odd " + written[place + 12 :]
    assert parse_instance(raw).identifiers.patient_id == "odd "


def test_a_monstrous_value_is_not_indexed() -> None:
    data = make_instance(ImageComments="x" * (MAX_VALUE_BYTES + 2), transfer_syntax=ImplicitVRLittleEndian)
    assert "0020,4000" not in parse_instance(data).tags[INSTANCE]


# Text --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("charset", "name"),
    [
        ("ISO_IR 100", "Müller^Zoë"),
        ("ISO_IR 192", "王^小东"),
        ("ISO_IR 144", "Люк^Ж"),
        (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎"),
        ("GB18030", "王^小东"),
    ],
)
def test_text_is_read_in_the_character_set_of_the_file(charset: str, name: str) -> None:
    assert parse(SpecificCharacterSet=charset, patient_name=name).tags[PATIENT]["0010,0010"] == name


def test_text_without_a_character_set_is_read_in_the_default_encoding() -> None:
    data = replaced(make_instance(patient_name="Dxe^Jxne"), b"Dxe^Jxne", b"D\xcbe^J\xcbne")
    assert parse_instance(data).tags[PATIENT]["0010,0010"] == "DËe^JËne"
    assert parse_instance(data, default_encoding="Windows1251").tags[PATIENT]["0010,0010"] == "DЛe^JЛne"
    with pytest.raises(ParameterOutOfRange):
        parse_instance(data, default_encoding="Klingon")


def test_identifiers_are_hashed_as_utf8() -> None:
    latin = parse(SpecificCharacterSet="ISO_IR 100", patient_id="Müller").identifiers
    utf8 = parse(SpecificCharacterSet="ISO_IR 192", patient_id="Müller").identifiers
    assert latin.orthanc_id(PATIENT) == utf8.orthanc_id(PATIENT)


# VRs ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_binary_numbers_are_in_decimal(syntax: str) -> None:
    parsed = parse(NumberOfSlices=258, ImageIndex=65535, transfer_syntax=syntax)
    assert parsed.tags[SERIES]["0054,0081"] == "258"
    assert parsed.tags[INSTANCE]["0054,1330"] == "65535"


@pytest.mark.parametrize(
    ("vr", "value", "text"),
    [
        ("UN", b"A77 ", "A77"),
        ("LT", "A77", "A77"),
        ("US", [3, 4], "3\\4"),
        ("SS", -3, "-3"),
        ("FL", 10.1, "10.100000381469727"),
        ("FD", 0.1, "0.10000000000000001"),
        ("SV", -(2**40), str(-(2**40))),
        ("AT", [0x00540010, 0x7FE00010], r"0054,0010\7fe0,0010"),
        ("OB", b"A77 ", None),
        ("OF", b"\0\0\x80\x3f", "1"),
        ("SQ", [], None),
    ],
)
def test_the_vr_of_the_file_wins_over_the_usual_one(vr: str, value: object, text: str | None) -> None:
    dataset = make_dataset(AccessionNumber=ABSENT)
    dataset.add_new(0x00080050, vr, value)
    assert parse_instance(write(dataset)).tags[STUDY].get("0008,0050") == text


def test_a_table_with_further_tags_is_read_with_their_usual_vr() -> None:
    table = extended(
        MAIN_DICOM_TAGS,
        {INSTANCE: [MainTag("0028,0010", "Rows", "US"), MainTag("0018,9087", "DiffusionBValue", "FD")]},
    )
    for syntax in SYNTAXES:
        data = make_instance(DiffusionBValue=1000.5, transfer_syntax=syntax)
        tags = parse_instance(data, plan=ParsePlan(table)).tags[INSTANCE]
        assert (tags["0028,0010"], tags["0018,9087"]) == ("8", "1000.5")


# Numbers -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ({"ImagesInAcquisition": 10, "NumberOfTemporalPositions": 3}, 30),
        ({"NumberOfSlices": 7, "NumberOfTimeSlices": 2}, 14),
        ({"CardiacNumberOfImages": 5}, 5),
        ({"ImagesInAcquisition": 10}, None),
        ({"ImagesInAcquisition": 10, "CardiacNumberOfImages": 5}, 5),
        ({"ImagesInAcquisition": 0, "NumberOfTemporalPositions": 3}, None),
        ({"ImagesInAcquisition": "", "NumberOfTemporalPositions": 3, "CardiacNumberOfImages": 5}, None),
        ({"CardiacNumberOfImages": -5}, None),
        ({"CardiacNumberOfImages": " 5"}, 5),
    ],
)
def test_the_expected_number_of_instances(tags: dict[str, object], expected: int | None) -> None:
    assert parse(**tags).expected_number_of_instances == expected


@pytest.mark.parametrize("text", [b"1_000_000_00", b"9" * 12, b"five five fi"])
def test_an_expected_number_that_is_no_sane_integer_is_none(text: bytes) -> None:
    data = replaced(make_instance(CardiacNumberOfImages="123456789012"), b"123456789012", text)
    assert parse_instance(data).expected_number_of_instances is None


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ({"InstanceNumber": 7, "ImageIndex": 9}, "7"),
        ({"InstanceNumber": " 7"}, "7"),
        ({"InstanceNumber": ABSENT, "ImageIndex": 9}, "9"),
        ({"InstanceNumber": "", "ImageIndex": 9}, ""),
        ({"InstanceNumber": ABSENT, "ImageIndex": None}, None),
        ({"InstanceNumber": ABSENT}, None),
    ],
)
def test_the_index_in_the_series(tags: dict[str, object], expected: str | None) -> None:
    assert parse(**tags).index_in_series == expected


# Pixels ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("syntax", "element"),
    [
        (ExplicitVRLittleEndian, b"\xe0\x7f\x10\0OW\0\0\x80\0\0\0"),
        (ImplicitVRLittleEndian, b"\xe0\x7f\x10\0\x80\0\0\0"),
        (ExplicitVRBigEndian, b"\x7f\xe0\0\x10OW\0\0\0\0\0\x80"),
        (JPEGBaseline8Bit, b"\xe0\x7f\x10\0OB\0\0\xff\xff\xff\xff"),
    ],
)
def test_the_offset_of_the_pixels_is_that_of_their_element(syntax: str, element: bytes) -> None:
    data = make_instance(transfer_syntax=syntax)
    parsed = parse_instance(data)
    assert parsed.pixel_data_offset == data.index(element)
    assert parsed.pixel_data_vr is None


def test_a_deflated_file_has_no_offset_of_pixels() -> None:
    assert parse(transfer_syntax=DeflatedExplicitVRLittleEndian).pixel_data_offset is None


def test_a_file_without_pixels_has_no_offset() -> None:
    assert parse(rows=0).pixel_data_offset is None


def test_an_unusual_vr_of_the_pixels_is_told() -> None:
    data = replaced(make_instance(), b"\xe0\x7f\x10\0OW", b"\xe0\x7f\x10\0OB")
    assert parse_instance(data).pixel_data_vr == "OB"


# Encodings that are not what they say ------------------------------------------------------


def test_implicit_vr_under_an_explicit_transfer_syntax_is_understood() -> None:
    data = make_instance(transfer_syntax=ImplicitVRLittleEndian)
    meta = b"1.2.840.10008.1.2\0"
    parsed = parse_instance(replaced(data, meta, b"1.2.840.10008.1.9\0"))
    assert parsed.tags[PATIENT]["0010,0010"] == "Doe^Jane"


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian])
def test_a_transfer_syntax_that_is_not_said_is_guessed(syntax: str) -> None:
    data = make_instance(transfer_syntax=syntax)
    start = data.index(b"\x02\0\x12\0UI")
    end = data.index(b"\x08\0\x16\0" if syntax != ExplicitVRBigEndian else b"\0\x08\0\x16")
    for stump in (data[:132] + data[end:], data[:132] + data[start:]):
        parsed = parse_instance(stump)
        assert parsed.transfer_syntax == syntax
        assert parsed.identifiers.patient_id == "P1"


def test_garbage_after_the_dataset_is_passed_over() -> None:
    assert parse_instance(make_instance(rows=0) + b"\0" * 64).identifiers.patient_id == "P1"


# Heads -------------------------------------------------------------------------------------


def outcome(run: Callable[[], ParsedInstance]) -> ParsedInstance | None:
    try:
        return run()
    except NeedMoreData:
        return None


@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize("rows", [0, 8])
def test_a_head_gives_what_the_file_gives_or_asks_for_more(syntax: str, rows: int) -> None:
    data = make_instance(transfer_syntax=syntax, rows=rows)
    whole = parse_instance(data)
    for size in range(len(data)):
        head = outcome(lambda size=size: parse_instance(data[:size], total_size=len(data)))  # type: ignore[misc]
        assert head in (None, whole)
        is_enough = whole.pixel_data_offset is not None and size >= whole.pixel_data_offset + 12
        assert (head is not None) == is_enough or whole.pixel_data_offset is not None


def test_asking_again_with_what_is_needed_comes_to_an_end() -> None:
    data = make_instance(ImageComments="x" * 5000)
    sizes = [1]
    while True:
        try:
            parse_instance(data[: sizes[-1]], total_size=len(data))
            break
        except NeedMoreData as more:
            sizes.append(more.needed)
    assert sizes == sorted(set(sizes))
    assert 2 < len(sizes) < 100
    assert sizes[-1] < len(data)


# Bombs -------------------------------------------------------------------------------------


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian])
def test_a_bomb_of_nested_sequences_is_a_bad_file(syntax: str) -> None:
    dataset = make_dataset()
    nested = Dataset()
    for _ in range(100):
        outer = Dataset()
        outer.RequestAttributesSequence = [nested]
        nested = outer
    dataset.update(nested)
    with pytest.raises(BadFileFormat):
        parse_instance(write(dataset, syntax))


def test_a_deflate_bomb_is_a_bad_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(part10, "MAX_INFLATED", 10_000)
    with pytest.raises(BadFileFormat):
        parse(ImageComments="x" * 20_000, transfer_syntax=DeflatedExplicitVRLittleEndian)
    assert parse(rows=200, columns=200, transfer_syntax=DeflatedExplicitVRLittleEndian).index_in_series == "1"


def test_a_damaged_deflate_stream_is_a_bad_file() -> None:
    data = make_instance(transfer_syntax=DeflatedExplicitVRLittleEndian)
    for broken in (data[:-100], data[:400] + b"\xff" * 50):
        with pytest.raises(BadFileFormat):
            parse_instance(broken)


def test_a_class_that_a_file_does_not_name_is_none() -> None:
    dataset = make_dataset()
    data = write(dataset)
    assert data.count(b"\x08\0\x16\0UI") == 1
    assert parse_instance(data.replace(b"\x08\0\x16\0UI", b"\x08\0\x15\0UI")).sop_class_uid is None


# Sequences ---------------------------------------------------------------------------------


def request(**tags: object) -> Dataset:
    dataset = Dataset()
    for keyword, value in tags.items():
        setattr(dataset, keyword, value)
    return dataset


def human_requests(parsed: ParsedInstance) -> list[Tags]:
    """The items of the RequestAttributesSequence of a series, all that it has of sequences."""
    [items] = sequences_of_text(parsed.sequences[SERIES]).values()
    return [in_format(item, Format.HUMAN) for item in items]


@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize("is_undefined", [True, False])
def test_a_main_sequence_is_kept_as_human_readable_json(syntax: str, is_undefined: bool) -> None:
    item = request(
        RequestedProcedureID="R1 ",
        ScheduledProcedureStepDescription="é",
        ScheduledProtocolCodeSequence=[request(CodeValue="C", CodeMeaning=""), request()],
        ReasonForRequestedProcedureCodeSequence=[],
        RedPaletteColorLookupTableData=b"\0\1",
        EthnicGroup="x" * 300,
        PlacerOrderNumberProcedure="1",
        Rows=258,
    )
    item.add_new(0x00090010, "LO", "MAKER")
    item.add_new(0x00091001, "UN", b"secret")
    dataset = make_dataset(SpecificCharacterSet="ISO_IR 192", RequestAttributesSequence=[item, request()])
    dataset["RequestAttributesSequence"].is_undefined_length = is_undefined
    item.is_undefined_length_sequence_item = is_undefined

    parsed = parse_instance(write(dataset, syntax))

    assert list(parsed.sequences) == [SERIES]
    expected = {
        "RequestedProcedureID": "R1",
        "ScheduledProcedureStepDescription": "é",
        "ScheduledProtocolCodeSequence": [{"CodeMeaning": "", "CodeValue": "C"}, {}],
        "ReasonForRequestedProcedureCodeSequence": [],
        "RedPaletteColorLookupTableData": None,
        "RETIRED_EthnicGroup": None,
        "RETIRED_PlacerOrderNumberProcedure": "1",
        "Rows": "258",
        "PrivateCreator": "MAKER",
        "Unknown Tag & Data": None,
    }
    assert human_requests(parsed) == [expected, {}]
    assert "0040,0275" not in parsed.tags[SERIES]


def test_an_item_may_have_a_character_set_of_its_own() -> None:
    item = request(SpecificCharacterSet="ISO_IR 144", RequestedProcedureDescription="Люк")
    parsed = parse(SpecificCharacterSet="ISO_IR 100", RequestAttributesSequence=[item])
    assert "Люк" in parsed.sequences[SERIES]


def test_an_empty_main_sequence_is_an_empty_array() -> None:
    parsed = parse(RequestAttributesSequence=[])
    assert list(parsed.sequences) == [SERIES]
    assert human_requests(parsed) == []


@pytest.mark.parametrize(
    ("old", "new", "requests"),
    [
        # A value too long for its item ends with it; what is too short to be a header is passed over.
        (b"SH\x02\0R1", b"SH\xff\xffR1", [{"RequestedProcedureID": "R1"}]),
        (b"SH\x02\0R1", b"SH\0\0R1", [{"RequestedProcedureID": ""}]),
        (b"\xfe\xff\0\xe0", b"\xfe\xff\0\xe1", []),
    ],
)
def test_a_main_sequence_that_is_damaged_inside_does_not_spoil_the_file(
    old: bytes, new: bytes, requests: list[dict[str, str]]
) -> None:
    data = make_instance(RequestAttributesSequence=[request(RequestedProcedureID="R1")])
    parsed = parse_instance(replaced(data, old, new))
    assert human_requests(parsed) == requests
    assert parsed.index_in_series == "1"


def test_tags_without_a_keyword_have_the_names_that_the_api_gives_them() -> None:
    item = request()
    item.add_new(0x00080009, "LO", "\4\0\0\0")
    data = make_instance(RequestAttributesSequence=[item], transfer_syntax=ImplicitVRLittleEndian, rows=0)
    for number, shown in ((9, {"Unknown Tag & Data": None}), (0, {"GenericGroupLength": "4"})):
        patched = replaced(data, b"\x08\0\x09\0", bytes([8, 0, number, 0]))
        assert human_requests(parse_instance(patched)) == [shown]


def test_un_of_undefined_length_within_a_main_sequence_is_a_sequence() -> None:
    inner = request(RequestedProcedureID="R1")
    item = request(ScheduledProtocolCodeSequence=[inner])
    item["ScheduledProtocolCodeSequence"].is_undefined_length = True
    data = make_instance(RequestAttributesSequence=[item])
    data = replaced(data, b"\x40\0\x08\0SQ", b"\x40\0\x08\0UN")
    [shown] = human_requests(parse_instance(data))
    assert shown == {"ScheduledProtocolCodeSequence": [{"RequestedProcedureID": "R1"}]}


def test_a_file_without_a_main_sequence_does_not_wait_for_pydicom() -> None:
    program = (
        "import sys; from orthanc_trio.dicom.parse import parse_instance;"
        "parse_instance(sys.stdin.buffer.read()); sys.exit('pydicom' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], input=make_instance(), check=True, timeout=10)
