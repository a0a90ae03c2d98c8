"""The paths of a modification as a tree that is walked along with a dataset."""

from collections.abc import Iterable

from .modification import Modification
from .tag_path import TagPath


class PathNode:
    """What is to be done in the items that one way leads to, and where the way goes on."""

    def __init__(self) -> None:
        self.children: dict[tuple[int, int | None], PathNode] = {}
        """By sequence and index; None is all items."""
        self.keeps: set[int] = set()
        self.removals: set[int] = set()
        self.replacements: dict[int, int] = {}
        """Tag -> position among the replacements of the modification."""

    def leads_into(self, sequence: int) -> bool:
        """Tell whether the way goes on in a sequence."""
        return any(tag == sequence for tag, _ in self.children)

    def at(self, path: TagPath) -> "PathNode":
        """Return the node of the items of a path; it is made if there is none."""
        node = self
        for parent in path.parents:
            node = node.children.setdefault((parent.sequence, parent.index), PathNode())
        return node


Nodes = tuple[PathNode, ...]
"""The nodes of one item: there are several if indices and `*` lead to it."""


def path_tree(modification: Modification) -> Nodes:
    """Return the tree of a modification, none if it has no paths."""
    root = PathNode()
    for path in modification.path_keeps:
        root.at(path).keeps.add(path.tag)
    for path in modification.path_removals:
        root.at(path).removals.add(path.tag)
    for position, replacement in enumerate(modification.path_replacements):
        root.at(replacement.path).replacements[replacement.path.tag] = position
    return (root,) if root.children else ()


def nodes_in(nodes: Iterable[PathNode], sequence: int, index: int) -> Nodes:
    """Return the nodes of an item of a sequence in the item of `nodes`."""
    keys = (sequence, index), (sequence, None)
    return tuple(node.children[key] for node in nodes for key in keys if key in node.children)


def replacements_in(nodes: Iterable[PathNode]) -> dict[int, int]:
    """Return the replacements in one item: tag -> position; the last one of a tag counts."""
    found: dict[int, int] = {}
    for node in nodes:
        for tag, position in node.replacements.items():
            found[tag] = max(position, found.get(tag, -1))
    return found
