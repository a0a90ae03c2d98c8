"""A FindRequest on the memory backend: look at every resource of the level."""

from collections.abc import Callable, Iterator

from ..dicom.match import fold, folded, matches
from ..model.resource import ResourceLevel
from .memory_state import MemoryState, Node
from .query import (
    Condition,
    FindRequest,
    Key,
    LabelsCondition,
    LabelsConstraint,
    MetadataKey,
    Order,
    OrderType,
    TagKey,
    as_float,
    as_integer,
)

_AS: dict[OrderType, Callable[[str], str | float | None]] = {
    OrderType.TEXT: fold,
    OrderType.INTEGER: as_integer,
    OrderType.FLOAT: as_float,
}


def matching(state: MemoryState, request: FindRequest) -> list[str]:
    """Return the identifiers of all that meet the request, in its order."""
    nodes = [state.nodes[row] for row in state.levels[request.level].values()]
    found = sorted((node for node in nodes if _meets(state, node, request)), key=lambda node: node.id)
    for order in reversed(request.order):
        values = {node.id: _order_value(state, node, order) for node in found}
        known = [node for node in found if values[node.id] is not None]
        known.sort(key=lambda node: values[node.id], reverse=order.is_descending)  # type: ignore[arg-type, return-value]
        found = known + [node for node in found if values[node.id] is None]
    return [node.id for node in found]


def values_of(state: MemoryState, node: Node, key: Key) -> Iterator[str]:
    """Yield the values of a resource: one at most, or those of all its descendants at a lower level."""
    match key:
        case MetadataKey(type):
            if type in state.metadata[node.row]:
                yield state.metadata[node.row][type]
        case TagKey(level, tag):
            for other in nodes_at(state, node, level):
                tags = other.tags
                if level is ResourceLevel.PATIENT and node.level > level:
                    study = next(nodes_at(state, node, ResourceLevel.STUDY))
                    tags = study.patient_tags or {}
                if tag in tags:
                    yield tags[tag]


def nodes_at(state: MemoryState, node: Node, level: ResourceLevel) -> Iterator[Node]:
    """Yield the resource itself, its ancestor or its descendants at a level."""
    if node.level == level:
        yield node
    elif node.level > level:
        assert node.parent_row is not None
        yield from nodes_at(state, state.nodes[node.parent_row], level)
    else:
        for row in state.children[node.row].values():
            yield from nodes_at(state, state.nodes[row], level)


def _meets(state: MemoryState, node: Node, request: FindRequest) -> bool:
    return (
        all(next(nodes_at(state, node, level)).id == id for level, id in request.within)
        and all(_has(state, node, condition) for condition in request.conditions)
        and (request.labels is None or _bears(set(state.labels[node.row]), request.labels))
    )


def _has(state: MemoryState, node: Node, condition: Condition) -> bool:
    values = values_of(state, node, condition.key)
    if condition.is_exact:
        return any(matches(condition.criterion, value) for value in values)
    criterion = folded(condition.criterion)
    return any(matches(criterion, fold(value)) for value in values)


def _bears(labels: set[str], condition: LabelsCondition) -> bool:
    wanted = set(condition.labels)
    match condition.constraint:
        case LabelsConstraint.ALL:
            return wanted <= labels
        case LabelsConstraint.ANY:
            return not wanted or bool(wanted & labels)
        case LabelsConstraint.NONE:
            return not (wanted & labels if wanted else labels)


def _order_value(state: MemoryState, node: Node, order: Order) -> str | float | None:
    value = next(values_of(state, node, order.key), None)
    return None if value is None else _AS[order.type](value)
