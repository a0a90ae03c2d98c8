"""The parser against pydicom as a second opinion, and against damage."""

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pydicom
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from pydicom.config import disable_value_validation
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.sequence import Sequence
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from orthanc_trio.dicom.parse import MAX_SHOWN_BYTES, NeedMoreData, ParsedInstance, parse_instance
from orthanc_trio.model.errors import BadFileFormat, InexistentTag, OrthancError
from orthanc_trio.model.tags import MAIN_DICOM_TAGS, MainTag
from tests.support.dicom import make_dataset, make_instance, write

SYNTAXES = [
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
]
DATA = Path(pydicom.__file__).parent / "data"
BUNDLED = sorted(path for path in DATA.rglob("*") if path.suffix == ".dcm" or "DICOMDIR" in path.name)
CUT_OFF = {"MR_truncated.dcm", "rtplan_truncated.dcm"}
"""Files that pydicom reads with a warning."""
ROWS = sorted(
    {row.tag: row for rows in MAIN_DICOM_TAGS.values() for row in rows}.values(), key=lambda row: row.tag
)
UIDS = {"SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"}
TEXT_ROWS = [row for row in ROWS if row.vr not in ("US", "SQ") and row.name not in UIDS]
NUMBER_ROWS = [row for row in ROWS if row.vr == "US"]
SHOWN = {row.tag for row in TEXT_ROWS + NUMBER_ROWS}
PIXEL_TAGS = (b"\xe0\x7f\x10\0", b"\x7f\xe0\0\x10")


@pytest.fixture(autouse=True, scope="module")
def _any_value_can_be_written() -> Iterator[None]:
    with disable_value_validation():
        yield


def flat(parsed: ParsedInstance) -> dict[str, str]:
    return {tag: value for tags in parsed.tags.values() for tag, value in tags.items()}


# The second opinion ---------------------------------------------------------------------------


def read_by_pydicom(path: Path) -> Dataset:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pydicom.dcmread(path, stop_before_pixels=True)


# Orthanc reads these, and pydicom only if it is forced to.
WITHOUT_PREAMBLE = {"ExplVR_BigEndNoMeta.dcm", "ExplVR_LitEndNoMeta.dcm", "rtstruct.dcm"}


def refusal(path: Path) -> type[OrthancError] | None:
    try:
        dataset = read_by_pydicom(path)
    except InvalidDicomError:
        return None if path.name in WITHOUT_PREAMBLE else BadFileFormat
    if path.name in CUT_OFF:
        return BadFileFormat
    return None if all(uid in dataset for uid in UIDS) else InexistentTag


def _text(element: pydicom.DataElement) -> str:
    value = element.value
    if value is None:
        return ""
    parts = value if isinstance(value, (list, pydicom.multival.MultiValue)) else [value]
    return "\\".join(str(part) for part in parts)


def _normal(value: str) -> str:
    # pydicom shows numbers in its own form, and strips them; names lose what is empty at their end.
    parts = [part.strip().rstrip("=") for part in value.split("\\")]
    return "\\".join(str(float(part)) if _is_number(part) else part for part in parts)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


@pytest.mark.parametrize(
    "path",
    [path for path in BUNDLED if refusal(path) is None and path.name not in WITHOUT_PREAMBLE],
    ids=lambda path: path.name,
)
def test_a_bundled_file_has_the_values_that_pydicom_reads(path: Path) -> None:
    data, dataset = path.read_bytes(), read_by_pydicom(path)
    theirs = {row.tag: _text(dataset[row.number]) for row in TEXT_ROWS + NUMBER_ROWS if row.number in dataset}
    theirs = {tag: value for tag, value in theirs.items() if len(value) <= MAX_SHOWN_BYTES}

    parsed = parse_instance(data)

    ours = {tag: value for tag, value in flat(parsed).items() if tag in SHOWN}
    assert {tag: _normal(value) for tag, value in ours.items()} == {
        tag: _normal(value) for tag, value in theirs.items()
    }
    assert parsed.identifiers.sop_instance_uid == dataset.SOPInstanceUID
    assert parsed.transfer_syntax == dataset.file_meta.TransferSyntaxUID
    if parsed.pixel_data_offset is not None:
        assert data[parsed.pixel_data_offset :][:4] in PIXEL_TAGS
    elif parsed.transfer_syntax != DeflatedExplicitVRLittleEndian:
        assert not any(tag in data for tag in PIXEL_TAGS)


@pytest.mark.parametrize("path", [path for path in BUNDLED if refusal(path)], ids=lambda path: path.name)
def test_a_bundled_file_that_is_no_instance_is_refused(path: Path) -> None:
    error = refusal(path)
    assert error
    with pytest.raises(error):
        parse_instance(path.read_bytes())


# Datasets that were never seen before ---------------------------------------------------------

# Without what pydicom takes off a component when it writes it again: outer spaces, and `=` in names.
characters = st.characters(codec="latin-1", exclude_characters="\\=", exclude_categories=["Cc"])
texts = st.text(characters, max_size=20).map(str.strip)
# pydicom converts numbers when it writes them in another encoding, so these have to be some.
numbers_as_text = {
    "IS": st.integers(-(2**31), 2**31 - 1).map(str),
    "DS": st.decimals(-1000, 1000, places=3, allow_nan=False).map(str),
}
private_values = st.one_of(
    st.tuples(st.sampled_from(["LO", "UT", "PN", "UC"]), texts),
    st.tuples(st.sampled_from(["OB", "UN"]), st.binary(max_size=40).map(lambda raw: raw + raw)),
    st.tuples(st.sampled_from(["US", "UL", "FD", "FL"]), st.lists(st.integers(0, 65535), max_size=3)),
    st.tuples(st.just("SV"), st.integers(-(2**60), 2**60)),
    st.tuples(st.just("AT"), st.integers(0, 2**32 - 1)),
)
private_elements = st.dictionaries(st.integers(0x1000, 0x10FF), private_values, max_size=4)


