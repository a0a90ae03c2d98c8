"""Matching of one attribute, for `/tools/find` and its like. Sans-I/O; safe in any thread.

A search is given as text; `criterion_of` reads it once, `matches` compares. Both sides are folded first where
capital and small letters are the same. Source: the Orthanc Book, "Finding resources"; PS3.4 §C.2.2.2.
"""

import re
from collections.abc import Callable

from msgspec import Struct

from ..model.errors import ParameterOutOfRange

MAX_FITTING = 1024
"""A longer value fits no pattern."""

_RANGE_VRS = frozenset((b"DA", b"TM", b"DT"))
_WILDCARD_VRS = frozenset(b"AE CS LO LT PN SH ST UC UR UT".split())


class Equal(Struct, frozen=True):
    """The whole value is this text."""

    text: str


class OneOf(Struct, frozen=True):
    """The whole value is one of these texts."""

    texts: tuple[str, ...]


class Between(Struct, frozen=True):
    """The value, as text, is within these bounds, both included; an empty one is open."""

    low: str
    high: str


class Like(Struct, frozen=True):
    """The whole value fits a pattern: `*` is any text, `?` one character."""

    pattern: str


Criterion = Equal | OneOf | Between | Like


def criterion_of(text: str, vr: bytes, tag: str) -> Criterion | None:
    r"""Read what a value of `vr` shall be; None if anything will do.

    In this order: `A-B` of dates and times is a range, `A\B` a list, `*` and `?` are wildcards.
    Raises ParameterOutOfRange for wildcards on a VR that has none; `tag` is for its text.
    """
    if not text:
        return None
    has_wildcards = "*" in text or "?" in text
    if has_wildcards and vr not in _WILDCARD_VRS:
        raise ParameterOutOfRange(f"Wildcards are not allowed on tag {tag}")
    if vr in _RANGE_VRS and "-" in text:
        low, _, high = text.partition("-")
        return Between(low, high) if low or high else None
    return _listed(text, has_wildcards=has_wildcards)


def criterion_of_text(text: str) -> Criterion | None:
    """Read what a text without VR, such as metadata, shall be; None if anything will do."""
    return _listed(text, has_wildcards="*" in text or "?" in text) if text else None


def _listed(text: str, *, has_wildcards: bool) -> Criterion:
    if "\\" in text:
        return OneOf(tuple(text.split("\\")))
    return Like(text) if has_wildcards else Equal(text)


def longest_text(pattern: str) -> str:
    """Return the longest part of a pattern that has no wildcard: whatever fits has it within."""
    return max(re.split("[*?]", pattern), key=len)


def fold(text: str) -> str:
    """Return text in capital letters, letter by letter: accents stay, and `ß`, which has no capital."""
    if text.isascii():
        return text.upper()
    return "".join(map(_capital, text))


def _capital(letter: str) -> str:
    capital = letter.upper()
    return capital if len(capital) == 1 else letter


def folded(criterion: Criterion) -> Criterion:
    """Return the criterion for values that are folded."""
    return _mapped(criterion, fold)


def _mapped(criterion: Criterion, change: Callable[[str], str]) -> Criterion:
    match criterion:
        case Equal(text):
            return Equal(change(text))
        case OneOf(texts):
            return OneOf(tuple(map(change, texts)))
        case Between(low, high):
            return Between(change(low), change(high))
        case Like(pattern):
            return Like(change(pattern))


def matches(criterion: Criterion, value: str | None) -> bool:
    """Tell whether a value, None if there is none, meets a criterion."""
    if value is None:
        return False
    match criterion:
        case Equal(text):
            return value == text
        case OneOf(texts):
            return value in texts
        case Between(low, high):
            return low <= value and (not high or value <= high)
        case Like(pattern):
            return fits(pattern, value)


def fits(pattern: str, value: str) -> bool:
    """Tell whether the whole value, of at most MAX_FITTING letters, fits a pattern.

    Only the last `*` is ever tried again, since what an earlier one could take, it can: so the time is the
    square of the length of the value at most, whatever the pattern.
    """
    if len(value) > MAX_FITTING:
        return False
    position = place = 0
    star = retry = -1
    while position < len(value):
        if place < len(pattern) and pattern[place] == "*":
            star, retry = place, position
            place += 1
        elif place < len(pattern) and pattern[place] in ("?", value[position]):
            position += 1
            place += 1
        elif star >= 0:
            retry += 1
            position, place = retry, star + 1
        else:
            return False
    return all(letter == "*" for letter in pattern[place:])
