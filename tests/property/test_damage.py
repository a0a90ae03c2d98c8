"""Damaged files, wherever they are read: parsed, shown, or refused; never anything else, and soon."""

from contextlib import suppress
from pathlib import Path

import pydicom.data
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orthanc_trio.dicom.content import read_content
from orthanc_trio.dicom.parse import NeedMoreData, parse_instance
from orthanc_trio.dicom.render import Format, Rendering, render_dataset, render_meta
from orthanc_trio.model.errors import OrthancError

LARGEST = 120_000
FILES = sorted(
    path
    for path in (Path(pydicom.data.__file__).parent / "test_files").glob("*.dcm")
    if path.stat().st_size < LARGEST
)
FUZZ = settings(max_examples=150, deadline=5000, suppress_health_check=list(HealthCheck))
# What a flipped bit rarely makes: other types, lengths at the limits, delimiters, escapes.
SPLICES = [
    *(b"SQ", b"UN", b"OB", b"UT", b"US", b"DS", b"PN", b"XX", b"OW", b"AT", b"FD", b"UI", b"OF", b"UC"),
    *(b"\xff\xff\xff\xff", b"\xfe\xff\xff\xff", b"\0\0\0\x80", b"\0\0\0\0", b"\xff\xff\xff\x7f"),
    *(b"\xfe\xff\0\xe0\xff\xff\xff\xff", b"\xfe\xff\x0d\xe0\0\0\0\0", b"\xfe\xff\xdd\xe0\0\0\0\0"),
    *(b"\x08\0\x05\0CS\x0e\0ISO 2022 IR 87", b"\x1b$B\x1b(J", b"\\" * 100),
]
PATHS = [
    *([], ["0010-0010"], ["7fe0-0010"], ["7fe0-0010", "0"], ["0040-a730", "0"], ["0040-a730", "3"]),
    ["0008-1140", "0", "0008-1150"],
]


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A file of pydicom's with some places overwritten, spliced in, repeated, or cut off."""
    data = bytearray(draw(st.sampled_from(FILES)).read_bytes())
    reach = draw(st.sampled_from([400, 2000, LARGEST]))
    for _ in range(draw(st.integers(1, 8))):
        place = draw(st.integers(0, max(0, min(len(data), reach) - 1)))
        splice = draw(st.one_of(st.sampled_from(SPLICES), st.binary(min_size=1, max_size=4)))
        match draw(st.sampled_from(["over", "in", "repeat", "cut", "out"])):
            case "over":
                data[place : place + len(splice)] = splice
            case "in":
                data[place:place] = splice * draw(st.sampled_from([1, 1, 200]))
            case "repeat":
                data[place:place] = data[place : place + draw(st.integers(0, 200))]
            case "cut":
                del data[place:]
            case _:
                del data[place : place + draw(st.integers(0, 20))]
    return bytes(data)


@FUZZ
@given(damaged(), st.sampled_from([1000, 4000, LARGEST]))
def test_a_damaged_file_is_parsed_or_refused(data: bytes, head: int) -> None:
    with suppress(OrthancError, NeedMoreData):
        parse_instance(data[:head], total_size=len(data))


@FUZZ
@given(damaged(), st.sampled_from(Format), st.booleans())
def test_a_damaged_file_is_shown_or_refused(data: bytes, format: Format, whole: bool) -> None:
    how = Rendering(format)
    with suppress(OrthancError):
        render_dataset(data, len(data), how, whole=whole)
    with suppress(OrthancError):
        render_meta(data, how)


@FUZZ
@given(damaged(), st.sampled_from(PATHS))
def test_a_damaged_file_has_content_or_is_refused(data: bytes, path: list[str]) -> None:
    with suppress(OrthancError):
        read_content(data, path)
