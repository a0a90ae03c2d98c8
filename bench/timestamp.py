"""The times of Orthanc's API."""

from datetime import UTC, datetime


def seconds_of(text: str) -> float:
    """Return the seconds of a time like `20261121T222611.077454`, UTC; the fraction may be left out."""
    whole, _, fraction = text.partition(".")
    moment = datetime.strptime(whole, "%Y%m%dT%H%M%S").replace(tzinfo=UTC)
    return moment.timestamp() + float(f"0.{fraction or 0}")
