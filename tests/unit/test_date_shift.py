"""Dates that are moved by days."""

import pytest

from orthanc_trio.dicom.date_shift import shifted


@pytest.mark.parametrize(
    ("value", "days", "expected"),
    [
        (b"20240301", -1, b"20240229"),
        (b"20240301 ", 366, b"20250302"),
        (b"2024.03.01", 1, b"20240302"),
        (b"20231231235959.999999+0100", 1, b"20240101235959.999999+0100"),
        (b"20240301\\20240302", 1, b"20240302\\20240303"),
        (b"20240301\0", 0, b"20240301"),
        (b"", 5, b""),
        (b"2024", 5, b""),
        (b"202403", 5, b""),
        (b"20241301", 5, b""),
        (b"00010101", -1, b""),
        (b"99991231", 1, b""),
        (b"nobody knows", 1, b""),
        (b"20240301Smith", 1, b""),
        (b"20240301\\Smith", 1, b"20240302\\"),
    ],
)
def test_a_date_moves_and_what_is_none_becomes_empty(value: bytes, days: int, expected: bytes) -> None:
    assert shifted(value, days) == expected
