"""When a series is complete, and when it is looked at."""

import pytest

from orthanc_trio.services.series import CompletionWatch, series_status


@pytest.mark.parametrize(
    ("expected", "indexes", "status"),
    [
        (None, [], "Unknown"),
        (None, ["1"], "Unknown"),
        ("x", ["1"], "Unknown"),
        ("2", [], "Missing"),
        ("2", ["1"], "Missing"),
        ("2", ["1", None], "Missing"),
        ("1", [None], "Missing"),
        ("2", ["2", "1"], "Complete"),
        ("2", [" 1 ", "+2"], "Complete"),
        ("2", ["1", "2", None], "Complete"),
        ("2", ["1", "1"], "Inconsistent"),
        ("2", ["1", "2", "2"], "Inconsistent"),
        ("2", ["1", "2", "3"], "Inconsistent"),
        ("2", ["0", "1", "2"], "Inconsistent"),
        ("2", ["1", "2", "first"], "Unknown"),
        ("2", ["1", "-2"], "Unknown"),
        ("2", ["1", "2", "9" * 5000], "Unknown"),
    ],
)
def test_the_status_of_a_series(expected: str | None, indexes: list[str | None], status: str) -> None:
    assert series_status(expected, indexes) == status


def test_a_new_series_is_looked_at_when_it_can_be_complete() -> None:
    watch = CompletionWatch()
    watch.begin("series", 3)
    assert [watch.is_due("series") for _ in range(4)] == [False, False, True, True]


def test_a_series_without_an_expected_number_is_never_looked_at() -> None:
    watch = CompletionWatch()
    watch.begin("series", None)
    assert not any(watch.is_due("series") for _ in range(10))


def test_an_unknown_series_is_looked_at_once_and_then_when_it_can_be_complete() -> None:
    watch = CompletionWatch()
    assert watch.is_due("series")
    watch.looked("series", "5", 3)
    assert [watch.is_due("series") for _ in range(3)] == [False, True, True]


def test_what_is_remembered_is_bounded_and_what_is_forgotten_is_looked_at() -> None:
    watch = CompletionWatch()
    for number in range(10_000):
        watch.begin(str(number), None)
    assert watch.is_due("0")
    assert not watch.is_due("9999")
