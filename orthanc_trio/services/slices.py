"""The order of the slices of a series: along their common normal, or by number.

Source: the Orthanc Book, `/series/{id}/ordered-slices`; PS3.3 §C.7.6.2.1.1 for position and orientation.
"""

from collections.abc import Sequence
from itertools import pairwise
from math import hypot, isfinite

from msgspec import Struct

from ..model.errors import CannotOrderSlices
from ..model.resource import Facts, Metadata
from .series import integer

_POSITION = "0020,0032"
_ORIENTATION = "0020,0037"
_NUMBER_OF_FRAMES = "0028,0008"
_PARALLEL = 0.999
"""The least cosine of the angle between two normals that are the same."""
_APART = 1e-6
"""The least distance in mm of two slices."""

Vector = tuple[float, ...]


class Slice(Struct, frozen=True):
    """An instance in its place."""

    id: str
    frames: int


class OrderedSlices(Struct, frozen=True):
    """The instances of a series in their order: a volume, or a sequence."""

    is_volume: bool
    slices: tuple[Slice, ...]


def order_slices(instances: Sequence[Facts]) -> OrderedSlices:
    """Order the instances of a series. Raises CannotOrderSlices if it cannot be done."""
    distances = _distances(instances)
    if distances is not None:
        return OrderedSlices(True, _in_order(instances, distances))
    if len(instances) == 1:
        return OrderedSlices(False, _in_order(instances, [0]))
    indexes = [integer(facts.metadata.get(Metadata.INDEX_IN_SERIES)) for facts in instances]
    if None in indexes:
        raise CannotOrderSlices("Unable to order the slices of the series")
    return OrderedSlices(False, _in_order(instances, [index for index in indexes if index is not None]))


def _in_order(instances: Sequence[Facts], keys: Sequence[float]) -> tuple[Slice, ...]:
    ordered = sorted(zip(keys, instances, strict=True), key=lambda pair: (pair[0], pair[1].id))
    return tuple(Slice(facts.id, _frames(facts)) for _, facts in ordered)


def _distances(instances: Sequence[Facts]) -> list[float] | None:
    """Return how far each slice lies along the normal, None unless all lie apart from each other on it."""
    positions = [_vector(facts.tags.get(_POSITION), 3) for facts in instances]
    given = [text for facts in instances if (text := facts.tags.get(_ORIENTATION)) is not None]
    normals = [_normal(text) for text in given]
    if len(instances) < 2 or not normals or normals[0] is None:
        return None
    if not all(normal and abs(_dot(normal, normals[0])) > _PARALLEL for normal in normals):
        return None
    distances = [_dot(position, normals[0]) for position in positions if position is not None]
    is_complete = len(distances) == len(instances)
    is_apart = all(after - before > _APART for before, after in pairwise(sorted(distances)))
    return distances if is_complete and is_apart else None


def _normal(orientation: str) -> Vector | None:
    cosines = _vector(orientation, 6)
    if cosines is None:
        return None
    (a, b, c), (d, e, f) = cosines[:3], cosines[3:]
    normal = (b * f - c * e, c * d - a * f, a * e - b * d)
    length = hypot(*normal)
    return tuple(each / length for each in normal) if length else None


def _dot(one: Vector, other: Vector) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))


def _vector(text: str | None, size: int) -> Vector | None:
    try:
        numbers = tuple(float(each) for each in (text or "").split("\\"))
    except ValueError:
        return None
    return numbers if len(numbers) == size and all(map(isfinite, numbers)) else None


def _frames(facts: Facts) -> int:
    return max(1, integer(facts.tags.get(_NUMBER_OF_FRAMES)) or 1)
