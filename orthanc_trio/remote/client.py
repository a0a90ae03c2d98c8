"""What may be asked of a HTTP client, and what it answers: without the library that does it."""

from collections.abc import Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Protocol

from msgspec import Struct


class HttpClientOptions(Struct, frozen=True, kw_only=True):
    """How other servers are called."""

    verifies_peers: bool = True
    authorities: Path | None = None
    """PEM file with the authorities that are trusted; None: those of the system."""
    proxy: str = ""
    """`[user:password@]host:port`; empty: none."""


class HttpReply(Struct, frozen=True):
    """What is known of an answer: its body is not."""

    status: int
    retry_after: str = ""
    """The header `Retry-After`, empty if there is none."""

    def retry_after_s(self, now: datetime) -> float | None:
        """Return the delay that the receiver asks for; None if it does not, or not readably.

        Source: RFC 9110 §10.2.3.
        """
        if self.retry_after.isascii() and self.retry_after.isdigit():
            return float(self.retry_after[:9])
        try:
            time = parsedate_to_datetime(self.retry_after)
            return max((time - now).total_seconds(), 0.0)
        except (ValueError, TypeError, OverflowError):
            return None


class HttpClient(Protocol):
    """Calls other servers. Safe to use from many tasks."""

    async def post(self, url: str, body: bytes, headers: Mapping[str, str], *, timeout_s: float) -> HttpReply:
        """Send `body` and return the answer, whatever its status; all within `timeout_s`.

        Raises RemoteTimeout, RemoteUnavailable if there is no connection or no valid answer, RemoteRefused
        if the certificate is not trusted. After an error it is unknown whether the receiver has got the body.
        """
        ...
