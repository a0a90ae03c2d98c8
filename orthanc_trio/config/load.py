"""Configuration files and the environment become Settings: the only module that reads either.

`load` reads; all that is decided about what was read is in `parse`, a function of its arguments.
"""

import difflib
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from msgspec import Struct
from msgspec.structs import replace

from ..model.errors import BadFileFormat, InexistentFile
from .option import Option, options
from .rules import checked
from .settings import Count, Settings, Texts
from .syntax import decode

_FEWEST_LOADERS, _MOST_LOADERS = 4, 50


class Source(Struct, frozen=True):
    """One configuration file: its path, for messages, and its text."""

    name: str
    text: str


class Loaded(Struct, frozen=True):
    """The settings, and what whoever wrote the files should know."""

    settings: Settings
    warnings: tuple[str, ...]


class _Given(Struct, frozen=True):
    value: Any
    source: str


def _old(name: str, type_: Any) -> Option:
    return Option(name=name, attribute="", type=type_, comment="", has_effect=True, default=None)


# Options of former versions: what they say now comes from others.
_OLD_OPTIONS = {
    option.name: option
    for option in (
        _old("LoaderThreads", Annotated[Count, ""]),
        _old("ZipLoaderThreads", Annotated[Count, ""]),
        _old("RejectSopClasses", Annotated[Texts, ""]),
    )
}


def load(paths: Sequence[Path]) -> Loaded:
    """Read configuration files and folders, in order, and return the settings.

    Relative paths inside the files are relative to the folder of the first path (itself, if it is a folder).
    Raises InexistentFile, BadFileFormat, BadParameterType, ParameterOutOfRange and what `checked` raises.
    """
    sources = [source for path in paths for source in _read(path)]
    folder = Path.cwd()
    if paths:
        folder /= paths[0] if paths[0].is_dir() else paths[0].parent
    return parse(sources, os.environ, folder)


def parse(sources: Sequence[Source], environment: Mapping[str, str], folder: Path) -> Loaded:
    """Return the settings that the files make. Raises as `load`, with the name of the file or the option."""
    warnings: list[str] = []
    given = _merge(sources, environment, warnings)
    known = options()
    values = {name: known[name].convert(each.value) for name, each in given.items() if name in known}
    warnings += _unknown(given)
    warnings += _ineffective(values)
    values |= _from_old_options(given, values)
    values = {name: options()[name].default for name in known if known[name].is_path} | values
    attributes = {known[name].attribute: _resolved(value, folder) for name, value in values.items()}
    return Loaded(checked(Settings(**attributes)), tuple(warnings))


def _read(path: Path) -> Iterator[Source]:
    if not path.exists():
        raise InexistentFile(f"Inexistent path to configuration: {path}")
    try:
        files = [path]
        if path.is_dir():
            files = sorted(f for f in path.iterdir() if f.suffix.lower() == ".json" and f.is_file())
        for file in files:
            yield Source(str(file), file.read_bytes().decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise BadFileFormat(f"{file}: the file is not UTF-8") from None
    except OSError as error:
        raise InexistentFile(f"Cannot read the configuration {path}: {error.strerror}") from error


def _merge(
    sources: Sequence[Source], environment: Mapping[str, str], warnings: list[str]
) -> dict[str, _Given]:
    given: dict[str, _Given] = {}
    for source in sources:
        try:
            document = decode(source.text, environment)
        except BadFileFormat as error:
            raise BadFileFormat(f"{source.name}: {error.details}") from None
        warnings += (f'{source.name}: "{name}" is repeated, the last one holds' for name in document.repeated)
        for name, value in document.values.items():
            if name in given:
                raise BadFileFormat(
                    f'The configuration option "{name}" is in two files: {given[name].source}, {source.name}'
                )
            given[name] = _Given(value, source.name)
    return given


def _unknown(given: Mapping[str, _Given]) -> Iterator[str]:
    names = {name.lower(): name for name in (*options(), *_OLD_OPTIONS)}
    for name, each in given.items():
        if name in options() or name in _OLD_OPTIONS:
            continue
        close = difflib.get_close_matches(name.lower(), names, n=1, cutoff=0.8)
        if close:
            hint = f'did you mean "{names[close[0]]}"?'
        elif isinstance(each.value, dict):
            hint = "sections of plugins are not read"
        else:
            hint = "no such option"
        yield f'{each.source}: the configuration option "{name}" is ignored: {hint}'


def _ineffective(values: Mapping[str, Any]) -> Iterator[str]:
    for name, value in values.items():
        option = options()[name]
        if not option.has_effect and value != option.default:
            yield f'The configuration option "{name}" has no effect in this server'


def _from_old_options(given: Mapping[str, _Given], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that are derived where only those of former versions are given."""
    old = {name: option.convert(given[name].value) for name, option in _OLD_OPTIONS.items() if name in given}
    derived: dict[str, Any] = {}
    if "RejectSopClasses" in old:
        derived["RejectedSopClasses"] = old["RejectSopClasses"]
    loaders = max(old.get("LoaderThreads", old.get("ZipLoaderThreads", 1)), 1)
    jobs = Settings(concurrent_jobs=values.get("ConcurrentJobs", 2)).jobs_slots
    derived["StorageLoaderThreadsCount"] = min(max(jobs * loaders, _FEWEST_LOADERS), _MOST_LOADERS)
    if "LoaderThreads" in old or "ZipLoaderThreads" in old:
        derived["SequentialDicomReaderWindowSize"] = loaders
    return {name: value for name, value in derived.items() if name not in values}


def _resolved(value: Any, folder: Path) -> Any:
    """Return paths, alone or in a tuple or a struct, as absolute ones."""
    if isinstance(value, tuple):
        return tuple(_resolved(item, folder) for item in value)
    if isinstance(value, Struct):
        return replace(
            value, **{name: _resolved(getattr(value, name), folder) for name in value.__struct_fields__}
        )
    return folder / value if isinstance(value, Path) else value
