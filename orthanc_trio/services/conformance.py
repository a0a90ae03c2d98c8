"""The DICOM conformance statement, made of what the server accepts now. Source: PS3.2."""

from collections.abc import Iterable, Iterator

from ..dicom.acceptance import uid_name
from .switches import Switches

_TITLE = "DICOM Conformance Statement of orthanc_trio"


def conformance_statement(switches: Switches) -> str:
    """Return the statement as plain text, in lines of name and UID."""
    return "\n".join(
        [
            *_heading(_TITLE, "="),
            "This server stores instances that it receives over HTTP. It has no DICOM network services yet:",
            "it neither accepts nor requests associations.",
            "",
            *_section("SOP classes that are accepted for storage", switches.accepted_sop_classes),
            *_section("Transfer syntaxes that are accepted for storage", switches.accepted_transfer_syntaxes),
        ]
    )


def _section(title: str, uids: Iterable[str]) -> Iterator[str]:
    yield from _heading(title, "-")
    rows = sorted((uid_name(uid), uid) for uid in uids)
    width = max((len(name) for name, _ in rows), default=0)
    yield from (f"  {name:{width}} | {uid}" for name, uid in rows)
    yield ""


def _heading(title: str, rule: str) -> Iterator[str]:
    yield from (rule * len(title), title, rule * len(title), "")
