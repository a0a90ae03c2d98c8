"""The command line: what is printed, what is written, and the exit codes."""

import logging
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from orthanc_trio import __version__
from orthanc_trio.cli import UsageError, main, parse
from orthanc_trio.config.sample import sample
from orthanc_trio.log import LineFormatter


@pytest.fixture(autouse=True)
def _restore_log() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    for handler in root.handlers:
        if handler not in handlers:
            handler.close()
    root.handlers[:] = handlers
    root.setLevel(level)


# Arguments


@pytest.mark.parametrize("arguments", [["--logfile", "f"], ["--logfile=f"], ["--logfile=x", "--logfile=f"]])
def test_values_follow_a_space_or_an_equals_sign(arguments: list[str]) -> None:
    assert parse(arguments).options == {"--logfile": "f"}


def test_everything_else_is_a_path_of_the_configuration() -> None:
    arguments = parse(["a.json", "--errors", "folder", "--no-jobs", "b=c"])

    assert arguments.paths == (Path("a.json"), Path("folder"), Path("b=c"))
    assert arguments.options == {"--errors": "", "--no-jobs": ""}


def test_the_levels_of_the_log_keep_their_order() -> None:
    arguments = parse(["--trace-http", "--verbose", "--verbose-nothing", "--trace-sqlite"])

    assert arguments.levels == (("trace", "http"), ("verbose",), ("trace", "sqlite"))
    assert arguments.unknown == ("--verbose-nothing",)


def test_unknown_options_are_kept_for_a_warning() -> None:
    arguments = parse(["--upgrade", "--verbose=1", "x"])

    assert arguments.unknown == ("--upgrade", "--verbose=1")
    assert arguments.paths == (Path("x"),)


@pytest.mark.parametrize("arguments", [["--logfile"], ["--logfile="], ["--config"]])
def test_an_option_without_its_value_is_a_misuse(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(UsageError):
        parse(arguments)

    assert main(arguments) == 2
    assert one_line(capsys).startswith("orthanc-trio: The option ")


# What is printed


def one_line(capsys: pytest.CaptureFixture[str]) -> str:
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    return captured.err


@pytest.mark.parametrize(
    ("argument", "text"),
    [
        ("--help", "orthanc-trio jobs watch URL [ID]"),
        ("--version", f"orthanc-trio {__version__}\n"),
        ("--errors", "    15  400  Bad file format\n"),
        ("--config=-", sample()),
    ],
)
def test_what_is_asked_for_is_printed(argument: str, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([argument]) == 0
    assert text in capsys.readouterr().out


def test_the_sample_is_written(tmp_path: Path) -> None:
    assert main(["--config", str(tmp_path / "c.json")]) == 0
    assert (tmp_path / "c.json").read_text() == sample()


def test_a_sample_that_cannot_be_written_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([f"--config={tmp_path}/no/c.json"]) == 1
    assert one_line(capsys).endswith("/no/c.json: No such file or directory\n")


# What goes wrong before the server starts


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("{", "line 1, column 2"),
        ('{"HttpPort": "1"}', 'The configuration option "HttpPort" must be an integer'),
        ('{"HttpPort": 70000}', 'The configuration option "HttpPort" must be between 0 and 65535'),
        ('{"DicomAet": ""}', 'The configuration option "DicomAet" must not be empty'),
    ],
)
def test_a_wrong_configuration_is_one_line(
    content: str, text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "c.json").write_text(content)

    assert main([str(tmp_path)]) == 2
    assert text in one_line(capsys)


def test_a_missing_configuration_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["/no/such"]) == 2
    assert one_line(capsys) == "orthanc-trio: Inexistent path to configuration: /no/such\n"


def test_a_log_that_cannot_be_opened_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--logdir=/no/such"]) == 1
    assert one_line(capsys).startswith("orthanc-trio: Cannot write the log /no/such/")


@pytest.mark.parametrize(
    "arguments",
    [
        ["jobs"],
        ["jobs", "watch"],
        ["jobs", "watch", "http://x", "1", "2"],
        ["upload"],
        ["upload", "http://x"],
        ["upload", "--connections=0", "http://x", "y"],
        ["upload", "--connections=many", "http://x", "y"],
        ["upload", "--fast", "http://x", "y"],
        ["upload", "ftp://x", "y"],
        ["jobs", "watch", "http://"],
        ["jobs", "watch", "http://x:port"],
    ],
)
def test_a_misuse_of_a_client_command_is_one_line(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    assert one_line(capsys).startswith("orthanc-trio: ")


# The process


def test_a_used_port_is_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        (tmp_path / "c.json").write_text(f'{{"HttpPort": {port}, "DicomServerEnabled": false}}')
        result = _run("-m", "orthanc_trio", str(tmp_path / "c.json"))

    assert result.returncode == 1
    assert str(port) in result.stderr.splitlines()[-1]
    assert "Traceback" not in result.stderr


def test_the_command_line_loads_neither_the_server_nor_the_client() -> None:
    code = """
import sys
from orthanc_trio.cli import main
main(["--version"])
sys.exit(any(name in sys.modules for name in ("trio", "quart", "pydicom", "httpx", "rich")))
"""
    assert _run("-c", code).returncode == 0


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, timeout=10, check=False
    )


# The log


def _line(level: int, text: str, *values: object) -> str:
    record = logging.LogRecord("orthanc_trio.jobs", level, "file.py", 1, text, values, None)
    record.created, record.msecs = 0.0, 7.25
    return LineFormatter().format(record)


@pytest.mark.parametrize(
    ("level", "letter"),
    [
        (logging.DEBUG, "T"),
        (logging.INFO, "I"),
        (logging.WARNING, "W"),
        (logging.ERROR, "E"),
        (logging.CRITICAL, "E"),
    ],
)
def test_a_line_has_level_time_and_logger(level: int, letter: str) -> None:
    line = _line(level, "a %s", "b")

    assert line.startswith(letter)
    assert line.endswith(".007250 orthanc_trio.jobs: a b")


def test_an_event_cannot_forge_another_line() -> None:
    assert _line(logging.INFO, "%s", "a\nE0101 \x1b[0m\u2028").endswith(r": a\nE0101 \x1b[0m\u2028")


def test_a_traceback_follows_its_line() -> None:
    try:
        raise ValueError("inside")
    except ValueError:
        record = logging.LogRecord("x", logging.ERROR, "f", 1, "bug", (), sys.exc_info())

    lines = LineFormatter().format(record).splitlines()

    assert lines[0].endswith("x: bug")
    assert lines[-1] == "ValueError: inside"
