"""Parts of files and conditions, without a network."""

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orthanc_trio.rest.errors import UnsatisfiableRange, error_answer
from orthanc_trio.rest.ranges import Part, entity_tag, part_of, ranged
from orthanc_trio.rest.wire import Answer, AnyAnswer, FileAnswer

ETAG = '"a-1"'
SIZE = 1000


class FakeRequest:
    """A request as handlers get it, with headers only."""

    path, client, user = "/file", "", ""

    def __init__(self, method: str = "GET", **headers: str) -> None:
        self.method = method
        self.query: dict[str, str] = {}
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}

    async def body(self) -> bytes:
        return b""

    def chunks(self) -> Any:
        raise AssertionError("nobody reads a body")

    async def wait_gone(self) -> None:
        raise AssertionError("nobody waits for that")


def answered(tmp_path: Path, method: str = "GET", **headers: str) -> AnyAnswer:
    """Return the answer to a file that lies behind 7 bytes of another one."""
    path = tmp_path / "file"
    path.write_bytes(b"x")
    whole = FileAnswer(
        descriptor=os.open(path, os.O_RDONLY),
        offset=7,
        size=SIZE,
        media_type="application/zip",
        headers=(("Content-Disposition", 'filename="x"'),),
    )
    answer = ranged(whole, FakeRequest(method, **headers), ETAG)
    if isinstance(answer, FileAnswer):
        os.close(whole.descriptor)
    else:
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.close(whole.descriptor)
    return answer


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("bytes=0-99", Part(0, 100)),
        ("bytes=100-100", Part(100, 1)),
        ("bytes=900-", Part(900, 100)),
        ("bytes=0-", Part(0, SIZE)),
        ("bytes=900-5000", Part(900, 100)),
        (f"bytes=0-{'9' * 5000}", Part(0, SIZE)),
        (f"bytes={'0' * 5000}1-2", Part(1, 2)),
        ("bytes=-1", Part(999, 1)),
        ("bytes=-1000", Part(0, SIZE)),
        ("bytes=-5000", Part(0, SIZE)),
        ("BYTES=1-2", Part(1, 2)),
        ("bytes=, 1-2 ,", Part(1, 2)),
        ("bytes=0-1,3-4", None),
        ("bytes=0-1,2000-", None),
        ("bytes=5-4", None),
        ("bytes=", None),
        ("bytes=-", None),
        ("bytes=a-b", None),
        ("bytes=1 - 2", None),
        ("bytes=1-2-3", None),
        ("bytes=+1-2", None),
        ("bytes=٣-4", None),
        ("bytes 0-1", None),
        ("items=0-1", None),
        ("", None),
    ],
)
def test_the_part_that_a_range_names(text: str, expected: Part | None) -> None:
    assert part_of(text, SIZE) == expected


@pytest.mark.parametrize("text", ["bytes=1000-", "bytes=1000-1001", f"bytes={'9' * 5000}-", "bytes=-0"])
def test_a_range_that_the_file_does_not_have_is_refused(text: str) -> None:
    with pytest.raises(UnsatisfiableRange) as refused:
        part_of(text, SIZE)
    assert (refused.value.size, refused.value.http_status, int(refused.value.code)) == (SIZE, 416, 41)


def test_an_empty_file_has_no_part() -> None:
    assert part_of("bytes=-1", 0) is None
    with pytest.raises(UnsatisfiableRange):
        part_of("bytes=0-", 0)


@given(
    st.integers(0, 200), st.integers(0, 300), st.integers(0, 300), st.sampled_from(["{}-{}", "{}-", "-{1}"])
)
def test_parts_are_slices(size: int, first: int, last: int, form: str) -> None:
    content = bytes(number % 251 for number in range(size))
    expected = {
        "{}-{}": content[first : last + 1] if first <= last else content,
        "{}-": content[first:],
        "-{1}": content[max(size - last, 0) :],
    }[form]
    try:
        part = part_of("bytes=" + form.format(first, last), size)
    except UnsatisfiableRange:
        assert expected == b""
        return
    assert (content if part is None else content[part.offset : part.offset + part.size]) == expected


