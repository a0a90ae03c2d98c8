"""Changing the memory index. Each method as in `transaction.py`."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from msgspec.structs import replace

from ..model.errors import DatabaseError
from ..model.event import Change, ChangeType
from ..model.resource import Attachment, ResourceLevel, ResourceRef
from .memory_reading import MemoryReadTransaction
from .memory_state import Entry, Node
from .transaction import Deletion


class MemoryTransaction(MemoryReadTransaction):
    """A Transaction on the state, used inside `MemoryState.all_or_nothing`."""

    def create(
        self,
        level: ResourceLevel,
        id: str,
        parent_row: int | None,
        tags: Mapping[str, str],
        patient_tags: Mapping[str, str] | None = None,
    ) -> int:
        """Insert a resource and return its row. Raises DatabaseError if the identifier exists."""
        state = self._state
        if id in state.rows:
            raise DatabaseError("A resource with this identifier exists already")
        row = state.totals.last_row + 1
        state.set_totals(replace(state.totals, last_row=row))
        state.put(state.nodes, row, Node(row, level, id, parent_row, dict(tags), patient_tags))
        state.put(state.rows, id, row)
        state.put(state.levels[level], id, row)
        state.put(state.children, row, {})
        state.put(state.metadata, row, {})
        state.put(state.revisions, row, {})
        state.put(state.labels, row, {})
        state.put(state.attachments, row, {})
        if parent_row is not None:
            state.put(state.children[parent_row], id, row)
        return row

    def set_metadata(self, row: int, values: Mapping[int, str]) -> None:
        """Set or replace metadata."""
        for type, value in values.items():
            self._state.put(self._state.metadata[row], int(type), value)

    def set_metadata_of(self, values: Mapping[int, Mapping[int, str]]) -> None:
        """Set or replace metadata of several rows."""
        for row, metadata in values.items():
            self.set_metadata(row, metadata)

    def revise_metadata(self, row: int, type: int, value: str) -> int:
        """Set or replace one metadata and return its new revision."""
        state = self._state
        revision = state.revisions[row].get(type, 0) + 1 if type in state.metadata[row] else 0
        state.put(state.metadata[row], type, value)
        state.put(state.revisions[row], type, revision)
        return revision

    def remove_metadata(self, row: int, type: int) -> None:
        """Remove one metadata, if it is there."""
        self._state.drop(self._state.metadata[row], type)
        self._state.drop(self._state.revisions[row], type)

    def add_label(self, row: int, label: str) -> None:
        """Give a resource a label."""
        self._state.put(self._state.labels[row], label, None)

    def remove_label(self, row: int, label: str) -> None:
        """Take a label off a resource."""
        self._state.drop(self._state.labels[row], label)

    def set_tags(
        self, row: int, tags: Mapping[str, str], patient_tags: Mapping[str, str] | None = None
    ) -> None:
        """Replace the main DICOM tags of a resource."""
        state = self._state
        state.put(state.nodes, row, replace(state.nodes[row], tags=dict(tags), patient_tags=patient_tags))

    def set_protected(self, row: int, is_protected: bool) -> None:
        """Protect a patient from recycling, or no longer."""
        state = self._state
        state.put(state.nodes, row, replace(state.nodes[row], is_protected=is_protected))
        state.drop(state.turns, row)
        self.renew(row)

    def renew(self, row: int) -> None:
        """Make a patient the last to be recycled, unless it is protected."""
        state = self._state
        if not state.nodes[row].is_protected:
            turn = state.totals.last_turn + 1
            state.set_totals(replace(state.totals, last_turn=turn))
            state.put(state.turns, row, turn)

    def attach(self, row: int, attachment: Attachment) -> None:
        """Add an attachment. Raises DatabaseError if the row has one of the type, or another has its key."""
        state = self._state
        if attachment.type in state.attachments[row] or attachment.uuid in state.files:
            raise DatabaseError("This attachment exists already")
        state.put(state.attachments[row], int(attachment.type), attachment)
        state.put(state.files, attachment.uuid, row)
        self._add_sizes([attachment], 1)

    def detach(self, row: int, type: int) -> None:
        """Remove an attachment, if it is there, and queue its file."""
        state = self._state
        attachment = state.attachments[row].get(type)
        if attachment is not None:
            state.drop(state.attachments[row], type)
            state.drop(state.files, attachment.uuid)
            self._queue(attachment.uuid)
            self._add_sizes([attachment], -1)

    def delete(self, id: str) -> Deletion | None:
        """Remove a resource with its descendants and the ancestors left empty."""
        node = self._node(id)
        if node is None:
            return None
        doomed = sorted(self._tree(node), key=lambda below: (-below.level, below.id))
        chain = list(self._chain(node))
        while chain and len(self._state.children[chain[0].row]) == 1:
            doomed.append(chain.pop(0))
        files = [key for gone in doomed for key in self._forget(gone)]
        return Deletion(
            removed=tuple(ResourceRef(gone.level, gone.id) for gone in doomed),
            files=tuple(files),
            remaining_ancestor=ResourceRef(chain[0].level, chain[0].id) if chain else None,
            surviving_rows=tuple(up.row for up in chain),
        )

    def _forget(self, node: Node) -> list[str]:
        """Drop one resource with all that belongs to it, queue its files, and return the keys of these."""
        state, row = self._state, node.row
        files = self.attachments(row)
        tables: tuple[dict[int, Any], ...] = (
            state.nodes,
            state.children,
            state.metadata,
            state.revisions,
            state.labels,
            state.attachments,
            state.turns,
        )
        for table in tables:
            state.drop(table, row)
        state.drop(state.rows, node.id)
        state.drop(state.levels[node.level], node.id)
        if node.parent_row in state.children:
            state.drop(state.children[node.parent_row], node.id)
        for seq in state.changes_of.get(row, ()):
            state.drop(state.changes, seq)
        state.drop(state.changes_of, row)
        for attachment in files:
            state.drop(state.files, attachment.uuid)
            self._queue(attachment.uuid)
        self._add_sizes(files, -1)
        return [attachment.uuid for attachment in files]

    def _queue(self, key: str) -> None:
        state = self._state
        if key not in state.forgotten:
            number = state.totals.last_forgotten + 1
            state.set_totals(replace(state.totals, last_forgotten=number))
            state.put(state.forgotten, key, number)

    def _add_sizes(self, attachments: Sequence[Attachment], sign: int) -> None:
        totals = self._state.totals
        self._state.set_totals(
            replace(
                totals,
                disk_size=totals.disk_size + sign * sum(a.size for a in attachments),
                uncompressed_size=totals.uncompressed_size
                + sign * sum(a.uncompressed_size for a in attachments),
            )
        )

    def log_change(self, type: ChangeType, row: int, date: datetime) -> Change:
        """Append to the log of changes."""
        state = self._state
        seq = state.totals.last_seq + 1
        state.set_totals(replace(state.totals, last_seq=seq))
        state.put(state.changes, seq, Entry(type, row, date))
        if row not in state.changes_of:
            state.put(state.changes_of, row, {})
        state.put(state.changes_of[row], seq, None)
        return self._change(seq)

    def clear_changes(self) -> None:
        """Empty the log; the numbering goes on."""
        tables: tuple[dict[int, Any], ...] = (self._state.changes, self._state.changes_of)
        for table in tables:
            for number in list(table):
                self._state.drop(table, number)

    def files_deleted(self, keys: Sequence[str]) -> None:
        """Take keys off the queue of `forgotten_files`."""
        for key in keys:
            self._state.drop(self._state.forgotten, key)

    def save_jobs(self, records: Mapping[str, bytes], removed: Sequence[str] = ()) -> None:
        """Insert or replace job records; drop `removed` with their plans."""
        for id, record in records.items():
            self._state.put(self._state.jobs, id, record)
        for id in removed:
            self._state.drop(self._state.jobs, id)
            self._state.drop(self._state.plans, id)

    def save_plan(self, job_id: str, plan: bytes | None) -> None:
        """Save or drop the plan of a job."""
        if plan is None:
            self._state.drop(self._state.plans, job_id)
        else:
            self._state.put(self._state.plans, job_id, plan)

    def save_output(self, file: str, data: bytes | None) -> None:
        """Save or drop a small file that a job leaves."""
        if data is None:
            self._state.drop(self._state.outputs, file)
        else:
            self._state.put(self._state.outputs, file, (data, None))

    def note_output_use(self, file: str, used_s: float) -> None:
        """Set when a saved output was used last."""
        found = self._state.outputs.get(file)
        if found is not None:
            self._state.put(self._state.outputs, file, (found[0], used_s))

    def set_property(self, name: str, value: str) -> None:
        """Set a property of the whole index."""
        self._state.put(self._state.properties, name, value)
