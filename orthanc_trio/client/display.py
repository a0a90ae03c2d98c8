"""How jobs are shown: live bars on a terminal, lines elsewhere. Text of the server is never markup."""

import re
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.text import Text

from .feed import JobView

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


class Display(Protocol):
    """Shows the newest state of each job, within its context."""

    def __enter__(self) -> Self:
        """Begin to show."""
        ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the terminal as it was."""
        ...

    def show(self, job: JobView) -> None:
        """Show the newest state of a job."""
        ...

    def forget(self, job_id: str) -> None:
        """Show a job no longer."""
        ...


def make_display(console: Console) -> Display:
    """Return bars for a terminal, lines for anything else."""
    return Bars(console) if console.is_terminal else Lines(console)


class Lines:
    """One line for each change of state or percent."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._last: dict[str, str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._last.clear()

    def show(self, job: JobView) -> None:
        """Write a line if it differs from the last one of this job."""
        line = describe(job)
        if self._last.get(job.id) != line:
            self._last[job.id] = line
            self._console.print(Text(line), soft_wrap=True)

    def forget(self, job_id: str) -> None:
        """Write that the job was deleted, if it was seen."""
        if self._last.pop(job_id, None) is not None:
            self._console.print(Text(f"{_clean(job_id)} deleted"), soft_wrap=True)


class Bars:
    """A bar for each job that has not ended; a job that ends becomes a line above the bars."""

    def __init__(self, console: Console) -> None:
        self._progress = Progress(
            TextColumn("{task.fields[id]}", markup=False),
            TextColumn("{task.description}", markup=False),
            TextColumn("{task.fields[state]}", markup=False),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f} %"),
            TextColumn("{task.fields[left]}", markup=False),
            console=console,
            auto_refresh=False,  # the feed is the clock, and no second thread writes to the terminal
        )
        self._bars: dict[str, TaskID] = {}
        self._ended: set[str] = set()

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def show(self, job: JobView) -> None:
        """Move the bar of the job, or turn it into a line."""
        if job.has_ended:
            self._remove(job.id)
            if job.id not in self._ended:
                self._ended.add(job.id)
                self._progress.console.print(Text(describe(job)))
        else:
            self._ended.discard(job.id)
            self._move(job)
        self._progress.refresh()

    def forget(self, job_id: str) -> None:
        """Remove the bar of the job."""
        self._ended.discard(job_id)
        self._remove(job_id)
        self._progress.refresh()

    def _move(self, job: JobView) -> None:
        if job.id not in self._bars:
            self._bars[job.id] = self._progress.add_task(
                _clean(job.type), total=100, id=_clean(job.id), state="", left=""
            )
        self._progress.update(
            self._bars[job.id], completed=job.progress, state=_clean(job.state), left=_left(job)
        )

    def _remove(self, job_id: str) -> None:
        bar = self._bars.pop(job_id, None)
        if bar is not None:
            self._progress.remove_task(bar)


def describe(job: JobView) -> str:
    """Return one line about a job, without the time that is left."""
    line = f"{job.id} {job.type} {job.state} {job.progress:.0f} %"
    if job.state == "Failure":
        line += f": {job.error_details or job.error_description}"
    return _clean(line)


def _left(job: JobView) -> str:
    if job.seconds_left is None:
        return ""
    minutes, seconds = divmod(round(job.seconds_left), 60)
    return f"{minutes}:{seconds:02} left"


def _clean(text: str) -> str:
    # A server must not be able to send escape sequences to the terminal.
    return _CONTROL.sub("?", text)