def _private(elements: dict[int, tuple[str, Any]], group: int) -> Dataset:
    dataset = Dataset()
    dataset.add_new(group << 16 | 0x10, "LO", "MAKER")
    for number, (vr, value) in elements.items():
        dataset.add_new(group << 16 | number, vr, value)
    return dataset


def _with_sequence(inner: Dataset, elements: dict[int, tuple[str, Any]], is_undefined: bool) -> Dataset:
    outer = _private(elements, 0x0011)
    outer.ReferencedImageSequence = Sequence([inner, Dataset()])
    outer["ReferencedImageSequence"].is_undefined_length = is_undefined
    inner.is_undefined_length_sequence_item = is_undefined
    return outer


nested = st.recursive(
    st.builds(_private, private_elements, st.just(0x0011)),
    lambda inner: st.builds(_with_sequence, inner, private_elements, st.booleans()),
    max_leaves=3,
)


@st.composite
def datasets(draw: st.DrawFn) -> tuple[Dataset, dict[str, str]]:
    """A dataset, and the values of its main tags as they are to be shown."""
    dataset = make_dataset(rows=draw(st.sampled_from([0, 2])), SpecificCharacterSet="ISO_IR 100")
    dataset.update(_private(draw(private_elements), 0x0009))
    dataset.update(draw(nested))
    rows: list[MainTag] = draw(st.lists(st.sampled_from(TEXT_ROWS), unique=True))
    expected: dict[str, str] = {}
    for row in rows:
        values = draw(st.lists(numbers_as_text.get(row.vr, texts), min_size=1, max_size=3))
        _set_text(dataset, row, "\\".join(values))
        expected[row.tag] = "\\".join(values).rstrip(" ")
    for row in draw(st.lists(st.sampled_from(NUMBER_ROWS), unique=True)):
        numbers = draw(st.lists(st.integers(0, 65535), max_size=3))
        dataset.add_new(row.number, "US", numbers)
        if numbers:
            expected[row.tag] = "\\".join(map(str, numbers))
    return dataset, expected


def _set_text(dataset: Dataset, row: MainTag, value: str) -> None:
    # Raw, so that pydicom decodes it only where an encoding asks for that.
    raw = value.encode("latin-1")
    dataset[row.number] = pydicom.dataelem.RawDataElement(
        pydicom.tag.Tag(row.number), row.vr, len(raw), raw + b" " * (len(raw) % 2), 0, False, True
    )


# To shrink a dataset takes longer than a test may: the run would end without a word of the failure.
@settings(deadline=None, max_examples=60, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(datasets())
def test_every_encoding_of_a_dataset_gives_the_values_that_were_written(
    drawn: tuple[Dataset, dict[str, str]],
) -> None:
    dataset, expected = drawn
    parsed = {syntax: parse_instance(write(dataset, syntax)) for syntax in SYNTAXES}

    plain = parsed[ExplicitVRLittleEndian]
    assert flat(plain).items() >= expected.items()
    has_pixels = "PixelData" in dataset
    for syntax, other in parsed.items():
        is_deflated = syntax == DeflatedExplicitVRLittleEndian
        assert (other.pixel_data_offset is not None) == (has_pixels and not is_deflated)
        same = msgspec.structs.replace(
            other,
            transfer_syntax=plain.transfer_syntax,
            pixel_data_offset=plain.pixel_data_offset,
        )
        assert same == plain


# Damage ---------------------------------------------------------------------------------------

SAMPLES = [path.read_bytes()[:20_000] for path in BUNDLED if path.stat().st_size < 200_000]
SAMPLES += [make_instance(transfer_syntax=syntax, rows=2) for syntax in SYNTAXES]


def _parse_or_refuse(data: bytes, total: int | None = None) -> None:
    try:
        parse_instance(data, total_size=total)
    except NeedMoreData as more:
        if total is None or not len(data) < more.needed <= total:
            raise
    except OrthancError:
        pass


@settings(deadline=None, max_examples=300)
@given(st.sampled_from(SAMPLES), st.integers(0, 20_000), st.booleans())
def test_a_file_cut_off_anywhere_is_parsed_or_refused(data: bytes, size: int, is_head: bool) -> None:
    _parse_or_refuse(data[:size], len(data) if is_head and size < len(data) else None)


@settings(deadline=None, max_examples=600)
@given(
    st.sampled_from(SAMPLES),
    st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=8),
)
def test_flipped_bytes_are_parsed_or_refused(data: bytes, flips: list[tuple[float, int]]) -> None:
    damaged = bytearray(data)
    for place, value in flips:
        damaged[132 + int(place * (len(data) - 133))] = value
    _parse_or_refuse(bytes(damaged))


@settings(deadline=None, max_examples=300)
@given(
    st.binary(max_size=300),
    st.sampled_from(["", "1.2.840.10008.1.2", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99"]),
)
def test_noise_is_parsed_or_refused(noise: bytes, syntax: str) -> None:
    meta = b"\x02\0\x10\0UI" + len(syntax).to_bytes(2, "little") + syntax.encode() if syntax else b""
    _parse_or_refuse(b"\0" * 128 + b"DICM" + meta + noise)
