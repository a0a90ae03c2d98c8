"""Downloads that can be resumed: a part of a file, or the news that the client has it already.

A tag names one version of a file for ever, so it is always a strong one; no dates are offered, and those in
conditions are no match. Source: RFC 9110 §8.8.3, §13 and §14.
"""

import os
import re
from collections.abc import Mapping

from msgspec import Struct
from msgspec.structs import replace

from .errors import UnsatisfiableRange, empty_answer
from .wire import AnyAnswer, FileAnswer, Request

_RANGE = re.compile(r"([0-9]*)-([0-9]*)")
_TAG = re.compile(r'(?:W/)?("[\x21\x23-\x7e\x80-\xff]*")')
_MAX_DIGITS = 18
_BEYOND = 10**_MAX_DIGITS
"""Stands for every position with more digits: no file is that long."""


class Part(Struct, frozen=True):
    """`size` bytes from `offset` of a file."""

    offset: int
    size: int


def entity_tag(*facts: str | int) -> str:
    """Return the tag of the version that `facts` tell apart; they hold no quotes and no spaces."""
    return '"' + "-".join(f"{fact:x}" if isinstance(fact, int) else fact for fact in facts) + '"'


def ranged(answer: FileAnswer, request: Request, etag: str) -> AnyAnswer:
    """Answer what the conditions and the range of a GET or HEAD ask of a file with the tag `etag`.

    That is the file as a whole (200), a part of it (206), or nothing: not modified (304), another version
    than the expected one (412). Closes the descriptor unless it is in the answer.
    Raises UnsatisfiableRange. Source: RFC 9110 §13.2.2, the order of the conditions.
    """
    offered = (("ETag", etag), ("Accept-Ranges", "bytes"))
    is_kept = False
    try:
        if not _is_expected(request.headers, etag):
            return empty_answer(412, *offered)
        if _is_known(request.headers, etag):
            return empty_answer(304, *offered)
        part = part_asked_for(request, etag, answer.size)
        is_kept = True
    finally:
        if not is_kept:
            os.close(answer.descriptor)
    whole = replace(answer, headers=(*answer.headers, *offered))
    return whole if part is None else _partial(whole, part)


def _partial(whole: FileAnswer, part: Part) -> FileAnswer:
    last = part.offset + part.size - 1
    headers = (*whole.headers, ("Content-Range", f"bytes {part.offset}-{last}/{whole.size}"))
    return replace(whole, status=206, offset=whole.offset + part.offset, size=part.size, headers=headers)


def part_asked_for(request: Request, etag: str, size: int) -> Part | None:
    """Return the part that a GET wants, None for the whole. Raises UnsatisfiableRange."""
    wanted = request.headers.get("range")
    if wanted is None or request.method != "GET":
        return None
    # A client that resumes another version gets all of this one. A weak tag never matches here.
    if request.headers.get("if-range", etag).strip() != etag:
        return None
    return part_of(wanted, size)


def part_of(text: str, size: int) -> Part | None:
    """Return the part of `size` bytes that the value of a header `Range` names.

    None for the whole: if several ranges, another unit or nonsense is asked for.
    Raises UnsatisfiableRange for a range that lies beyond the end or is empty.
    """
    unit, _, ranges = text.partition("=")
    listed = [each for item in ranges.split(",") if (each := item.strip(" \t"))]
    found = _RANGE.fullmatch(listed[0]) if unit.strip().lower() == "bytes" and len(listed) == 1 else None
    if found is None or not any(found.groups()):
        return None
    first, last = found.groups()
    return _interval(_number(first), _number(last), size) if first and last else _open_end(first, last, size)


def _interval(first: int, last: int, size: int) -> Part | None:
    if last < first:
        return None
    if first >= size:
        raise UnsatisfiableRange(size)
    return Part(first, min(last, size - 1) - first + 1)


def _open_end(first: str, suffix: str, size: int) -> Part | None:
    if first:
        return _interval(_number(first), _BEYOND * 10, size)
    length = min(_number(suffix), size)
    if not _number(suffix):
        raise UnsatisfiableRange(size)
    return Part(size - length, length) if length else None


def _number(digits: str) -> int:
    digits = digits.lstrip("0")
    return int(digits or "0") if len(digits) <= _MAX_DIGITS else _BEYOND


def _is_expected(headers: Mapping[str, str], etag: str) -> bool:
    """Whether `If-Match` lets the request pass: it names this version, strongly, or any."""
    wanted = headers.get("if-match")
    return wanted is None or wanted.strip() == "*" or etag in _strong_tags(wanted)


def _strong_tags(listed: str) -> set[str]:
    return {found[0] for found in _TAG.finditer(listed) if not found[0].startswith("W/")}


def _is_known(headers: Mapping[str, str], etag: str) -> bool:
    """Whether `If-None-Match` says that the client has this version."""
    known = headers.get("if-none-match")
    return known is not None and (known.strip() == "*" or etag in _TAG.findall(known))
