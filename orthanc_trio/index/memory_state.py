"""What the memory backend holds: dictionaries, and a log that can undo changes of them.

Every change is `put` or `drop` of one key, so that taking back a function is one loop. Undoing may change
the order inside a dictionary: whatever has an order has it by a number, not by its place.
"""

from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any, TypeVar

from msgspec import Struct

from ..model.event import ChangeType
from ..model.resource import Attachment, ResourceLevel

K = TypeVar("K")
V = TypeVar("V")

_ABSENT: Any = object()


class Node(Struct, frozen=True):
    """A resource."""

    row: int
    level: ResourceLevel
    id: str
    parent_row: int | None
    tags: Mapping[str, str]
    patient_tags: Mapping[str, str] | None = None
    is_protected: bool = False


class Entry(Struct, frozen=True):
    """An entry of the log of changes."""

    type: ChangeType
    row: int
    date: datetime


class Totals(Struct, frozen=True):
    """Numbers that only grow, and the sums of sizes."""

    last_row: int = 0
    last_seq: int = 0
    last_forgotten: int = 0
    last_turn: int = 0
    disk_size: int = 0
    uncompressed_size: int = 0


class MemoryState:
    """All tables. Read them freely; change them only with `put`, `drop` and `set_totals`."""

    def __init__(self) -> None:
        self.nodes: dict[int, Node] = {}
        self.rows: dict[str, int] = {}
        self.levels: dict[ResourceLevel, dict[str, int]] = {level: {} for level in ResourceLevel}
        self.children: dict[int, dict[str, int]] = {}
        self.metadata: dict[int, dict[int, str]] = {}
        self.revisions: dict[int, dict[int, int]] = {}
        self.labels: dict[int, dict[str, None]] = {}
        self.attachments: dict[int, dict[int, Attachment]] = {}
        self.files: dict[str, int] = {}
        self.changes: dict[int, Entry] = {}
        self.changes_of: dict[int, dict[int, None]] = {}
        self.forgotten: dict[str, int] = {}
        self.turns: dict[int, int] = {}
        self.jobs: dict[str, bytes] = {}
        self.plans: dict[str, bytes] = {}
        self.outputs: dict[str, tuple[bytes, float | None]] = {}
        """The content of each, and when it was used last."""
        self.properties: dict[str, str] = {}
        self._totals: dict[str, Totals] = {"": Totals()}
        self._undo: list[tuple[MutableMapping[Any, Any], Any, Any]] = []

    @property
    def totals(self) -> Totals:
        """The numbers of now."""
        return self._totals[""]

    def set_totals(self, totals: Totals) -> None:
        """Replace the numbers."""
        self.put(self._totals, "", totals)

    def put(self, table: MutableMapping[K, V], key: K, value: V) -> None:
        """Set `table[key]`."""
        self._undo.append((table, key, table.get(key, _ABSENT)))
        table[key] = value

    def drop(self, table: MutableMapping[K, Any], key: K) -> None:
        """Remove `table[key]`, if it is there."""
        old = table.pop(key, _ABSENT)
        if old is not _ABSENT:
            self._undo.append((table, key, old))

    @contextmanager
    def all_or_nothing(self) -> Iterator[None]:
        """Take back everything that was done in the context if it is left by an exception."""
        self._undo.clear()
        is_done = False
        try:
            yield
            is_done = True
        finally:
            if not is_done:
                self._roll_back()
            self._undo.clear()

    def _roll_back(self) -> None:
        for table, key, old in reversed(self._undo):
            if old is _ABSENT:
                del table[key]
            else:
                table[key] = old
