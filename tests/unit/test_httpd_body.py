from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orthanc_trio.httpd.body import BadBody, Body, ChunkedBody, LengthBody


def read(body: Body, data: bytes, cuts: list[int]) -> tuple[bytes, bytes]:
    """Feed `data` in pieces, as a socket would; return the body and what follows it."""
    content = b""
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    for start, end in pairwise(edges):
        piece, rest = body.take(data[start:end])
        content += piece
        if body.is_complete:
            return content, rest + data[end:]
        assert rest == b""
    return content, b""


@given(st.lists(st.binary(min_size=1, max_size=50)), st.binary(max_size=20), st.lists(st.integers(0, 10000)))
def test_chunks_are_read_the_same_wherever_they_are_cut(
    chunks: list[bytes], following: bytes, cuts: list[int]
) -> None:
    encoded = b"".join(b"%X;name=value\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks)
    body = ChunkedBody()
    data = encoded + b"0\r\nTrailer: x\r\n\r\n" + following
    assert read(body, data, cuts) == (b"".join(chunks), following)
    assert body.is_complete


@given(st.binary(max_size=100), st.binary(max_size=20), st.lists(st.integers(0, 10000)))
def test_a_length_ends_a_body_wherever_it_is_cut(content: bytes, following: bytes, cuts: list[int]) -> None:
    body = LengthBody(len(content))
    found, rest = read(body, content + following, [*cuts, len(content)])
    assert found == content
    assert following.startswith(rest) or rest == following
    assert body.is_complete


@pytest.mark.parametrize(
    "data",
    [
        b"x\r\n",
        b"-1\r\n",
        b"+1\r\n",
        b"0x1\r\n",
        b" 1\r\n",
        b"1 2\r\n",
        b"\r\n",
        b"1\nx\n0\n\n" + b"y" * 5000,
        b"1;a\nb\r\n",
        b"1111111111111111\r\n",
        b"1\r\nxy\r\n",
        b"1\r\nxyz",
        b"1\r\nx\n0\r\n\r\n",
        b"0\r\nA: b\nC: d\r\n",
        b"0\r\n" + b"A: b\r\n" * 10000,
        b"1" * 5000,
    ],
)
def test_broken_chunks_are_refused(data: bytes) -> None:
    with pytest.raises(BadBody):
        ChunkedBody().take(data)


@given(st.binary(max_size=200))
def test_random_bytes_are_read_or_refused(data: bytes) -> None:
    body = ChunkedBody()
    try:
        content, _ = body.take(data)
    except BadBody:
        return
    assert len(content) <= len(data)
