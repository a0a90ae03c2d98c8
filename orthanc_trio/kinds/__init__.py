"""The kinds of jobs. Each module that exports `make_kinds` is found here; nothing lists them."""

import importlib
import pkgutil
from typing import Any

from ..jobs.kind import JobKind
from .bundle import KindServices

__all__ = ["KindServices", "discover"]


def discover(services: KindServices) -> list[JobKind[Any, Any, Any]]:
    """Make all kinds of jobs that the modules of this package offer, by name.

    A module offers them as `make_kinds(services) -> Iterable[JobKind]`.
    """
    kinds: list[JobKind[Any, Any, Any]] = []
    for found in pkgutil.iter_modules(__path__):
        module = importlib.import_module(f"{__name__}.{found.name}")
        if hasattr(module, "make_kinds"):
            kinds.extend(module.make_kinds(services))
    return sorted(kinds, key=lambda kind: kind.name)
