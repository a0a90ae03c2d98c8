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


def run(tool: list[str], path: Path) -> None:
    if shutil.which(tool[0]) is None:
        pytest.skip(f"{tool[0]} is not installed")
    done = subprocess.run([*tool, path], capture_output=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


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


def make_wide(path: Path, *, is_one_stream: bool) -> None:
    """Make an archive with a member above 4 GiB, of pieces or of one stream, and one behind it.

    Each block of zeros is the same piece, so it is deflated once.
    """
    piece, last = (zipfmt.deflate_piece(BLOCK, is_last=is_last) for is_last in (False, True))
    count = WIDE // len(BLOCK)
    crc = 0
    for number in range(count):
        crc = zipfmt.join_crc(crc, piece if number < count - 1 else last)
    size = (count - 1) * len(piece.payload) + len(last.payload)
    with path.open("w+b") as file:
        if is_one_stream:
            entry, header = zipfmt.open_deflated("wide", TIME, crc=crc, size=WIDE, compressed_size=size)
            descriptor = b""
        else:
            entry, header = zipfmt.open_streamed("wide", WIDE, TIME)
            entry, descriptor = zipfmt.close_streamed(entry, crc, size)
        file.write(header + piece.payload * (count - 1) + last.payload + descriptor)
        behind = zipfmt.pack("behind", b"1", TIME)
        offset = file.tell()
        file.write(behind.header + behind.payload)
        records = zipfmt.central_record(entry, 0) + zipfmt.central_record(behind.entry, offset)
        file.write(records + zipfmt.end_of_archive(2, file.tell(), len(records)))


@pytest.mark.time_limit(60)
@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool[0])
def test_more_than_65535_members_are_read_by(many: Path, tool: list[str]) -> None:
    run(tool, many)
    with zipfile.ZipFile(many) as archive:
        assert len(archive.infolist()) == MANY


@pytest.mark.time_limit(60)
@pytest.mark.parametrize(("is_one_stream", "tool"), [(False, "unzip"), (False, "7z"), (True, "7z")])
def test_a_member_above_4_gib_is_read_by(tmp_path: Path, tool: str, is_one_stream: bool) -> None:
    make_wide(tmp_path / "wide.zip", is_one_stream=is_one_stream)
    run(next(command for command in TOOLS if command[0] == tool), tmp_path / "wide.zip")


@pytest.mark.parametrize("is_one_stream", [False, True])
def test_a_member_above_4_gib_is_described_as_it_is(tmp_path: Path, is_one_stream: bool) -> None:
    make_wide(tmp_path / "wide.zip", is_one_stream=is_one_stream)
    with zipfile.ZipFile(tmp_path / "wide.zip") as archive:
        info = archive.getinfo("wide")
        assert info.file_size == WIDE
        assert archive.read("behind") == b"1"
        with archive.open("wide") as member:
            assert member.read(10) == bytes(10)
