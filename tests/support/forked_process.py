"""The server in a process that is forked from one which has imported it already, but runs nothing."""

import multiprocessing
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["orthanc_trio.cli", "orthanc_trio.server"])


class ForkedProcess:
    """What tests need of `subprocess.Popen`. The server takes `arguments`, and prints into `log`."""

    def __init__(self, arguments: Sequence[str], folder: Path, log: Path) -> None:
        self._process = _FORKS.Process(target=_serve, args=(tuple(arguments), folder, log))
        self._process.start()
        assert self._process.pid is not None
        self.pid: int = self._process.pid

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float) -> int:
        self._process.join(timeout)
        code = self._process.exitcode
        if code is None:
            raise subprocess.TimeoutExpired("orthanc_trio", timeout)
        return code

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)


def _serve(arguments: tuple[str, ...], folder: Path, log: Path) -> None:
    from orthanc_trio.cli import main

    os.chdir(folder)
    with log.open("ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    sys.exit(main(arguments))
