"""Main tags that are sequences, as the text of the metadata MainDicomSequences.

Source: that metadata of Orthanc 1.13.0.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from .dictionary import Dictionary
from .render import Tags

Sequences = dict[str, list[Tags]]
"""The items of each sequence in the full format, by `gggg,eeee`."""


def text_of_sequences(sequences: Mapping[str, list[Tags]], dictionary: Dictionary) -> str:
    """Return the text, of which `sequences_of_text` is the inverse."""
    names = {tag: dictionary.entry_of(dictionary.tag_number(tag)).name for tag in sequences}
    shown = {
        tag: {"Name": names[tag], "Type": "Sequence", "Value": items} for tag, items in sequences.items()
    }
    return msgspec.json.encode({"Sequences": shown, "Version": 1}, order="sorted").decode()


def sequences_of_text(text: str) -> Sequences:
    """Return the sequences; none of a text that an earlier version of this server wrote."""
    stored: dict[str, Any] = msgspec.json.decode(text)
    return {tag: shown["Value"] for tag, shown in stored.get("Sequences", {}).items()}
