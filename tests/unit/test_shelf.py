"""Which outputs make place: number, bytes, age."""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from orthanc_trio.jobs.shelf import OutputLimits, Shelf
from tests.support.jobs import EPOCH


def shelf_of(*sizes: int, files: int = 100, max_bytes: int = 0, age_s: float = 0) -> Shelf:
    """Return a shelf with the files 0, 1, 2... that ended at as many seconds."""
    shelf = Shelf(OutputLimits(files=files, bytes=max_bytes, age_s=age_s))
    for number, size in enumerate(sizes):
        shelf.put(str(number), size, EPOCH + timedelta(seconds=number))
    return shelf


def test_what_is_used_last_is_kept() -> None:
    shelf = shelf_of(1, 1, 1, 1, files=2)
    shelf.touch("0")
    assert shelf.take_surplus() == ["1", "2"]
    assert shelf.take_surplus() == []
    assert [file in shelf for file in "0123"] == [True, False, False, True]


def test_bytes_are_limited() -> None:
    shelf = shelf_of(5, 3, 2, max_bytes=5)
    assert shelf.take_surplus() == ["0"]
    shelf.put("3", 5, EPOCH)
    assert shelf.take_surplus() == ["1", "2"]


def test_one_that_is_too_large_alone_is_kept_until_another_comes() -> None:
    shelf = shelf_of(1, 100, max_bytes=5)
    assert shelf.take_surplus() == ["0"]
    shelf.put("2", 1, EPOCH)
    assert shelf.take_surplus() == ["1"]


def test_no_file_is_kept_if_none_may_be() -> None:
    assert shelf_of(1, files=0).take_surplus() == ["0"]


def test_what_is_taken_off_counts_no_more() -> None:
    shelf = shelf_of(3, 3, max_bytes=6)
    shelf.discard("0")
    shelf.discard("0")
    shelf.put("1", 4, EPOCH)
    shelf.put("2", 2, EPOCH)
    assert shelf.take_surplus() == []


def test_files_get_too_old_whether_used_or_not() -> None:
    shelf = shelf_of(1, 1, 1, age_s=10)
    shelf.touch("0")
    assert shelf.next_expiry() == EPOCH + timedelta(seconds=10)
    assert shelf.take_expired(EPOCH + timedelta(seconds=9.9)) == []
    assert sorted(shelf.take_expired(EPOCH + timedelta(seconds=11))) == ["0", "1"]
    assert shelf.next_expiry() == EPOCH + timedelta(seconds=12)
    shelf.discard("2")
    assert shelf.next_expiry() is None


def test_without_a_limit_nothing_gets_too_old() -> None:
    shelf = shelf_of(1)
    assert shelf.next_expiry() is None
    assert shelf.take_expired(EPOCH + timedelta(days=10_000)) == []


@given(
    st.lists(st.integers(0, 20), min_size=1),
    st.integers(0, 5),
    st.integers(0, 30),
    st.lists(st.integers(0, 9)),
)
def test_the_limits_hold_and_the_newest_stays(
    sizes: list[int], files: int, max_bytes: int, used: list[int]
) -> None:
    shelf = Shelf(OutputLimits(files=files, bytes=max_bytes))
    kept: dict[str, int] = {}
    for number, size in enumerate(sizes):
        shelf.put(str(number), size, EPOCH)
        kept[str(number)] = size
        gone = shelf.take_surplus()
        assert gone == list(kept)[: len(gone)]
        for file in gone:
            kept.pop(file)
        assert len(kept) <= files
        assert not max_bytes or sum(kept.values()) <= max_bytes or len(kept) == 1
        assert str(number) in shelf or not files
        for file in map(str, used):
            if file in shelf:
                shelf.touch(file)
                kept[file] = kept.pop(file)
