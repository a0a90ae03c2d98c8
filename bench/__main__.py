"""`python -m bench`: ask all questions, print one table. `bench/README.md` explains the rows."""

import argparse
import os
import platform
import resource
import signal
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType

import msgspec

from . import (
    anonymize,
    archive,
    download,
    find,
    jobs_latency,
    jobs_list,
    jobs_news,
    jobs_pending,
    jobs_stuck,
    small_gets,
    upload,
    websocket,
)
from .data import Data
from .failure import BenchError
from .load import WRK
from .question import Question
from .run import Result, ask
from .server import Side, clearing, started
from .table import as_markdown, as_text, failures, make_rows, shortened

_MODULES = (
    upload,
    archive,
    anonymize,
    download,
    jobs_latency,
    jobs_list,
    jobs_news,
    jobs_pending,
    jobs_stuck,
    small_gets,
    find,
    websocket,
)
_OPEN_FILES = 8192  # a thousand subscribers, and as many in the server


def main() -> int:
    """Run the benchmark; return 1 if a server failed at a question, 2 for a wrong command line."""
    options = _parse()
    questions = _selected(options.only)
    if not questions:
        print(f"no question matches {options.only}", file=sys.stderr)
        return 2
    _allow_open_files()
    signal.signal(signal.SIGTERM, _interrupt)
    sides = _sides(options)
    data = Data(quick=options.quick)
    results: list[Result] = []
    with clearing(sides, data.folder):
        facts = _facts(sides, data, options.rounds)
        try:
            results.extend(ask(question, sides, data, options.rounds) for question in questions)
        except KeyboardInterrupt:
            facts.append("stopped before the end")
    _report(options, results, facts)
    return 1 if failures(results) else 0


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    command = f"{sys.executable} -m orthanc_trio {{config}}"
    parser.add_argument("--ours", default=command, help="command of our server (default: %(default)s)")
    parser.add_argument("--ours-root", type=Path, help="like --reference-root, for --ours")
    parser.add_argument(
        "--reference", help="command of a server to compare with; {config} and {folder} are replaced"
    )
    parser.add_argument("--reference-root", type=Path, help="the root directory that the reference sees")
    parser.add_argument("--only", help="questions or their beginnings, separated by commas: upload/ct,jobs")
    parser.add_argument("--rounds", type=int, default=3, help="alternated rounds (default: 3)")
    parser.add_argument(
        "--quick", action="store_true", help="a fifth of the data: for a look, not for a claim"
    )
    parser.add_argument("--json", type=Path, help="write all numbers of all rounds to this file")
    parser.add_argument("--markdown", type=Path, help="write the table to this file")
    return parser.parse_args()


def _selected(only: str | None) -> list[Question]:
    questions = [question for module in _MODULES for question in module.QUESTIONS]
    if only is None:
        return questions
    wanted = tuple(only.split(","))
    return [each for each in questions if any(f"{each.name}/".startswith(f"{name}/") for name in wanted)]


def _sides(options: argparse.Namespace) -> list[Side]:
    sides = [Side("ours", options.ours, options.ours_root)]
    if options.reference is not None:
        sides.append(Side("reference", options.reference, options.reference_root))
    return sides


def _allow_open_files() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _OPEN_FILES if hard == resource.RLIM_INFINITY else min(_OPEN_FILES, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _facts(sides: Sequence[Side], data: Data, rounds: int) -> list[str]:
    memory_gb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    scale = "a fifth of the data" if data.quick else "all data"
    client = "wrk" if WRK else "our own, in Python: it limits the rates"
    return [
        f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores, {memory_gb:.0f} GB, {platform.platform()}",
        *(f"{side.name}: {_version(side, data)}, storage on {_file_system(side, data)}" for side in sides),
        f"medians of {rounds} alternated rounds, {scale}; client of small GETs and downloads: {client}",
    ]


def _version(side: Side, data: Data) -> str:
    try:
        with started(side, {}, data.folder) as server:
            system = server.get_json("/system")
    except (BenchError, OSError) as error:
        return f"did not start ({shortened(str(error))})"
    own = f"orthanc_trio {system['OrthancTrio']}, as " if "OrthancTrio" in system else ""
    return f"{own}Orthanc {system['Version']}"


def _file_system(side: Side, data: Data) -> str:
    """Return the type of the file system that holds the folders of `side`."""
    folder = str(side.folder_parent(data.folder).resolve())
    mounts = [line.split()[1:3] for line in Path("/proc/mounts").read_text().splitlines()]
    holding = [
        (len(point), kind) for point, kind in mounts if f"{folder}/".startswith(point.rstrip("/") + "/")
    ]
    return max(holding)[1]


def _report(options: argparse.Namespace, results: Sequence[Result], facts: Sequence[str]) -> None:
    rows = [row for result in results for row in make_rows(result)]
    failed = [f"failed: {line}" for line in failures(results)]
    print(*facts, "", as_text(rows), *failed, sep="\n")
    if options.json:
        values = {"facts": facts, "rows": rows, "failures": failed}
        options.json.write_bytes(msgspec.json.format(msgspec.json.encode(values)))
    if options.markdown:
        options.markdown.write_text(as_markdown(rows, [*facts, *failed]))


if __name__ == "__main__":
    sys.exit(main())
