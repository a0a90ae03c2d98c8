"""What may be received over DICOM by default: storage SOP classes and transfer syntaxes.

Source: PS3.4 Annex B, PS3.5 §10; the sets are those of Orthanc 1.13.0.
"""

from importlib.resources import files
from typing import Final

from . import transfer_syntax

_NOT_OFFERED = frozenset(
    f"1.2.840.10008.1.2.{suffix}"
    for suffix in (
        *(f"4.{number}.1" for number in range(100, 107)),
        "4.204",
        "4.205",
        "7.1",
        "7.2",
        "7.3",
        "8.1",
    )
)
"""Newer ones, of which no peer is told."""

STORAGE_SOP_CLASSES: Final = tuple(
    files(__package__).joinpath("storage_sop_classes.txt").read_text("ascii").split()
)
"""UIDs, ascending as text."""

TRANSFER_SYNTAXES: Final = tuple(sorted(transfer_syntax.TRANSFER_SYNTAXES.keys() - _NOT_OFFERED))
"""UIDs, ascending as text."""


def uid_name(uid: str) -> str:
    """Return the name of a SOP class or transfer syntax in the standard, the UID itself if it has none."""
    from pydicom.uid import UID  # not before it is needed: it brings numpy and 50 MB with it

    return UID(uid).name
