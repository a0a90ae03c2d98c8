"""Archives beyond the limits of ZIP's first fields, read by others."""

import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest

from orthanc_trio import zipfmt
from tests.unit.test_zipfmt import TIME, Archive

GIBIBYTE = 1 << 30
WIDE = 4 * GIBIBYTE + (1 << 20)
MANY = 65_600
BLOCK = bytes(1 << 20)

TOOLS = [["unzip", "-tqq"], ["7z", "t"], ["python", "-m", "zipfile", "-t"]]


def run(tool: list[str], path: Path, *names: str) -> bytes:
    if shutil.which(tool[0]) is None:
        pytest.skip(f"{tool[0]} is not installed")
    done = subprocess.run([*tool, path, *names], capture_output=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an archive of more members than 16 bits count."""
    path = tmp_path_factory.mktemp("many") / "many.zip"
    with path.open("w+b") as file:
        archive = Archive(file)
        for number in range(MANY):
            archive.add(f"{number}", b"%d" % number)
        archive.finish()
    return path


def make_wide(path: Path, *, is_one_stream: bool, size: int = WIDE) -> int:
    """Make an archive with a member of `size` zeros, in pieces or as one stream, and one behind it.

    Return the checksum of the first. Each block of zeros is the same piece, so it is deflated once.
    """
    piece, last = (zipfmt.deflate_piece(BLOCK, is_last=is_last) for is_last in (False, True))
    count = size // len(BLOCK)
    crc = 0
    for number in range(count):
        crc = zipfmt.join_crc(crc, piece if number < count - 1 else last)
    stream_size = (count - 1) * len(piece.payload) + len(last.payload)
    with path.open("w+b") as file:
        if is_one_stream:
            entry, header = zipfmt.open_deflated(
                "wide", TIME, crc=crc, size=size, compressed_size=stream_size
            )
            descriptor = b""
        else:
            entry, header = zipfmt.open_streamed("wide", size, TIME)
            entry, descriptor = zipfmt.close_streamed(entry, crc, stream_size)
        file.write(header + piece.payload * (count - 1) + last.payload + descriptor)
        behind = zipfmt.pack("behind", b"1", TIME)
        offset = file.tell()
        file.write(behind.header + behind.payload)
        records = zipfmt.central_record(entry, 0) + zipfmt.central_record(behind.entry, offset)
        file.write(records + zipfmt.end_of_archive(2, file.tell(), len(records)))
    return crc


@pytest.mark.time_limit(60)
@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool[0])
def test_more_than_65535_members_are_read_by(many: Path, tool: list[str]) -> None:
    run(tool, many)
    with zipfile.ZipFile(many) as archive:
        assert len(archive.infolist()) == MANY


@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool[0])
def test_sizes_of_64_bits_around_a_streamed_member_are_read_by(
    tmp_path: Path, tool: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zipfmt, "_STREAMED_ZIP64_SIZE", 0)
    make_wide(tmp_path / "wide.zip", is_one_stream=False, size=3 * len(BLOCK))
    run(tool, tmp_path / "wide.zip")


@pytest.mark.time_limit(60)
@pytest.mark.parametrize("is_one_stream", [False, True])
def test_a_member_above_4_gib_is_read(tmp_path: Path, is_one_stream: bool) -> None:
    make_wide(tmp_path / "wide.zip", is_one_stream=is_one_stream)
    run(["7z", "t"], tmp_path / "wide.zip")  # a third of the time that unzip takes


@pytest.mark.parametrize("is_one_stream", [False, True])
def test_unzip_lists_a_member_above_4_gib_and_reads_the_one_behind(
    tmp_path: Path, is_one_stream: bool
) -> None:
    crc = make_wide(tmp_path / "wide.zip", is_one_stream=is_one_stream)
    listed = run(["unzip", "-v"], tmp_path / "wide.zip").decode().splitlines()
    [wide] = [line.split() for line in listed if line.endswith("wide")]
    assert (int(wide[0]), int(wide[6], 16)) == (WIDE, crc)
    assert run(["unzip", "-p"], tmp_path / "wide.zip", "behind") == b"1"


@pytest.mark.parametrize("is_one_stream", [False, True])
def test_a_member_above_4_gib_is_described_as_it_is(tmp_path: Path, is_one_stream: bool) -> None:
    make_wide(tmp_path / "wide.zip", is_one_stream=is_one_stream)
    with zipfile.ZipFile(tmp_path / "wide.zip") as archive:
        info = archive.getinfo("wide")
        assert info.file_size == WIDE
        assert archive.read("behind") == b"1"
        with archive.open("wide") as member:
            assert member.read(10) == bytes(10)