def test_a_part_is_answered_with_its_place(tmp_path: Path) -> None:
    answer = answered(tmp_path, range="bytes=100-199")
    assert isinstance(answer, FileAnswer)
    assert (answer.status, answer.offset, answer.size) == (206, 107, 100)
    assert answer.headers == (
        ("Content-Disposition", 'filename="x"'),
        ("ETag", ETAG),
        ("Accept-Ranges", "bytes"),
        ("Content-Range", "bytes 100-199/1000"),
    )


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"range": "bytes=0-1,5-6"},
        {"range": "bytes=1-", "if_range": '"a-2"'},
        {"range": "bytes=1-", "if_range": 'W/"a-1"'},
        {"range": "bytes=1-", "if_range": "Sat, 29 Oct 1994 19:43:31 GMT"},
        {"range": "bytes=2000-", "if_range": '"a-2"'},
        {"if_match": "*"},
        {"if_match": '"other", "a-1"'},
        {"if_none_match": '"a-2"'},
        {"if_none_match": "a-1"},
        {"if_none_match": ""},
        {"if_modified_since": "Sat, 29 Oct 2094 19:43:31 GMT"},
        {"method": "HEAD", "range": "bytes=0-1"},
        {"method": "HEAD", "range": "bytes=2000-"},
    ],
    ids=str,
)
def test_the_whole_is_answered(tmp_path: Path, headers: dict[str, str]) -> None:
    answer = answered(tmp_path, **headers)
    assert isinstance(answer, FileAnswer)
    assert (answer.status, answer.offset, answer.size) == (200, 7, SIZE)
    assert answer.headers[1:] == (("ETag", ETAG), ("Accept-Ranges", "bytes"))


def test_a_range_of_the_expected_version_is_served(tmp_path: Path) -> None:
    answer = answered(tmp_path, range="bytes=1-", if_range=ETAG)
    assert isinstance(answer, FileAnswer)
    assert (answer.status, answer.size) == (206, SIZE - 1)


@pytest.mark.parametrize(
    ("status", "headers"),
    [
        (304, {"if_none_match": ETAG}),
        (304, {"if_none_match": f"W/{ETAG}"}),
        (304, {"if_none_match": f'"x,y" , {ETAG}'}),
        (304, {"if_none_match": "*"}),
        (304, {"if_none_match": ETAG, "range": "bytes=0-1"}),
        (304, {"if_none_match": ETAG, "range": "bytes=2000-"}),
        (304, {"if_none_match": ETAG, "method": "HEAD"}),
        (412, {"if_match": '"a-2"'}),
        (412, {"if_match": f"W/{ETAG}"}),
        (412, {"if_match": '"a-2"', "if_none_match": ETAG}),
    ],
    ids=str,
)
def test_conditions_leave_nothing_to_send(tmp_path: Path, status: int, headers: dict[str, str]) -> None:
    answer = answered(tmp_path, **headers)
    expected = (("ETag", ETAG), ("Accept-Ranges", "bytes"))
    assert answer == Answer(status=status, media_type=None, headers=expected)


def test_a_refusal_closes_the_file_and_tells_the_size(tmp_path: Path) -> None:
    descriptor = os.open(tmp_path, os.O_RDONLY)
    whole = FileAnswer(descriptor=descriptor, offset=0, size=SIZE, media_type="application/zip")
    request = FakeRequest(range="bytes=1000-")
    with pytest.raises(UnsatisfiableRange) as refused:
        ranged(whole, request, ETAG)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.close(descriptor)
    for describe in (True, False):
        answer = error_answer(refused.value, request, describe=describe)
        assert (answer.status, answer.headers) == (416, (("Content-Range", "bytes */1000"),))


def test_tags_tell_versions_apart() -> None:
    assert entity_tag("a", 255, 16) == '"a-ff-10"'
    assert len({entity_tag("a", 1, 2), entity_tag("a", 1, 3), entity_tag("b", 1, 2)}) == 3
