"""What can be asked of an index: which resources, and in which order. The same for every database.

Texts are compared as `dicom/match.py` says. A resource has the main tags of its own level, and through its
ancestors and descendants those of the other levels; the tags of the patient are, from the study down, those
of the copy that the study has.
"""

from enum import Enum

from msgspec import Struct

from ..dicom.match import Criterion
from ..model.resource import ResourceLevel


class TagKey(Struct, frozen=True):
    """A main DICOM tag, `gggg,eeee`, of a level."""

    level: ResourceLevel
    tag: str


class MetadataKey(Struct, frozen=True):
    """A metadata of the resource itself."""

    type: int


Key = TagKey | MetadataKey


class Condition(Struct, frozen=True):
    """A value of a resource meets a criterion; one that it does not have meets none.

    A tag of a lower level: that of any descendant. If not `is_exact`, letters are compared folded.
    """

    key: Key
    criterion: Criterion
    is_exact: bool = False


class LabelsConstraint(Enum):
    """Which of the labels a resource must bear."""

    ALL = "All"
    ANY = "Any"
    NONE = "None"


class LabelsCondition(Struct, frozen=True):
    """The resource bears all, any or none of the labels. None of no labels: it bears none at all."""

    labels: tuple[str, ...]
    constraint: LabelsConstraint


class OrderType(Enum):
    """How values are compared: as texts, folded, or as the numbers that they are."""

    TEXT = "text"
    INTEGER = "integer"
    FLOAT = "float"


class Order(Struct, frozen=True):
    """One criterion of order; resources without the value come last, whatever the direction.

    The key is of the level that is searched, or of one above.
    """

    key: Key
    type: OrderType = OrderType.TEXT
    is_descending: bool = False


class FindRequest(Struct, frozen=True, kw_only=True):
    """A search for resources of one level. All conditions hold; ties of `order` go by identifier."""

    level: ResourceLevel
    conditions: tuple[Condition, ...] = ()
    labels: LabelsCondition | None = None
    within: tuple[tuple[ResourceLevel, str], ...] = ()
    """Identifiers of the resource itself or of ancestors, with their levels."""
    order: tuple[Order, ...] = ()
    since: int = 0
    """An offset."""
    limit: int | None = None
    """None is all."""


_DIGITS = 18


def as_integer(text: str) -> int | None:
    """Return the number that a text is, None if it is none, or one of more than 18 digits."""
    text = text.strip(" ")
    digits = text[1:] if text[:1] in ("+", "-") else text
    return int(text) if digits.isascii() and digits.isdigit() and len(digits) <= _DIGITS else None


def as_float(text: str) -> float | None:
    """Return the finite number that a text is, None if it is none."""
    try:
        number = float(text) if "_" not in text else float("nan")
    except ValueError:
        return None
    return number if abs(number) < float("inf") else None
