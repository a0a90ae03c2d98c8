"""The log of new jobs: what was synced is there after any end of the process, in order, and nothing else."""

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orthanc_trio.jobs.submission_log import Entry, NewJob, SubmissionLog, decode_frames, encode_frame
from orthanc_trio.model.errors import DatabaseError

HALF = 1000


def job(number: int, size: int = 40) -> NewJob:
    return NewJob(str(number), b"r" * size, {f"{number}.archive": b"o" * (number % 5)})


@contextmanager
def opened(path: Path, entered: int | None = 0) -> Iterator[SubmissionLog]:
    log = SubmissionLog.open(path, syncs=True, half_bytes=HALF)
    try:
        if entered is not None:
            log.begin(entered)
        yield log
    finally:
        log.close()


def ids(entries: Sequence[Entry]) -> list[str]:
    return [entry.job.id for entry in entries]


async def test_what_was_logged_is_there_after_the_next_start(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with opened(path) as log:
        for number in range(3):
            assert log.append(job(number))
        await log.sync()
        assert [entry.job for entry in log.waiting()] == [job(0), job(1), job(2)]
        assert (log.output("2.archive"), log.output("9.archive")) == (b"oo", None)
    with opened(path) as log:
        assert [entry.job for entry in log.waiting()] == [job(0), job(1), job(2)]
        log.note_entered(2)
        assert ids(log.waiting()) == ["2"]
        assert not log.append(job(3)), "it could be written over one that waits"
        log.note_entered(3)
        assert log.append(job(3))
    with opened(path, entered=3) as log:
        assert ids(log.waiting()) == ["3"]


def test_nothing_is_taken_before_it_is_known_what_the_index_has(tmp_path: Path) -> None:
    with opened(tmp_path / "log", entered=None) as log:
        assert not log.append(job(0))
        log.begin(7)
        assert log.append(job(1))
        assert [entry.number for entry in log.waiting()] == [8]


def test_a_full_log_takes_nothing_until_entries_are_in_the_index(tmp_path: Path) -> None:
    with opened(tmp_path / "log") as log:
        taken = 0
        while log.append(job(taken)):
            taken += 1
        waiting = log.waiting()
        assert len(waiting) == taken > HALF // 100
        assert not log.append(job(0))
        log.note_entered(waiting[taken // 2].number)
        assert log.append(job(0)), "the first half is free"
        log.note_entered(waiting[-1].number)
        assert ids(log.waiting()) == ["0"]
        assert not log.append(job(0, HALF)), "too large for any half"


def test_while_entries_are_entered_new_ones_go_to_the_other_half(tmp_path: Path) -> None:
    """So the room of those that are entered is used again at once, however many come meanwhile."""
    path = tmp_path / "log"
    with opened(path) as log:
        for round_ in range(50):
            assert log.append(job(round_))
            entering = log.waiting()
            assert log.append(job(round_ + 1000))
            log.note_entered(entering[-1].number)
            last = entering[-1].number
    with opened(path, entered=last) as log:
        assert ids(log.waiting()) == ["1049"]


@settings(deadline=None)
@given(st.data())
def test_frames_end_where_one_is_torn_or_of_an_earlier_use(data: st.DataObject) -> None:
    sizes = st.integers(0, 60)
    old = [
        encode_frame(Entry(n, job(n, data.draw(sizes)))) for n in range(1, data.draw(st.integers(1, 8)) + 1)
    ]
    first = len(old) + data.draw(st.integers(1, 3))
    count = data.draw(st.integers(1, 6))
    new = [Entry(n, job(n, data.draw(sizes))) for n in range(first, first + count)]
    written = b"".join(map(encode_frame, new))
    half = bytearray(b"".join(old).ljust(2000, b"\0"))
    whole = data.draw(st.integers(0, len(written)))
    half[:whole] = written[:whole]
    found = list(decode_frames(bytes(half)))
    if whole == 0:
        assert [entry.number for entry in found] == list(range(1, len(old) + 1))
        return
    ends = [len(b"".join(map(encode_frame, new[: n + 1]))) for n in range(count)]
    complete = sum(end <= whole for end in ends)
    assert found[:complete] == new[:complete]
    # The rest of a torn frame may be what was there before; then it is the frame, or nothing.
    assert all(entry in new for entry in found)


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_are_read_without_an_error(content: bytes) -> None:
    for entry in decode_frames(content):
        assert isinstance(entry, Entry)


async def test_on_a_small_disk_the_log_takes_nothing_and_gives_what_it_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "log"
    path.write_bytes(encode_frame(Entry(1, job(1))))

    class Usage:
        free = 10 * HALF

    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage)
    with opened(path) as log:
        assert ids(log.waiting()) == ["1"]
        log.note_entered(1)
        assert not log.append(job(2))
        await log.sync()


async def test_a_log_that_cannot_be_written_takes_nothing_more() -> None:
    reading, writing = os.pipe()
    try:
        log = SubmissionLog(writing, (), half_bytes=HALF, syncs=True)
        log.begin(0)
        assert not log.append(job(1)), "a pipe has no positions"
        with pytest.raises(DatabaseError):
            await log.sync()
    finally:
        os.close(reading)
        os.close(writing)


def test_a_log_that_cannot_be_opened_says_so(tmp_path: Path) -> None:
    with pytest.raises(DatabaseError, match="log of new jobs"):
        SubmissionLog.open(tmp_path / "none" / "log", syncs=True)


async def test_without_syncs_nothing_waits_for_the_disk(tmp_path: Path) -> None:
    log = SubmissionLog.open(tmp_path / "log", syncs=False, half_bytes=HALF)
    try:
        log.begin(0)
        assert log.append(job(1))
        await log.sync()
    finally:
        log.close()
