"""Starting and stopping a server under test, in a folder and on a port of its own."""

import os
import shlex
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from . import process
from .connection import Connection
from .failure import BenchError

_PROJECT = Path(__file__).parent.parent
_START_S = 60.0
_PREFIX = "bench-"
_DONE = ".done"
_STOP_S = 30.0


class Side(Struct, frozen=True):
    """One of the two servers to compare: how to start it.

    `command` is split like a shell does; `{config}` and `{folder}` in it become paths. With `root` the
    folder lies inside that directory, and the paths are those that a process sees whose root it is.
    """

    name: str
    command: str
    root: Path | None = None

    def folder_parent(self, data: Path) -> Path:
        """Return the directory that holds the folders of this side's servers."""
        return data if self.root is None else self.root / "tmp"

    def inner(self, path: Path) -> str:
        """Return `path` as the server sees it."""
        return str(path) if self.root is None else f"/{path.relative_to(self.root)}"


class Server:
    """A running server. Made by `started`, which also stops it."""

    def __init__(self, side: Side, folder: Path, settings: Mapping[str, Any]) -> None:
        self.side = side
        self.folder = folder
        self.port = free_port()
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None
        self._pid = 0

    def connect(self) -> Connection:
        """Return a new connection, to be closed by the caller."""
        return Connection(self.port)

    def get_json(self, path: str) -> Any:
        """GET `path` on a connection of its own."""
        with self.connect() as connection:
            return connection.get_json(path)

    def cpu_s(self) -> float:
        """Return the CPU seconds that the server has used so far; resolution 10 ms."""
        return process.cpu_s(self._pid)

    def peak_rss_bytes(self) -> int:
        """Return the peak of resident memory since `reset_peak`."""
        return process.peak_rss_bytes(self._pid)

    def rss_bytes(self) -> int:
        """Return the resident memory as it is now, without mapped files."""
        return process.rss_bytes(self._pid)

    def reset_peak(self) -> None:
        """Let the peak of resident memory begin again."""
        process.reset_peak(self._pid)

    def start(self) -> None:
        """Start, and return when `/system` answers. Raises BenchError with the end of the log if it fails."""
        config = self._write_config()
        places = {"config": self.side.inner(config), "folder": self.side.inner(self.folder)}
        command = [word.format_map(places) for word in shlex.split(self.side.command)]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=_PROJECT,
                start_new_session=True,
            )
        self._wait_ready(self._process)
        self._pid = process.listener_pid(self.port)

    def stop(self) -> None:
        """End the server, politely first. Safe to repeat."""
        child, self._process = self._process, None
        if child is None:
            return
        child.terminate()
        try:
            with suppress(subprocess.TimeoutExpired):
                child.wait(_STOP_S)
        finally:
            _kill_group(child)

    def restart(self) -> None:
        """Stop and start again on the same folder, so that no cache is warm."""
        self.stop()
        self.start()

    def log_tail(self) -> str:
        """Return the last lines that the server wrote."""
        text = (self.folder / "log").read_text(errors="replace")
        return "\n".join(text.splitlines()[-15:])

    def _write_config(self) -> Path:
        config = self.folder / "configuration.json"
        for name in ("storage", "temporary"):
            (self.folder / name).mkdir(exist_ok=True)
        values = {
            "Name": "Bench",
            "HttpPort": self.port,
            "DicomServerEnabled": False,
            "StorageDirectory": self.side.inner(self.folder / "storage"),
            "IndexDirectory": self.side.inner(self.folder / "storage"),
            "TemporaryDirectory": self.side.inner(self.folder / "temporary"),
        }
        config.write_bytes(msgspec.json.format(msgspec.json.encode(values | dict(self._settings))))
        return config

    def _wait_ready(self, child: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + _START_S
        while time.monotonic() < deadline:
            if child.poll() is not None:
                raise BenchError(f"the server ended with {child.returncode} at start:\n{self.log_tail()}")
            try:
                with Connection(self.port, timeout_s=5) as connection:
                    connection.get("/system")
                    return
            except (OSError, BenchError):
                time.sleep(0.02)
        raise BenchError(f"the server was not ready after {_START_S:.0f} s:\n{self.log_tail()}")


@contextmanager
def started(side: Side, settings: Mapping[str, Any], data: Path) -> Iterator[Server]:
    """Run a server with defaults and `settings` on an empty folder, inside `clearing`; at the end stop it."""
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=side.folder_parent(data)))
    server = Server(side, folder, settings)
    try:
        server.start()
        yield server
    finally:
        with _uninterrupted():
            server.stop()
            _set_aside(folder)


@contextmanager
def clearing(sides: Iterable[Side], data: Path) -> Iterator[None]:
    """At the end remove the folders of the servers that were `started`.

    Not before: for minutes ext4 passes over inodes that were freed lately, one by one, each time that it
    makes a file, so the next measurement would pay for those that a former one left.
    """
    try:
        yield
    finally:
        with _uninterrupted():
            for parent in {side.folder_parent(data) for side in sides}:
                for folder in parent.glob(f"{_PREFIX}*{_DONE}"):
                    shutil.rmtree(folder)


def _set_aside(folder: Path) -> None:
    """Give the room of the files back, but not their inodes."""
    for parent, _, names in os.walk(folder):
        for name in names:
            os.truncate(os.path.join(parent, name), 0)
    folder.rename(folder.with_suffix(_DONE))


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Put off Ctrl-C and SIGTERM until the context ends."""
    late: list[int] = []
    signals = (signal.SIGINT, signal.SIGTERM)
    handlers = {number: signal.signal(number, lambda number, _: late.append(number)) for number in signals}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    if late:
        raise KeyboardInterrupt


def _kill_group(child: subprocess.Popen[bytes]) -> None:
    """End what a wrapper script may have left: the whole group, which is ours alone."""
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def free_port() -> int:
    """Return a TCP port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
