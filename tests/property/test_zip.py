"""Whatever goes into an archive comes out, in order, with its name; and names stay in their folders."""

import io
import zipfile
import zlib
from datetime import datetime

from hypothesis import given, settings
from hypothesis import strategies as st

from orthanc_trio import zipfmt
from orthanc_trio.dicom.archive_names import UniqueNames, clean, patient_folder
from orthanc_trio.kinds.archive_files import CHUNK_BYTES, coalesced
from orthanc_trio.kinds.archive_member import STREAMED_BYTES, Source
from orthanc_trio.kinds.archive_pack import UNIT_BYTES, Batch, Part, cut
from orthanc_trio.storage.memory import MemoryArea

TIMELESS = settings(deadline=None)
TIME = zipfmt.dos_time(datetime(2024, 1, 1))
DATA = st.one_of(
    st.binary(max_size=200),
    st.builds(lambda byte, size: byte * size, st.binary(min_size=1, max_size=2), st.integers(0, 5000)),
)
PIECES = st.lists(DATA, min_size=1, max_size=4)
NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0/\\"), min_size=1, max_size=30)


def add_streamed(file: io.BytesIO, name: str, pieces: list[bytes]) -> zipfmt.Entry:
    entry, header = zipfmt.open_streamed(name, sum(map(len, pieces)), TIME)
    file.write(header)
    crc = size = 0
    for number, data in enumerate(pieces, 1):
        piece = zipfmt.deflate_piece(data, is_last=number == len(pieces))
        crc, size = zipfmt.join_crc(crc, piece), size + len(piece.payload)
        file.write(piece.payload)
    complete, descriptor = zipfmt.close_streamed(entry, crc, size)
    file.write(descriptor)
    return complete


@given(st.lists(st.tuples(NAMES, PIECES, st.sampled_from(["whole", "stored", "streamed"])), max_size=6))
@settings(TIMELESS, max_examples=60)
def test_every_member_comes_back(members: list[tuple[str, list[bytes], str]]) -> None:
    file = io.BytesIO()
    records = []
    for name, pieces, how in members:
        offset = file.tell()
        if how == "streamed":
            entry = add_streamed(file, name, pieces)
        else:
            packed = zipfmt.pack(name, b"".join(pieces), TIME, is_compressed=how == "stored")
            entry = packed.entry
            file.write(packed.header + packed.payload)
        records.append(zipfmt.central_record(entry, offset))
    directory = b"".join(records)
    file.write(directory + zipfmt.end_of_archive(len(records), file.tell(), len(directory)))
    read = zipfile.ZipFile(file)
    assert [(info.filename, read.read(info)) for info in read.infolist()] == [
        (name, b"".join(pieces)) for name, pieces, _ in members
    ]


@given(st.lists(st.tuples(NAMES, DATA, st.sampled_from(["whole", "stored", "deflated"])), max_size=6))
@settings(TIMELESS, max_examples=60)
def test_an_archive_in_one_go_is_the_one_that_is_made_piece_by_piece(
    members: list[tuple[str, bytes, str]],
) -> None:
    chunks, records, packed = [b""], [b""], []
    offset = 0
    for name, data, how in members:
        if how == "deflated":
            payload, crc = zlib.compress(data, wbits=-15), zlib.crc32(data)
            sizes = {"size": len(data), "compressed_size": len(payload)}
            entry, header = zipfmt.open_deflated(name, TIME, crc=crc, **sizes)
            packed.append((zipfmt.deflated_entry(name, TIME, crc=crc, **sizes), payload))
        else:
            whole = zipfmt.pack(name, data, TIME, is_compressed=how == "stored")
            entry, header, payload = whole.entry, whole.header, whole.payload
            packed.append(zipfmt.compress(name, data, TIME, is_compressed=how == "stored"))
        chunks += (header, payload)
        records.append(zipfmt.central_record(entry, offset))
        offset += len(header) + len(payload)
    directory = b"".join(records)
    end = zipfmt.end_of_archive(len(members), offset, len(directory))
    assert zipfmt.small_archive(packed) == b"".join(chunks) + directory + end


@settings(TIMELESS)
@given(st.text(), st.booleans())
def test_cleaned_text_is_one_safe_line(text: str, utf8: bool) -> None:
    name = clean(text, utf8=utf8)
    assert name.isprintable()
    assert name == name.strip()
    assert not set(name) & set(':*?"<>|/\\')
    assert "  " not in name
    assert name.isascii() or utf8
    assert clean(name, utf8=utf8) == name


@settings(TIMELESS)
@given(st.text(), st.text(), st.booleans())
def test_a_folder_is_never_empty_nor_a_step_up(id: str, name: str, utf8: bool) -> None:
    assert patient_folder({"0010,0020": id, "0010,0010": name}, utf8=utf8).strip(". ")


@settings(TIMELESS)
@given(st.lists(st.sampled_from(["A", "A-2", "A-3", "A-2-2", "B"])))
def test_names_are_unique_and_the_first_of_a_kind_stays(names: list[str]) -> None:
    unique = UniqueNames()
    given = [unique.add(name) for name in names]
    assert len(set(given)) == len(given)
    assert all(result.startswith(name) for name, result in zip(names, given, strict=True))


@settings(TIMELESS)
@given(
    st.lists(st.integers(0, 3 * STREAMED_BYTES), max_size=30), st.integers(0, STREAMED_BYTES // UNIT_BYTES)
)
def test_units_cover_all_bytes_once_and_in_order(sizes: list[int], done_parts: int) -> None:
    area = MemoryArea()
    blob = area.open("00000000-0000-0000-0000-000000000000", 0)
    sources = [Source(str(number), blob, size) for number, size in enumerate(sizes)]
    position = done_parts * UNIT_BYTES if sources and sources[0].is_streamed else 0
    seen = [0] * len(sources)
    last = 0
    for unit in cut(sources, position):
        assert unit.size <= max(UNIT_BYTES, STREAMED_BYTES)
        numbers = [
            int(source.path) for source in (unit.sources if isinstance(unit, Batch) else (unit.source,))
        ]
        assert numbers == sorted(numbers)
        assert numbers[0] >= last
        last = numbers[-1]
        if isinstance(unit, Part):
            assert unit.offset == seen[last] + (position if last == 0 else 0)
            seen[last] += unit.size
        else:
            for source in unit.sources:
                assert not source.is_streamed
                seen[int(source.path)] += source.size
    assert seen == [size - (position if number == 0 else 0) for number, size in enumerate(sizes)]


@settings(TIMELESS)
@given(st.lists(st.one_of(st.integers(1, 100), st.integers(1, 3 * CHUNK_BYTES)), max_size=8))
def test_chunks_are_joined_and_cut_without_loss(sizes: list[int]) -> None:
    chunks = [bytes([number]) * size for number, size in enumerate(sizes)]
    made = list(coalesced(chunks))
    assert b"".join(map(bytes, made)) == b"".join(chunks)
    assert all(0 < len(chunk) <= CHUNK_BYTES for chunk in made)
