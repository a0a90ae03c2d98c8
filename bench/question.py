"""What a question is: a state to prepare, a thing to measure, and the samples that come out."""

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any

from msgspec import Struct, field

from .data import Data
from .server import Server


class Better(StrEnum):
    """In which direction a number is better."""

    HIGHER = "higher"
    LOWER = "lower"


class Sample(Struct, frozen=True):
    """One measured number of one round; `expected` is the worst ratio ours / reference that will do."""

    row: str
    unit: str
    value: float
    better: Better = Better.HIGHER
    expected: float | None = None


class Question(Struct, frozen=True):
    """One comparison.

    `prepare` brings a server into the state and returns what `measure` needs; `measure` runs once per round,
    checks the answers (raises BenchError) and returns one sample per row of the table. `fresh` means that
    every round has a new, empty server; otherwise both servers live through all rounds.
    """

    name: str
    prepare: Callable[[Server, Data], Any]
    measure: Callable[[Server, Data, Any], list[Sample]]
    settings: Mapping[str, Any] = field(default_factory=dict)
    fresh: bool = False
    ours_only: bool = False
