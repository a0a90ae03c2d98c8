"""Results as rows, and rows as text or Markdown."""

from collections.abc import Iterable, Sequence
from statistics import median

from msgspec import Struct

from .question import Better, Sample
from .run import Result

HEAD = ("", "unit", "better", "ours", "reference", "ratio", "expected")


class Row(Struct, frozen=True):
    """One line of the table: medians over the rounds; the ratio is ours / reference."""

    label: str
    unit: str
    better: Better
    ours: float | None
    reference: float | None
    ratio: float | None
    expected: float | None
    rounds: dict[str, list[float]]

    @property
    def is_met(self) -> bool | None:
        """Whether the ratio is as expected; None if there is nothing to compare."""
        if self.ratio is None or self.expected is None:
            return None
        return self.ratio >= self.expected if self.better is Better.HIGHER else self.ratio <= self.expected

    def cells(self) -> tuple[str, ...]:
        """Return the texts of the line, in the order of HEAD."""
        numbers = (_number(self.ours), _number(self.reference), _number(self.ratio))
        return (self.label, self.unit, self.better.value, *numbers, self._expectation())

    def _expectation(self) -> str:
        if self.expected is None:
            return ""
        sign = "≥" if self.better is Better.HIGHER else "≤"
        verdict = {True: ": met", False: ": MISSED", None: ""}[self.is_met]
        return f"{sign} {self.expected:g}{verdict}"


def make_rows(result: Result) -> list[Row]:
    """Return the rows of one question, in the order of measurement. A side without samples leaves a gap."""
    by_row: dict[str, dict[str, list[Sample]]] = {}
    for side, outcome in result.sides.items():
        for sample in outcome.samples:
            by_row.setdefault(sample.row, {}).setdefault(side, []).append(sample)
    return [_row(label, sides) for label, sides in by_row.items()]


def _row(label: str, sides: dict[str, list[Sample]]) -> Row:
    rounds = {side: [sample.value for sample in samples] for side, samples in sides.items()}
    ours, reference = (median(rounds[side]) if side in rounds else None for side in ("ours", "reference"))
    some = next(iter(sides.values()))[0]
    ratio = ours / reference if ours is not None and reference else None
    return Row(label, some.unit, some.better, ours, reference, ratio, some.expected, rounds)


def failures(results: Iterable[Result]) -> list[str]:
    """Return a line per side that failed, without the middle of a long text."""
    return [
        f"{result.question}, {side}: {shortened(outcome.failure)}"
        for result in results
        for side, outcome in result.sides.items()
        if outcome.failure is not None
    ]


def shortened(text: str) -> str:
    """Return the first and the last line: what failed, and how a traceback or a log ends."""
    lines = text.strip().splitlines() or [""]
    return lines[0] if len(lines) == 1 else f"{lines[0]} [...] {lines[-1]}"


def as_text(rows: Sequence[Row]) -> str:
    """Return the table for a terminal."""
    lines = [HEAD, *(row.cells() for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEAD))]
    return "\n".join(_aligned(line, widths) for line in lines)


def _aligned(line: tuple[str, ...], widths: Sequence[int]) -> str:
    texts = [
        cell.rjust(width) if 3 <= column <= 5 else cell.ljust(width)
        for column, (cell, width) in enumerate(zip(line, widths, strict=True))
    ]
    return "  ".join(texts).rstrip()


def as_markdown(rows: Sequence[Row], facts: Sequence[str]) -> str:
    """Return the facts as a list and the table, in Markdown."""
    lines = [f"* {fact}" for fact in facts]
    lines += ["", f"| {' | '.join(HEAD)} |", "|---|---|---|---:|---:|---:|---|"]
    lines += [f"| {' | '.join(row.cells())} |" for row in rows]
    return "\n".join(lines) + "\n"


def _number(value: float | None) -> str:
    if value is None:
        return ""
    decimals = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    return f"{value:,.{decimals}f}"
