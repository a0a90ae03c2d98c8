"""Raw deflate streams: made and read in pieces of any size, and as gzip files."""

import gzip
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orthanc_trio.deflate import BrokenStream, Deflater, Inflater, crc32, deflate, gzip_frame

CONTENTS = st.one_of(
    st.binary(max_size=3000),
    st.builds(lambda piece, times: piece * times, st.binary(min_size=1, max_size=40), st.integers(0, 20_000)),
)


def inflater(stream: bytes) -> Inflater:
    return Inflater(lambda offset, size: stream[offset : offset + size])


@settings(max_examples=60, deadline=None)
@given(content=CONTENTS, size=st.integers(1, 300_000))
def test_a_stream_is_read_back_in_pieces_of_any_size(content: bytes, size: int) -> None:
    reader = inflater(deflate(content))
    pieces = []
    while piece := reader.next(size):
        pieces.append(piece)
    assert all(len(piece) == size for piece in pieces[:-1])
    assert b"".join(pieces) == content


@settings(max_examples=60, deadline=None)
@given(pieces=st.lists(st.binary(max_size=3000), max_size=5))
def test_a_stream_made_of_pieces_is_that_of_the_whole(pieces: list[bytes]) -> None:
    deflater = Deflater()
    stream = b"".join([*map(deflater.add, pieces), deflater.end()])
    content = b"".join(pieces)
    assert zlib.decompress(stream, -zlib.MAX_WBITS) == content
    assert (deflater.crc, deflater.size) == (zlib.crc32(content), len(content))


@given(content=CONTENTS)
def test_the_frame_makes_a_gzip_file(content: bytes) -> None:
    header, trailer = gzip_frame(crc32(content), len(content))
    assert gzip.decompress(header + deflate(content) + trailer) == content


@pytest.mark.parametrize("stream", [b"", deflate(b"x" * 1000)[:-3], b"\xff" * 100])
def test_a_broken_stream_is_told(stream: bytes) -> None:
    with pytest.raises(BrokenStream):
        inflater(stream).next(1000)
