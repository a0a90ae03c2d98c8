"""What clients change while the server runs. It is lost at a restart, which reads the configuration again.

Whether metrics are collected is a switch of `Metrics`, the levels of the log are those of `logging`.
"""

from collections.abc import Iterable
from fnmatch import fnmatchcase

from ..config.settings import Settings
from ..dicom.acceptance import STORAGE_SOP_CLASSES, TRANSFER_SYNTAXES


class Switches:
    """The options of one server that can be changed; the only ones that are not frozen."""

    def __init__(self, settings: Settings | None = None) -> None:
        settings = settings or Settings()
        self.default_encoding = settings.default_encoding
        """The character set of files that do not name theirs."""
        self.accepts_unknown_sop_classes: bool = settings.unknown_sop_class_accepted
        self.accepted_transfer_syntaxes: tuple[str, ...] = matching_syntaxes(
            settings.accepted_transfer_syntaxes
        )
        """UIDs that may be received over DICOM, ascending."""
        self.accepted_sop_classes: tuple[str, ...] = _sop_classes(settings)
        """UIDs that may be received over DICOM, ascending."""


def matching_syntaxes(patterns: Iterable[str]) -> tuple[str, ...]:
    """Return the known transfer syntaxes that any pattern with `*` and `?` names, ascending."""
    escaped = [pattern.replace("[", "[[]") for pattern in patterns]
    return tuple(uid for uid in TRANSFER_SYNTAXES if any(fnmatchcase(uid, pattern) for pattern in escaped))


def _sop_classes(settings: Settings) -> tuple[str, ...]:
    accepted = set(settings.accepted_sop_classes or STORAGE_SOP_CLASSES)
    return tuple(sorted(accepted.difference(settings.rejected_sop_classes)))
