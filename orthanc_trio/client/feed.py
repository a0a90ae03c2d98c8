"""The messages of the websocket feed, as far as the client reads them.

Source: `/events` and `/jobs/{id}/events`.
"""

from datetime import datetime

from msgspec import Struct, field


class JobView(Struct, frozen=True, kw_only=True, rename="pascal"):
    """A job as the server shows it; `progress` in percent."""

    id: str = field(name="ID")
    type: str
    state: str
    progress: float = 0
    error_description: str = ""
    error_details: str = ""
    timestamp: str = ""
    estimated_time_of_arrival: str | None = None

    @property
    def has_ended(self) -> bool:
        """Whether the job is over, well or not."""
        return self.state in ("Success", "Failure")

    @property
    def has_succeeded(self) -> bool:
        """Whether the job is over and did what it should."""
        return self.state == "Success"

    @property
    def seconds_left(self) -> float | None:
        """The server's estimate, by the server's clock; None without one."""
        if self.estimated_time_of_arrival is None:
            return None
        try:
            left = _time(self.estimated_time_of_arrival) - _time(self.timestamp)
        except ValueError:
            return None
        return max(left.total_seconds(), 0.0)


class Message(Struct, frozen=True, kw_only=True, rename="pascal"):
    """One message: Snapshot, Job or JobForgotten. Others are passed over."""

    type: str
    jobs: tuple[JobView, ...] = ()
    job: JobView | None = None
    id: str | None = field(name="ID", default=None)


def _time(text: str) -> datetime:
    return datetime.strptime(text, "%Y%m%dT%H%M%S.%f" if "." in text else "%Y%m%dT%H%M%S")
