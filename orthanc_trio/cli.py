"""The command line: arguments -> Settings, the log, the server or a client command, and the exit code.

Exit codes of the server: 0 after a clean stop, 1 when something outside failed (port, disk, database), 2 for
a wrong configuration or usage; each failure is one line on stderr. What only one command needs is imported
by that command, so that all of them start fast.
"""

import logging
import os
import re
import sys
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from . import __version__
from .log import CATEGORIES, LEVELS, open_log, set_level
from .model.error_code import ErrorCode
from .model.errors import (
    BadApplicationEntityTitle,
    BadFileFormat,
    BadParameterType,
    IncompatibleConfigurations,
    OrthancError,
    ParameterOutOfRange,
)

if TYPE_CHECKING:
    from .config.settings import Settings

USAGE = """\
Usage: orthanc-trio [OPTION]... [CONFIGURATION]...
       orthanc-trio jobs watch URL [ID]
       orthanc-trio upload [--connections=N] URL PATH...

A DICOM server with the REST API of Orthanc. CONFIGURATION is a JSON file with
comments, or a folder with such files; without any, all options have their defaults.

  --help           print this text
  --version        print the version
  --errors         print the table of the error codes
  --config=FILE    write a sample configuration with all options (- is the standard output)
  --openapi=FILE   write the OpenAPI document of the REST API (- is the standard output)
  --logfile=FILE   log to FILE in place of the standard error
  --logdir=DIR     log to a new file in DIR
  --verbose        log more
  --trace          log everything
  --verbose-CATEGORY, --trace-CATEGORY
                   log more of one category: generic, plugins, http, sqlite,
                   dicom, jobs or lua
  --no-jobs        forget the jobs of the last run

jobs watch         show the progress of all jobs, or of one until it ends
                   (exit code 0: success, 1: failure, 3: the connection was lost)
upload             store DICOM files, folders of them, and ZIP files of them
                   (exit code 1: a file could not be stored)
URL                http[s]://[USER:PASSWORD@]HOST[:PORT]
"""

FAILURE, MISUSE, INTERRUPTED = 1, 2, 130
_FLAGS = frozenset({"--help", "--version", "--errors", "--no-jobs"})
_VALUED = frozenset({"--config", "--openapi", "--logfile", "--logdir"})
_LEVEL_OPTION = re.compile(f"--(verbose|trace)(?:-({'|'.join(CATEGORIES)}))?")
_MISUSES = (
    BadApplicationEntityTitle,
    BadFileFormat,
    BadParameterType,
    IncompatibleConfigurations,
    ParameterOutOfRange,
)
_logger = logging.getLogger(__name__)


class UsageError(Exception):
    """A command line that cannot be understood."""


