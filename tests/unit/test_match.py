"""How a text of a search is read, and what it meets."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orthanc_trio.dicom.match import (
    MAX_FITTING,
    Between,
    Criterion,
    Equal,
    Like,
    OneOf,
    criterion_of,
    criterion_of_text,
    fits,
    fold,
    matches,
)
from orthanc_trio.model.errors import ParameterOutOfRange

READ: list[tuple[str, bytes, Criterion | None]] = [
    ("", b"PN", None),
    ("Doe^Jane", b"PN", Equal("Doe^Jane")),
    ("Doe*", b"PN", Like("Doe*")),
    ("A?", b"SH", Like("A?")),
    ("CT\\MR", b"CS", OneOf(("CT", "MR"))),
    ("KNI*\\KNEE", b"LO", OneOf(("KNI*", "KNEE"))),
    ("20240101-20240201", b"DA", Between("20240101", "20240201")),
    ("20240101-", b"DA", Between("20240101", "")),
    ("-20240201", b"DA", Between("", "20240201")),
    ("-", b"TM", None),
    ("20230101-20240101\\20240102", b"DA", Between("20230101", "20240101\\20240102")),
    ("A-B", b"LO", Equal("A-B")),
]


@pytest.mark.parametrize(("text", "vr", "criterion"), READ)
def test_a_text_is_read_by_the_rules_of_its_vr(text: str, vr: bytes, criterion: Criterion | None) -> None:
    assert criterion_of(text, vr, "0010,0010") == criterion


@pytest.mark.parametrize("vr", [b"DA", b"TM", b"DT", b"UI", b"IS", b"DS", b"AS", b"US"])
def test_wildcards_are_refused_where_they_cannot_be(vr: bytes) -> None:
    with pytest.raises(ParameterOutOfRange, match="Wildcards are not allowed on tag 0008,0020"):
        criterion_of("2024*", vr, "0008,0020")


def test_metadata_have_lists_and_wildcards_and_no_ranges() -> None:
    assert criterion_of_text("1-2") == Equal("1-2")
    assert criterion_of_text("a\\b*") == OneOf(("a", "b*"))
    assert criterion_of_text("b*") == Like("b*")
    assert criterion_of_text("") is None


def test_folding_keeps_accents_and_what_has_no_capital() -> None:
    assert fold("äneas") == fold("ÄNEAS") != fold("Aneas")
    assert fold("straße") == "STRAßE"
    assert fold("σς") == "ΣΣ"


def test_nothing_meets_no_criterion() -> None:
    assert not any(matches(one, None) for one in (Equal(""), OneOf(("",)), Between("", "9"), Like("*")))


def test_a_long_value_fits_nothing_and_long_patterns_end() -> None:
    assert fits("*", "x" * MAX_FITTING)
    assert not fits("*", "x" * (MAX_FITTING + 1))
    assert not fits("*a" * 100_000 + "b", "a" * MAX_FITTING)


@given(st.text("ab*?[", max_size=8), st.text("ab[", max_size=8))
def test_a_value_fits_as_a_regular_expression_says(pattern: str, value: str) -> None:
    expression = "".join({"*": ".*", "?": "."}.get(letter) or re.escape(letter) for letter in pattern)
    assert fits(pattern, value) == bool(re.fullmatch(expression, value, re.DOTALL))
