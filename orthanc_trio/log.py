"""The log: one line for each event, to stderr or a file, never with the data of a patient."""

import logging
import re
import time
from pathlib import Path

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_LETTERS = {logging.DEBUG: "T", logging.INFO: "I", logging.WARNING: "W"}


class LineFormatter(logging.Formatter):
    """One line: letter of the level, month and day, time, logger, text. Only a traceback adds more lines."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of `record`, in which control characters are escaped."""
        stamp = time.strftime("%m%d %H:%M:%S", time.localtime(record.created))
        letter = _LETTERS.get(record.levelno, "E")
        text = _CONTROL.sub(lambda match: ascii(match[0])[1:-1], record.getMessage())
        line = f"{letter}{stamp}.{record.msecs * 1000:06.0f} {record.name}: {text}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def open_log(level: int, file: Path | None = None) -> None:
    """Send what is logged from `level` on to `file`, or to stderr. Raises OSError."""
    handler = logging.StreamHandler() if file is None else logging.FileHandler(file, encoding="utf-8")
    handler.setFormatter(LineFormatter())
    logging.basicConfig(level=level, handlers=[handler], force=True)
