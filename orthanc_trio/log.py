"""The log: one line for each event, to stderr or a file, never with the data of a patient.

Each category has its own level. Source: the Orthanc Book, "Log"; `/tools/log-level-{category}`.
"""

import logging
import re
import time
from pathlib import Path

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_PACKAGE = __name__.partition(".")[0]
_LOGGERS = {
    "generic": ("",),
    "plugins": (".plugins",),
    "http": (".httpd", ".rest", ".remote"),
    "sqlite": (".index",),
    "dicom": (".dicom", ".dul", ".scp"),
    "jobs": (".jobs", ".kinds"),
    "lua": (".lua",),
}
"""The loggers of each category, below our package. Nobody logs as `plugins` or `lua`."""

CATEGORIES = tuple(_LOGGERS)
LEVELS = {"default": logging.WARNING, "verbose": logging.INFO, "trace": logging.DEBUG}
"""The names of the levels in Orthanc, from the fewest lines to the most."""

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


def set_level(level: int, *categories: str) -> None:
    """Log from `level` on in some categories, or in all."""
    for category in categories or CATEGORIES:
        for logger in _loggers(category):
            logger.setLevel(level)


def level_name(*categories: str) -> str:
    """Return the name of the level of a category, or of several the one with the most lines."""
    lowest = min(_loggers(category)[0].getEffectiveLevel() for category in categories or CATEGORIES)
    return next((name for name, level in reversed(LEVELS.items()) if lowest <= level), "default")


def _loggers(category: str) -> list[logging.Logger]:
    return [logging.getLogger(_PACKAGE + name) for name in _LOGGERS[category]]


def open_log(level: int, file: Path | None = None) -> None:
    """Send what is logged from `level` on to `file`, or to stderr; of libraries only warnings.

    Raises OSError.
    """
    handler = logging.StreamHandler() if file is None else logging.FileHandler(file, encoding="utf-8")
    handler.setFormatter(LineFormatter())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    set_level(level)
