"""The architecture, enforced: who may import whom, which library belongs where, how long things may be."""

import ast
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest
from msgspec import Struct

ROOT = Path(__file__).parent.parent / "orthanc_trio"
PACKAGE = ROOT.name
FUNCTION_LIMIT, MODULE_LIMIT = 40, 400

# A module imports its own package and lower layers. A top-level module is a package of its own.
LAYERS = {
    "model": 0,
    "config": 0,
    "log": 0,
    "dicom": 1,
    "dul": 1,
    "zipfmt": 1,
    "deflate": 1,
    "extent": 1,
    "allocation": 1,
    "storage": 2,
    "index": 2,
    "jobs": 2,
    "remote": 2,
    "workers": 2,
    "calls": 2,
    "bus": 2,
    "metrics": 2,
    "services": 3,
    "kinds": 4,
    "rest": 5,
    "httpd": 5,
    "scp": 5,
    "options": 6,
    "composition": 6,
    "server": 6,
    "client": 6,
    "cli": 6,
    "__main__": 6,
}

# Settings raise the errors of the model; the entry leads to the server, or to a command of the client; what
# has threads of its own shares the way to them; a storage area can be measured.
SIDEWAYS = {
    ("config", "model"),
    ("storage", "calls"),
    ("storage", "metrics"),
    ("index", "calls"),
    ("__main__", "cli"),
    ("cli", "server"),
    ("cli", "client"),
    ("server", "options"),
    ("server", "composition"),
    ("composition", "options"),
}

# Where a library may be imported: prefixes of module names.
HOMES = {
    "pydicom": ("dicom.", "dul."),
    "imagecodecs": ("dicom.codec",),
    "PIL": ("dicom.picture",),
    "quart": ("rest.",),
    "quart_trio": ("rest.",),
    "hypercorn": ("httpd.",),
    "httptools": ("httpd.",),
    "wsproto": ("httpd.",),
    "sqlite3": ("index.sqlite",),
    "psycopg": ("index.postgresql",),
    "boto3": ("storage.s3",),
    "httpx": ("client.", "remote.http."),
    "rich": ("client.",),
    "argon2": ("rest.passwords.",),
    "trio_websocket": ("client.",),
}

# What must stay free of input and output.
SANS_IO = ("jobs.states", "jobs.registry")


class Module(Struct, frozen=True):
    name: str
    """Below the package: `jobs.engine`; a package by its own name, the top by an empty one."""
    path: Path

    @property
    def unit(self) -> str:
        return self.name.partition(".")[0]


@cache
def parsed(module: Module) -> tuple[ast.AST, ...]:
    """Return every node of a module."""
    return tuple(ast.walk(ast.parse(module.path.read_text(), str(module.path))))


def _name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def modules() -> dict[str, Module]:
    return {_name(path): Module(_name(path), path) for path in sorted(ROOT.rglob("*.py"))}


def imports(module: Module) -> Iterator[str]:
    """Yield absolute names, also of imports in functions and of those for type checkers only."""
    for node in parsed(module):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from _imports_from(module, node)


def _imports_from(module: Module, node: ast.ImportFrom) -> Iterator[str]:
    base = node.module or ""
    if node.level:
        here = [PACKAGE, *(module.name.split(".") if module.name else [])]
        steps_up = node.level - (module.path.name == "__init__.py")
        base = ".".join([*here[: len(here) - steps_up], *([base] if base else [])])
    for alias in node.names:
        # `from . import engine` imports a module, `from .engine import JobsEngine` a name of one.
        below = f"{base}.{alias.name}".removeprefix(f"{PACKAGE}.")
        yield f"{base}.{alias.name}" if below in modules() else base


def own_imports(module: Module) -> set[str]:
    found = {name.removeprefix(PACKAGE).removeprefix(".") for name in imports(module) if _is_own(name)}
    return found - {module.name}


def _is_own(name: str) -> bool:
    return name == PACKAGE or name.startswith(f"{PACKAGE}.")


def everywhere() -> pytest.MarkDecorator:
    return pytest.mark.parametrize("module", modules().values(), ids=lambda m: m.name or PACKAGE)


@everywhere()
def test_every_module_has_a_layer(module: Module) -> None:
    assert module.name == "" or module.unit in LAYERS


@everywhere()
def test_imports_go_down(module: Module) -> None:
    for name in own_imports(module):
        unit = name.partition(".")[0]
        if unit in ("", module.unit) or (module.unit, unit) in SIDEWAYS:
            continue
        assert LAYERS[unit] < LAYERS[module.unit], f"{module.name} imports {name}"


@everywhere()
def test_the_client_shares_nothing_with_the_server(module: Module) -> None:
    if module.unit == "client":
        assert {name.partition(".")[0] for name in own_imports(module)} <= {"", "client"}


def test_there_is_no_import_cycle() -> None:
    try:
        TopologicalSorter({m.name: own_imports(m) for m in modules().values()}).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


@everywhere()
def test_libraries_stay_at_home(module: Module) -> None:
    for name in imports(module):
        homes = HOMES.get(name.partition(".")[0])
        assert homes is None or f"{module.name}.".startswith(homes), f"{module.name} imports {name}"


@everywhere()
def test_the_low_layers_do_no_input_and_output(module: Module) -> None:
    if LAYERS.get(module.unit, 0) <= 1 or module.name in SANS_IO:
        assert "trio" not in {name.partition(".")[0] for name in imports(module)}


@everywhere()
def test_modules_are_short(module: Module) -> None:
    assert len(module.path.read_text().splitlines()) <= MODULE_LIMIT


@everywhere()
def test_functions_are_short(module: Module) -> None:
    for node in parsed(module):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            assert lines <= FUNCTION_LIMIT, f"{module.name}: {node.name} has {lines} lines"


@pytest.mark.parametrize(
    ("name", "line", "expected"),
    [
        ("jobs.engine", "from . import kind", {"jobs.kind"}),
        ("jobs.engine", "from .kind import JobKind", {"jobs.kind"}),
        ("jobs.engine", "from ..model import errors", {"model.errors"}),
        ("jobs.engine", "from .. import __version__", {""}),
        ("jobs", "from .kind import JobKind", {"jobs.kind"}),
        ("rest.routes.x", "from ...model.errors import BadRequest", {"model.errors"}),
        ("cli", "import orthanc_trio.model.errors", {"model.errors"}),
        ("cli", "if TYPE_CHECKING:\n    from .model.errors import BadRequest", {"model.errors"}),
        ("cli", "def f():\n    from .model import errors", {"model.errors"}),
        ("cli", "import json", set()),
    ],
)
def test_the_walk_understands_imports(name: str, line: str, expected: set[str], tmp_path: Path) -> None:
    path = tmp_path / ("__init__.py" if name == "jobs" else "module.py")
    path.write_text(line)

    assert own_imports(Module(name, path)) == expected
