"""Asking a question of both servers in alternated rounds: A B A B."""

import os
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from typing import Any

from msgspec import Struct

from .data import Data
from .failure import BenchError
from .question import Question, Sample
from .server import Server, Side, started


class SideResult(Struct):
    """What one side gave: its samples in order of measurement, or the failure that ended it."""

    samples: list[Sample] = []
    failure: str | None = None


class Result(Struct, frozen=True):
    """The outcome of one question, by the name of the side."""

    question: str
    sides: dict[str, SideResult]


def ask(question: Question, sides: Sequence[Side], data: Data, rounds: int) -> Result:
    """Run all rounds of `question`. A side that fails is left out of further rounds; the other goes on."""
    asked = sides[:1] if question.ours_only else sides
    result = Result(question.name, {side.name: SideResult() for side in asked})
    with ExitStack() as stack:
        runners = [_Runner(question, side, data, stack, result.sides[side.name]) for side in asked]
        for runner in runners:
            runner.guarded(runner.begin)
        for number in range(rounds):
            for runner in runners:
                _progress(f"{question.name}: round {number + 1}/{rounds}, {runner.side.name}")
                runner.guarded(runner.round)
    return result


class _Runner:
    """One side of one question."""

    def __init__(
        self, question: Question, side: Side, data: Data, stack: ExitStack, result: SideResult
    ) -> None:
        self.side = side
        self._question = question
        self._data = data
        self._stack = stack
        self._result = result
        self._server: Server | None = None
        self._prepared: Any = None

    def guarded(self, step: Callable[[], None]) -> None:
        """Do `step` unless this side has failed; a failure is noted, not raised."""
        if self._result.failure is not None:
            return
        try:
            step()
        except (BenchError, OSError, ValueError, KeyError, TypeError) as error:  # wrong answers of all shapes
            self._result.failure = f"{type(error).__name__}: {error}"
            _progress(f"{self._question.name}: {self.side.name} failed: {self._result.failure}")

    def begin(self) -> None:
        """Start and prepare the server that lives through all rounds."""
        if not self._question.fresh:
            self._server = self._stack.enter_context(self._started())
            self._prepared = self._question.prepare(self._server, self._data)

    def round(self) -> None:
        """Measure once."""
        if self._server is not None:
            self._measure(self._server, self._prepared)
            return
        with self._started() as server:
            self._measure(server, self._question.prepare(server, self._data))

    def _started(self) -> AbstractContextManager[Server]:
        return started(self.side, self._question.settings, self._data.folder)

    def _measure(self, server: Server, prepared: Any) -> None:
        os.sync()  # nobody pays for what was written before
        samples = self._question.measure(server, self._data, prepared)
        self._result.samples.extend(samples)
        _progress("   " + "; ".join(f"{sample.value:.4g} {sample.unit}" for sample in samples))


def _progress(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
