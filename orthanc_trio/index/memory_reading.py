"""Reading from memory. Each method as in `transaction.py`."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from ..model.event import Change, ChangeType
from ..model.resource import (
    Attachment,
    AttachmentType,
    Facts,
    LeafInstance,
    Metadata,
    ResourceLevel,
    ResourceRef,
    SeriesPath,
    Statistics,
)
from .memory_find import matching, nodes_at, values_of
from .memory_state import MemoryState, Node
from .query import FindRequest, Key
from .transaction import ChangesPage, MainTags, MetadataItem, PlacedInstance, Row

T = TypeVar("T")

_SOP_INSTANCE_UID = "0008,0018"
_INSTANCE_NUMBER = "0020,0013"


class MemoryReadTransaction:
    """A ReadTransaction: nothing else runs while it is used, so its view is consistent."""

    def __init__(self, state: MemoryState) -> None:
        self._state = state

    def find(self, id: str) -> Row | None:
        """Return the row of an Orthanc identifier, whatever its level."""
        node = self._node(id)
        return Row(node.row, node.level, node.parent_row) if node else None

    def find_all(self, ids: Sequence[str]) -> dict[str, Row]:
        """Return the rows of those of `ids` that exist."""
        return {id: row for id in ids if (row := self.find(id))}

    def ids(self, level: ResourceLevel, since: int = 0, limit: int | None = None) -> list[str]:
        """Return identifiers of a level, ascending."""
        return sorted(self._state.levels[level])[since : None if limit is None else since + limit]

    def search(self, request: FindRequest) -> list[str]:
        """Return the identifiers of the resources that meet a request."""
        end = None if request.limit is None else request.since + request.limit
        return matching(self._state, request)[request.since : end]

    def count(self, request: FindRequest) -> int:
        """Return how many resources meet a request, on all pages."""
        return len(matching(self._state, request))

    def values_below(self, ids: Sequence[str], level: ResourceLevel, key: Key) -> dict[str, list[str]]:
        """Return the values that the descendants of resources have at a level, by id."""
        below = {id: nodes_at(self._state, node, level) for id in ids if (node := self._node(id))}
        values = {
            id: sorted({value for node in nodes for value in values_of(self._state, node, key)})
            for id, nodes in below.items()
        }
        return {id: found for id, found in values.items() if found}

    def counts_below(self, ids: Sequence[str], level: ResourceLevel) -> dict[str, int]:
        """Return how many descendants resources have at a level, by id."""
        return {
            id: sum(1 for _ in nodes_at(self._state, node, level)) for id in ids if (node := self._node(id))
        }

    def attachments_of(self, ids: Sequence[str]) -> dict[str, list[Attachment]]:
        """Return the attachments of many resources by id."""
        found = {id: self.attachments(node.row) for id in ids if (node := self._node(id))}
        return {id: attachments for id, attachments in found.items() if attachments}

    def facts(self, id: str, level: ResourceLevel | None = None) -> Facts | None:
        """Return all about one resource."""
        node = self._node(id)
        return self._facts(node) if node and level in (None, node.level) else None

    def facts_of(self, ids: Sequence[str]) -> list[Facts]:
        """Return the facts of many resources, in the order of `ids`."""
        found = (self.facts(id) for id in ids)
        return [facts for facts in found if facts is not None]

    def tags_of(self, ids: Sequence[str]) -> dict[str, MainTags]:
        """Return the tags of many resources, by id."""
        return {facts.id: MainTags(facts.tags, facts.patient_tags or {}) for facts in self.facts_of(ids)}

    def descendants(self, id: str, level: ResourceLevel) -> list[str]:
        """Return the identifiers of the descendants at a lower level, ascending."""
        node = self._node(id)
        if node is None or node.level >= level:
            return []
        return sorted(below.id for below in self._tree(node) if below.level is level)

    def ancestors(self, id: str) -> list[ResourceRef]:
        """Return the chain of parents, from the bottom up."""
        node = self._node(id)
        return [ResourceRef(up.level, up.id) for up in self._chain(node)] if node else []

    def series_paths(self, id: str) -> list[SeriesPath]:
        """Return the series at or below a resource, or the one that an instance belongs to."""
        node = self._node(id)
        if node is None:
            return []
        at = next(self._chain(node)) if node.level is ResourceLevel.INSTANCE else node
        return sorted(
            (*[up.id for up in self._chain(below)][::-1], below.id)  # type: ignore[misc]
            for below in self._tree(at)
            if below.level is ResourceLevel.SERIES
        )

    def numbered(self, series: str) -> list[tuple[str, str | None]]:
        """Return the instances of a series with their InstanceNumber, by identifier."""
        node = self._node(series)
        instances = sorted(self._state.children[node.row].items()) if node else []
        return [(id, self._state.nodes[row].tags.get(_INSTANCE_NUMBER)) for id, row in instances]

    def leaves(self, ids: Sequence[str]) -> list[LeafInstance]:
        """Return those of the instances that have a DICOM file."""
        nodes = [node for id in ids if (node := self._node(id)) and node.level is ResourceLevel.INSTANCE]
        return [leaf for node in nodes if (leaf := self._leaf(node))]

    def placed(self, id: str) -> PlacedInstance | None:
        """Return all that an archive of one instance needs."""
        leaves = self.leaves([id])
        if not leaves:
            return None
        node = self._state.nodes[self._state.rows[id]]
        series, study, patient = (dict(up.tags) for up in self._chain(node))
        size = sum(file.uncompressed_size for file in self._state.attachments[node.row].values())
        return PlacedInstance(leaves[0], size, patient, study, series)

    def metadata_item(self, row: int, type: int) -> MetadataItem | None:
        """Return one metadata of a resource."""
        value = self._state.metadata[row].get(type)
        return None if value is None else MetadataItem(value, self._state.revisions[row].get(type, 0))

    def oldest_patient(self, spared: str | None = None) -> str | None:
        """Return the unprotected patient whose last instance came first."""
        nodes, turns = self._state.nodes, self._state.turns
        rows = (row for row in sorted(turns, key=turns.__getitem__) if nodes[row].id != spared)
        return next((nodes[row].id for row in rows), None)

    def labels_in_use(self) -> list[str]:
        """Return each label that some resource bears, ascending."""
        return sorted({label for labels in self._state.labels.values() for label in labels})

    def attachments(self, row: int) -> list[Attachment]:
        """Return the attachments of a resource, by number."""
        return [attachment for _, attachment in sorted(self._state.attachments.get(row, {}).items())]

    def statistics(self) -> Statistics:
        """Return the totals."""
        totals = self._state.totals
        counts = {level: len(ids) for level, ids in self._state.levels.items()}
        return _statistics(counts, totals.disk_size, totals.uncompressed_size)

    def statistics_of(self, id: str, attachment_type: int | None = None) -> Statistics | None:
        """Return counts and sizes of a resource with all its descendants."""
        node = self._node(id)
        if node is None:
            return None
        counts = dict.fromkeys(ResourceLevel, 0)
        files: list[Attachment] = []
        for below in self._tree(node):
            counts[below.level] += 1
            files.extend(
                file
                for file in self._state.attachments[below.row].values()
                if attachment_type in (None, file.type)
            )
        return _statistics(counts, sum(f.size for f in files), sum(f.uncompressed_size for f in files))

    def changes(
        self,
        *,
        since: int = 0,
        to: int | None = None,
        types: Iterable[ChangeType] = (),
        limit: int,
        from_end: bool = False,
    ) -> ChangesPage:
        """Return a page of the log of changes."""
        wanted = frozenset(types) or frozenset(ChangeType)
        found = [
            seq
            for seq, entry in self._state.changes.items()
            if since < seq and (to is None or seq <= to) and entry.type in wanted
        ]
        page = sorted(found, reverse=from_end)[:limit]
        return ChangesPage(
            changes=tuple(self._change(seq) for seq in sorted(page)),
            is_done=len(found) <= limit,
            last_seq=self._state.totals.last_seq,
        )

    def forgotten_files(self, limit: int) -> list[str]:
        """Return keys of files that still have to be deleted, oldest first."""
        forgotten = self._state.forgotten
        return sorted(forgotten, key=forgotten.__getitem__)[:limit]

    def known_files(self, keys: Sequence[str]) -> set[str]:
        """Return those of `keys` that an attachment bears."""
        return {key for key in keys if key in self._state.files}

    def load_jobs(self, read: Callable[[bytes], T]) -> list[T]:
        """Return what `read` makes of each saved job record."""
        return list(map(read, self._state.jobs.values()))

    def load_plan(self, job_id: str) -> bytes | None:
        """Return the saved plan of a job."""
        return self._state.plans.get(job_id)

    def load_output(self, file: str) -> bytes | None:
        """Return a saved output of a job."""
        found = self._state.outputs.get(file)
        return None if found is None else found[0]

    def output_uses(self) -> dict[str, float | None]:
        """Return when each saved output was used last."""
        return {file: used_s for file, (_, used_s) in self._state.outputs.items()}

    def get_property(self, name: str) -> str | None:
        """Return a property of the whole index."""
        return self._state.properties.get(name)

    def _node(self, id: str) -> Node | None:
        row = self._state.rows.get(id)
        return None if row is None else self._state.nodes[row]

    def _chain(self, node: Node) -> Iterator[Node]:
        """Yield the ancestors, from the bottom up."""
        while node.parent_row is not None:
            node = self._state.nodes[node.parent_row]
            yield node

    def _tree(self, node: Node) -> Iterator[Node]:
        """Yield the node and all that is below it."""
        yield node
        for row in self._state.children[node.row].values():
            yield from self._tree(self._state.nodes[row])

    def _facts(self, node: Node) -> Facts:
        state, row = self._state, node.row
        parent = None if node.parent_row is None else state.nodes[node.parent_row]
        children = sorted(state.children[row].items())
        is_series = node.level is ResourceLevel.SERIES
        is_instance = node.level is ResourceLevel.INSTANCE
        return Facts(
            level=node.level,
            id=node.id,
            parent=parent.id if parent else None,
            tags=dict(node.tags),
            metadata=dict(state.metadata[row]),
            children=tuple(id for id, _ in children),
            labels=tuple(sorted(state.labels[row])),
            patient_tags=None if node.patient_tags is None else dict(node.patient_tags),
            indexes_in_series=tuple(
                state.metadata[child].get(Metadata.INDEX_IN_SERIES) for _, child in children if is_series
            ),
            dicom=state.attachments[row].get(AttachmentType.DICOM) if is_instance else None,
            is_protected=node.is_protected,
        )

    def _leaf(self, node: Node) -> LeafInstance | None:
        attachment = self._state.attachments[node.row].get(AttachmentType.DICOM)
        if attachment is None:
            return None
        return LeafInstance(
            id=node.id,
            sop_instance_uid=node.tags.get(_SOP_INSTANCE_UID, ""),
            instance_number=node.tags.get(_INSTANCE_NUMBER),
            transfer_syntax=self._state.metadata[node.row].get(Metadata.TRANSFER_SYNTAX, ""),
            attachment=attachment,
        )

    def _change(self, seq: int) -> Change:
        entry = self._state.changes[seq]
        node = self._state.nodes[entry.row]
        return Change(seq=seq, type=entry.type, level=node.level, id=node.id, date=entry.date)


def _statistics(counts: dict[ResourceLevel, int], disk_size: int, uncompressed_size: int) -> Statistics:
    return Statistics(
        patients=counts[ResourceLevel.PATIENT],
        studies=counts[ResourceLevel.STUDY],
        series=counts[ResourceLevel.SERIES],
        instances=counts[ResourceLevel.INSTANCE],
        disk_size=disk_size,
        uncompressed_size=uncompressed_size,
    )
