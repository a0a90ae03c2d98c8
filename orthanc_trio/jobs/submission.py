"""A new job on its way into the store: looked up, and if it is tiny also done, before it is saved.

Hops between threads would cost such a job several times what it does itself, so both are done in the event
loop if that is quick. What is done here is saved with the record, so a caller is told of a job whose end is
durable.
"""

import logging
import time
from datetime import timedelta
from typing import Any

from msgspec.structs import replace

from ..model.job import DoneWhole, JobOutput, JobRecord
from .kind import Look, NotNear
from .outputs import file_of
from .states import Move, moved

_logger = logging.getLogger(__name__)


class Submission:
    """Makes the record of a new job. Without `has_turn` the job must wait for its turn."""

    def __init__(self, record: JobRecord, look: Look, *, has_turn: bool) -> None:
        self._look = look
        self._has_turn = has_turn
        self._begin_s = time.perf_counter()
        self.pending = record
        """The job as it was submitted; with its content once it is looked up."""
        self.record = record
        """The job as it is saved: pending, or a success."""
        self.passed: tuple[JobRecord, ...] = ()
        """What a job that is done was before it ended, in order."""
        self.outputs: dict[str, bytes] = {}
        """The content of its outputs, by file, which is saved with it."""

    def look_up_near(self, view: Any) -> bool:
        """Make the record in the event loop; False if that would take long. Raises what the look raises."""
        try:
            self._look_up(view, is_near=True)
        except NotNear:
            return False
        return True

    def look_up(self, view: Any) -> None:
        """Make the record in a thread. Raises what the look raises."""
        self._look_up(view, is_near=False)

    def _look_up(self, view: Any, *, is_near: bool) -> None:
        self.pending = self.record = replace(self.pending, content=self._look.content(view))
        done = self._do(is_near=is_near) if self._has_turn else None
        if done is None:
            self._look.leave_for_later()
        else:
            content = self.pending.content | done.content
            running = moved(self.pending, Move.START, self.pending.created)
            now = self.pending.created + timedelta(seconds=time.perf_counter() - self._begin_s)
            self.passed = self.pending, running
            self.record = moved(running, Move.SUCCEED, now, content=content, outputs=self._named(done))

    def _named(self, done: DoneWhole) -> tuple[JobOutput, ...]:
        named = []
        for output in done.outputs:
            file = file_of(self.pending.id, output.key)
            self.outputs[file] = output.data
            named.append(
                JobOutput(
                    key=output.key,
                    file=file,
                    filename=output.filename,
                    media_type=output.media_type,
                    size_bytes=len(output.data),
                )
            )
        return tuple(named)

    def _do(self, *, is_near: bool) -> DoneWhole | None:
        try:
            return self._look.do_whole(is_near=is_near)
        except NotNear:
            raise
        except Exception as exc:
            # It will be done again as any other job is, and there the error is dealt with.
            _logger.info("A job could not be done at once: %s", type(exc).__name__)
            return None
