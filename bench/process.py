"""What the kernel says about a server: its process, CPU seconds and peak memory (Linux, /proc).

A server is its listening process with all its descendants, so that worker processes are counted.
"""

import os
from contextlib import suppress
from pathlib import Path

from .failure import BenchError

_PROC = Path("/proc")
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_LISTEN = "0A"


def listener_pid(port: int) -> int:
    """Return the process that listens on TCP `port`. Raises BenchError if no visible process does."""
    targets = {f"socket:[{inode}]" for inode in _listening_inodes(port)}
    for pid in sorted(_pids()):
        with suppress(OSError):
            if any(_link(entry) in targets for entry in os.scandir(_PROC / str(pid) / "fd")):
                return pid
    raise BenchError(f"no process listens on port {port}")


def cpu_s(pid: int) -> float:
    """Return user and system seconds of all threads of `pid` and its descendants, ended ones included."""
    return sum(sum(map(int, fields[11:15])) for fields in _stats(_tree(pid))) / _TICKS_PER_S


def peak_rss_bytes(pid: int) -> int:
    """Return the peak of resident memory since `reset_peak`, summed over `pid` and its descendants."""
    return sum(_status_bytes(each, "VmHWM") for each in _tree(pid))


def rss_bytes(pid: int) -> int:
    """Return the resident memory of `pid` and its descendants that is no copy of a file."""
    return sum(_status_bytes(each, "RssAnon") for each in _tree(pid))


def reset_peak(pid: int) -> None:
    """Let the peaks of resident memory begin again at what is resident now."""
    for each in _tree(pid):
        with suppress(FileNotFoundError, ProcessLookupError):
            (_PROC / str(each) / "clear_refs").write_text("5")


def _listening_inodes(port: int) -> set[str]:
    rows = [line.split() for name in ("tcp", "tcp6") for line in _lines(_PROC / "net" / name)[1:]]
    return {row[9] for row in rows if row[3] == _LISTEN and int(row[1].rpartition(":")[2], 16) == port}


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except FileNotFoundError:  # no IPv6 in this kernel
        return []


def _link(entry: os.DirEntry[str]) -> str:
    try:
        return os.readlink(entry.path)
    except OSError:  # closed meanwhile
        return ""


def _pids() -> list[int]:
    return [int(entry.name) for entry in os.scandir(_PROC) if entry.name.isdigit()]


def _tree(root: int) -> list[int]:
    """Return `root` and its descendants."""
    parents = {pid: int(fields[1]) for pid in _pids() for fields in _stats([pid])}
    tree = [root]
    for pid in tree:  # grows while it is walked
        tree.extend(child for child, parent in parents.items() if parent == pid)
    return tree


def _stats(pids: list[int]) -> list[list[str]]:
    """Return the fields of /proc/PID/stat after the command's name, of the processes that still live."""
    stats = []
    for pid in pids:
        with suppress(FileNotFoundError, ProcessLookupError):
            text = (_PROC / str(pid) / "stat").read_text()
            stats.append(text.rpartition(")")[2].split())
    return stats


def _status_bytes(pid: int, key: str) -> int:
    with suppress(FileNotFoundError, ProcessLookupError):
        for line in (_PROC / str(pid) / "status").read_text().splitlines():
            if line.startswith(key + ":"):
                return int(line.split()[1]) * 1024
    return 0