class Arguments(Struct, frozen=True):
    """The command line of the server, taken apart."""

    options: dict[str, str]
    """By name, with dashes; of a repeated one the last. A flag has an empty text."""
    paths: tuple[Path, ...]
    unknown: tuple[str, ...]
    levels: tuple[tuple[str, ...], ...] = ()
    """The levels of the log in the order of the options: name, and the category if it is for one alone."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    try:
        return _dispatch(list(sys.argv[1:] if argv is None else argv))
    except* KeyboardInterrupt:  # alone, or from inside the nurseries of a client
        pass
    return INTERRUPTED


def parse(arguments: Sequence[str]) -> Arguments:
    """Take the command line of the server apart: `--name VALUE` and `--name=VALUE` are the same.

    Raises UsageError if an option lacks its value.
    """
    options: dict[str, str] = {}
    paths: list[Path] = []
    unknown: list[str] = []
    levels: list[tuple[str, ...]] = []
    rest = iter(arguments)
    for argument in rest:
        name, equals, value = argument.partition("=")
        if name in _VALUED:
            options[name] = value if equals else next(rest, "")
            if not options[name]:
                raise UsageError(f"The option {name} needs a value")
        elif level := _LEVEL_OPTION.fullmatch(argument):
            levels.append(tuple(part for part in level.groups() if part))
        elif argument in _FLAGS:
            options[argument] = ""
        elif argument.startswith("-"):
            unknown.append(argument)
        else:
            paths.append(Path(argument))
    return Arguments(options, tuple(paths), tuple(unknown), tuple(levels))


def _dispatch(arguments: list[str]) -> int:
    try:
        match arguments:
            case ["jobs", *rest]:
                return _watch(rest)
            case ["upload", *rest]:
                return _upload(rest)
            case _:
                return _run(parse(arguments))
    except UsageError as error:
        return _fail(f"{error} (--help shows the usage)", MISUSE)


def _run(arguments: Arguments) -> int:
    options = arguments.options
    if "--help" in options:
        sys.stdout.write(USAGE)
    elif "--version" in options:
        sys.stdout.write(f"orthanc-trio {__version__}\n")
    elif "--errors" in options:
        sys.stdout.writelines(f"{code:6}  {code.http_status}  {code.description}\n" for code in ErrorCode)
    elif "--config" in options:
        from .config.sample import sample

        return _write(options["--config"], sample())
    elif "--openapi" in options:
        from .rest.routes.openapi import encoded_document

        return _write(options["--openapi"], encoded_document().decode() + "\n")
    else:
        return _start(arguments)
    return 0


def _write(target: str, text: str) -> int:
    try:
        if target == "-":
            sys.stdout.write(text)
        else:
            Path(target).write_text(text, encoding="utf-8")
    except OSError as error:
        return _fail(f"Cannot write {target}: {error.strerror}", FAILURE)
    return 0


def _start(arguments: Arguments) -> int:
    try:
        open_log(logging.WARNING, _log_file(arguments.options))
    except OSError as error:
        return _fail(f"Cannot write the log {error.filename}: {error.strerror}", FAILURE)
    for level, *categories in arguments.levels:
        set_level(LEVELS[level], *categories)
    for name in arguments.unknown:
        _logger.warning("Unknown option %s is ignored", name)
    try:
        settings = _load(arguments.paths)
    except OrthancError as error:
        return _fail(_text(error), MISUSE)
    load_jobs = "--no-jobs" not in arguments.options
    while (status := _serve(settings, load_jobs=load_jobs)) is None:
        load_jobs = True
        try:
            settings = _load(arguments.paths)
        except OrthancError as error:
            _logger.error("The configuration stays as it was: %s", _text(error))
    return status


def _load(paths: Sequence[Path]) -> "Settings":
    from .config.load import load

    loaded = load(paths)
    for warning in loaded.warnings:
        _logger.warning("%s", warning)
    return loaded.settings


def _serve(settings: "Settings", *, load_jobs: bool) -> int | None:
    """Run a server; None if it shall begin anew."""
    import trio

    from .server import serve

    status: int | None = 0
    try:
        if trio.run(partial(serve, settings, load_jobs=load_jobs)):
            status = None
    except* OrthancError as group:
        first = next(_leaves(group))
        status = _fail(_text(first), MISUSE if isinstance(first, _MISUSES) else FAILURE)
    return status


def _log_file(options: dict[str, str]) -> Path | None:
    if "--logdir" in options:
        stamp = time.strftime("%Y%m%d-%H%M%S")
        return Path(options["--logdir"]) / f"orthanc-trio.log.{stamp}.{os.getpid()}"
    return Path(options["--logfile"]) if "--logfile" in options else None


def _leaves(group: BaseExceptionGroup[OrthancError]) -> Iterator[OrthancError]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error


def _text(error: OrthancError) -> str:
    return error.details or error.code.description


def _fail(text: str, status: int) -> int:
    sys.stderr.write(f"orthanc-trio: {text}\n")
    return status


def _watch(arguments: list[str]) -> int:
    match arguments:
        case ["watch", url, *more] if len(more) <= 1 and not url.startswith("-"):
            from .client import watch

            return watch.main(url, more[0] if more else None)
        case _:
            raise UsageError("Expected: orthanc-trio jobs watch URL [ID]")


def _upload(arguments: list[str]) -> int:
    from .client import upload

    connections = upload.CONNECTIONS
    if arguments and arguments[0].startswith("--connections="):
        text = arguments.pop(0).removeprefix("--connections=")
        connections = int(text) if text.isdecimal() and len(text) < 4 else 0
    match arguments:
        case [url, _, *_] if connections > 0 and not url.startswith("-"):
            return upload.main(url, [Path(path) for path in arguments[1:]], connections)
        case _:
            raise UsageError("Expected: orthanc-trio upload [--connections=N] URL PATH...")
