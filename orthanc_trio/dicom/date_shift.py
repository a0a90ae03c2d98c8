"""Dates and times moved by days (PS3.5 §6.2, DA and DT; PS3.15 §E.3.6)."""

import re
from datetime import date, timedelta
from typing import Final

_DAY: Final = re.compile(
    rb"([0-9]{4})\.?([0-9]{2})\.?([0-9]{2})((?:[0-9]{2}){0,3}(?:\.[0-9]{1,6})?(?:[+-][0-9]{4})?)"
)


def shifted(value: bytes, days: int) -> bytes:
    """Return the values of a DA or DT moved by `days`, each with its time of the day.

    One that does not say the day, or is no date, becomes empty: it could tell the patient otherwise.
    """
    return b"\\".join(_shifted(part.strip(b" \0"), days) for part in value.split(b"\\"))


def _shifted(value: bytes, days: int) -> bytes:
    found = _DAY.fullmatch(value)
    if found is None:
        return b""
    year, month, day, rest = found.groups()
    try:
        moved = date(int(year), int(month), int(day)) + timedelta(days)
    except (ValueError, OverflowError):
        return b""
    return f"{moved.year:04}{moved.month:02}{moved.day:02}".encode() + rest
