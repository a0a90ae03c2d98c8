"""Processes of this package that are spoken to in lines of JSON."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .failure import require


class Child:
    """A process of this package that talks in lines of JSON."""

    def __init__(self, module: str, *arguments: object) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", f"bench.{module}", *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=Path(__file__).parent.parent,
            start_new_session=True,  # a Ctrl-C is ours to handle
        )

    def ask(self) -> bytes:
        """Ask for a report and return it."""
        assert self._process.stdin is not None
        self._process.stdin.write(b"\n")
        self._process.stdin.flush()
        return self.line()

    def line(self) -> bytes:
        """Return the next line. Raises BenchError if the process has ended."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        require(bool(line), "a process of subscribers has failed (its reason is on standard error)")
        return line

    def end_input(self) -> None:
        """Tell the process to end."""
        assert self._process.stdin is not None
        self._process.stdin.close()

    def kill(self) -> None:
        """End the process now."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            stream.close()


@contextmanager
def child(module: str, *arguments: object) -> Iterator[Child]:
    """Run `python -m bench.MODULE` as long as the context is open."""
    running = Child(module, *arguments)
    try:
        yield running
    finally:
        running.kill()
