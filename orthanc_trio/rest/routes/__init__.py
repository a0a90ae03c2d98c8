"""The routes: one module per noun. Each module is found here; nothing lists them."""

import importlib
import pkgutil
from collections.abc import Iterable
from types import ModuleType
from typing import Any

from ..routing import Route, components


def discover() -> list[ModuleType]:
    """Import the modules of this package, in the order of their names."""
    names = sorted(found.name for found in pkgutil.iter_modules(__path__))
    return [importlib.import_module(f"{__name__}.{name}") for name in names]


def collect(modules: Iterable[Any], attribute: str) -> list[Route]:
    """Return what the modules declare in their `routes` or `websockets`."""
    return [
        route for module in modules if hasattr(module, attribute) for route in getattr(module, attribute).all
    ]


def children_of(path: str) -> list[str]:
    """Return the words that can follow a path, sorted: what Orthanc lists where a path has no meaning."""
    prefix = components(path)
    children = {
        parts[len(prefix)]
        for parts in (components(route.pattern) for route in collect(discover(), "routes"))
        if len(parts) > len(prefix) and parts[: len(prefix)] == prefix
    }
    return sorted(child for child in children if not child.startswith("{"))
