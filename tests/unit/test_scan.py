from collections.abc import Iterable
from struct import pack
from time import perf_counter

import pytest

from orthanc_trio.dicom import scan as scan_module
from orthanc_trio.dicom.scan import (
    BIG,
    MAX_DEPTH,
    PIXEL_DATA,
    UNDEFINED,
    BadEncoding,
    ByteOrder,
    NeedMoreData,
    Scan,
    Source,
    scan,
)

NAME, ID, SEQUENCE = 0x00100010, 0x00100020, 0x00081140
ITEM, ITEM_END, SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
EVERYTHING = range(1 << 32)


def implicit(tag: int, value: bytes = b"", length: int | None = None, order: str = "<") -> bytes:
    return pack(order + "HHL", tag >> 16, tag & 0xFFFF, len(value) if length is None else length) + value


def explicit(tag: int, vr: bytes, value: bytes = b"", length: int | None = None, order: str = "<") -> bytes:
    length = len(value) if length is None else length
    is_long = vr in scan_module.LONG_VRS
    head = pack(
        order + "HH2s" + ("HL" if is_long else "H"), tag >> 16, tag & 0xFFFF, vr, *[0] * is_long, length
    )
    return head + value


def undefined(items: Iterable[bytes]) -> bytes:
    """The value of a sequence with items, all of undefined length."""
    encoded = (implicit(ITEM, item, UNDEFINED) + implicit(ITEM_END) for item in items)
    return b"".join(encoded) + implicit(SEQUENCE_END)


def run(data: bytes, *, total: int | None = None, is_implicit: bool = False) -> Scan:
    return scan(
        Source(data, len(data) if total is None else total), 0, EVERYTHING, PIXEL_DATA, implicit=is_implicit
    )


def values(data: bytes, *, is_implicit: bool = False) -> dict[int, bytes]:
    found = run(data, is_implicit=is_implicit)
    return {tag: data[start:end] for tag, (_, start, end) in found.elements.items()}


TAIL = explicit(NAME, b"PN", b"Doe^Jane") + explicit(PIXEL_DATA, b"OW", b"\0" * 8)
IMPLICIT_TAIL = implicit(NAME, b"Doe^Jane") + implicit(PIXEL_DATA, b"\0" * 8)


@pytest.mark.parametrize("vr", [*sorted(scan_module.SHORT_VRS), *sorted(scan_module.LONG_VRS)])
def test_every_vr_has_its_own_size_of_length(vr: bytes) -> None:
    found = values(explicit(0x00080005, vr, b"abcd") + TAIL)
    assert found == {0x00080005: b"abcd", NAME: b"Doe^Jane"}


def test_the_scan_stops_at_the_pixels() -> None:
    found = run(TAIL + b"never looked at")
    assert found.stop == 16
    assert list(found.elements) == [NAME]


def test_the_scan_stops_at_tags_above_the_pixels() -> None:
    assert run(explicit(0xFFFAFFFA, b"SQ", b"", 9999)).stop == 0


def test_a_dataset_without_pixels_ends_with_the_data() -> None:
    assert run(explicit(NAME, b"PN", b"Doe^Jane")).stop is None


def test_big_endian_is_read_with_its_own_byte_order() -> None:
    data = explicit(0x00080005, b"UT", b"abcd", order=">") + explicit(NAME, b"PN", b"Doe^Jane", order=">")
    found = scan(Source(data, len(data), BIG), 0, EVERYTHING, PIXEL_DATA, implicit=False)
    assert data[slice(*found.elements[NAME][1:])] == b"Doe^Jane"


def test_implicit_vr_is_read_without_a_vr() -> None:
    assert values(implicit(0x00080005, b"abcd") + IMPLICIT_TAIL, is_implicit=True) == {
        0x00080005: b"abcd",
        NAME: b"Doe^Jane",
    }


def test_the_last_of_equal_tags_counts() -> None:
    assert values(explicit(ID, b"LO", b"first ") + explicit(ID, b"LO", b"second")) == {ID: b"second"}


@pytest.mark.parametrize(
    "odd",
    [
        pytest.param(explicit(0x00091001, b"ZZ", b"abcd"), id="a VR that does not exist has a short length"),
        pytest.param(implicit(0x00091001, b"abcd"), id="an implicit element among explicit ones"),
        pytest.param(implicit(0x00091001, b"abcd" * 200), id="a long implicit element among explicit ones"),
        pytest.param(explicit(0x00080000, b"UL", b"abcd"), id="a group length"),
        pytest.param(explicit(SEQUENCE, b"SQ"), id="an empty sequence"),
        pytest.param(explicit(SEQUENCE, b"SQ", undefined([]), UNDEFINED), id="no item, undefined"),
        pytest.param(explicit(SEQUENCE, b"SQ", undefined([b"", TAIL[:16]]), UNDEFINED), id="undefined items"),
        pytest.param(
            explicit(SEQUENCE, b"SQ", implicit(ITEM, TAIL) + implicit(SEQUENCE_END), UNDEFINED),
            id="an item of known length",
        ),
        pytest.param(
            explicit(SEQUENCE, b"SQ", undefined([implicit(ID, b"1234")]), UNDEFINED),
            id="an item in implicit VR",
        ),
        pytest.param(
            explicit(
                0x00091001, b"UN", undefined([implicit(SEQUENCE, undefined([b""]), UNDEFINED)]), UNDEFINED
            ),
            id="UN of undefined length",
        ),
        pytest.param(
            explicit(0x00091001, b"OB", implicit(ITEM, b"fragment") + implicit(SEQUENCE_END), UNDEFINED),
            id="fragments",
        ),
        pytest.param(explicit(SEQUENCE, b"SQ", undefined([TAIL]), UNDEFINED), id="pixels within a sequence"),
        pytest.param(explicit(SEQUENCE, b"SQ", b"no items at all "), id="a sequence that is none"),
        pytest.param(
            explicit(SEQUENCE, b"SQ", implicit(ITEM, TAIL * 20) * 70 + b"no more items"),
            id="noise after many items",
        ),
        pytest.param(explicit(SEQUENCE, b"SQ", implicit(ITEM, b"") * 500), id="many items of known length"),
    ],
)
def test_what_is_skipped_does_not_disturb_what_follows(odd: bytes) -> None:
    found = run(odd + TAIL)
    assert found.stop == len(odd) + 16
    assert found.elements[NAME] == (b"PN", len(odd) + 8, len(odd) + 16)


def test_sequences_in_implicit_vr_are_skipped() -> None:
    sequence = implicit(SEQUENCE, undefined([implicit(SEQUENCE, undefined([b""]), UNDEFINED)]), UNDEFINED)
    found = run(sequence + IMPLICIT_TAIL, is_implicit=True)
    assert found.elements[SEQUENCE] == (b"SQ", 8, len(sequence))
    assert found.stop == len(sequence) + 16


HEAD_CASES = [
    explicit(ID, b"LO", b"1234") + TAIL,
    explicit(SEQUENCE, b"SQ", undefined([TAIL, b""]), UNDEFINED) + TAIL,
    explicit(SEQUENCE, b"SQ", implicit(ITEM, TAIL * 60) * 70) + TAIL,
]


@pytest.mark.parametrize("data", HEAD_CASES)
def test_a_head_that_ends_before_the_pixels_asks_for_more_than_it_has(data: bytes) -> None:
    stop = run(data).stop
    assert stop is not None
    for size in [*range(min(stop, 300)), stop - 9, stop - 1]:
        with pytest.raises(NeedMoreData) as caught:
            run(data[:size], total=len(data))
        assert size < caught.value.needed <= len(data)


@pytest.mark.parametrize("data", HEAD_CASES)
def test_a_head_with_the_tag_of_the_pixels_suffices(data: bytes) -> None:
    whole = run(data)
    assert whole.stop is not None
    assert run(data[: whole.stop + 8], total=len(data)) == whole


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(explicit(ID, b"LO", b"cut", 100), id="a value"),
        pytest.param(explicit(ID, b"UT", b"cut", 1 << 31), id="a huge value"),
        pytest.param(explicit(SEQUENCE, b"SQ", b"", UNDEFINED), id="a sequence without an end"),
        pytest.param(explicit(SEQUENCE, b"SQ", implicit(ITEM, TAIL, 999), UNDEFINED), id="an item"),
        pytest.param(
            explicit(SEQUENCE, b"SQ", implicit(ITEM, TAIL, UNDEFINED), UNDEFINED), id="no delimiter"
        ),
        pytest.param(explicit(SEQUENCE, b"SQ", TAIL, UNDEFINED), id="no item where one must be"),
    ],
)
def test_data_cut_off_are_refused(data: bytes) -> None:
    with pytest.raises(BadEncoding):
        run(data)


@pytest.mark.parametrize(
    "garbage",
    [b"\0", b"\0" * 7, b"\0" * 100, b"\xff" * 100, b"\x01\0\x01\0LO\xff\xff", b" \0 \0~~~~trailing"],
)
def test_garbage_after_the_dataset_is_passed_over(garbage: bytes) -> None:
    data = explicit(NAME, b"PN", b"Doe^Jane")
    assert values(data + garbage)[NAME] == b"Doe^Jane"


def nested_explicit(depth: int, *, known: bool) -> bytes:
    data = b""
    for _ in range(depth):
        value = implicit(ITEM, data) if known else undefined([data])
        data = explicit(SEQUENCE, b"SQ", value, None if known else UNDEFINED)
    return data


def nested_implicit(depth: int, *, known: bool) -> bytes:
    data = b""
    for _ in range(depth):
        value = implicit(ITEM, data) if known else undefined([data])
        data = implicit(SEQUENCE, value, None if known else UNDEFINED)
    return data


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("is_implicit", [True, False])
def test_sequences_may_nest_to_the_limit_and_no_deeper(known: bool, is_implicit: bool) -> None:
    make = nested_implicit if is_implicit else nested_explicit
    run(make(MAX_DEPTH, known=known), is_implicit=is_implicit)
    with pytest.raises(BadEncoding, match="too deep"):
        run(make(MAX_DEPTH + 1, known=known), is_implicit=is_implicit)


def test_a_bomb_of_mixed_lengths_is_refused() -> None:
    inner = nested_explicit(MAX_DEPTH, known=True)
    with pytest.raises(BadEncoding, match="too deep"):
        run(explicit(SEQUENCE, b"SQ", undefined([inner]), UNDEFINED))


def test_a_deep_bomb_is_refused_at_once() -> None:
    openings = (explicit(SEQUENCE, b"SQ", b"", UNDEFINED) + implicit(ITEM, b"", UNDEFINED)) * 1_000_000
    started = perf_counter()
    with pytest.raises(BadEncoding, match="too deep"):
        run(openings)
    assert perf_counter() - started < 1.0


def test_the_number_of_elements_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan_module, "MAX_ELEMENTS", 100)
    many = explicit(ID, b"LO") * 101
    for data, is_implicit in (
        (many, False),
        (implicit(ID) * 101, True),
        (explicit(SEQUENCE, b"SQ", undefined([many]), UNDEFINED), False),
    ):
        with pytest.raises(BadEncoding, match="too many"):
            run(data, is_implicit=is_implicit)


@pytest.mark.parametrize("end", [UNDEFINED, None])
@pytest.mark.parametrize("count", [1023, 1024, 3_000_001])
def test_empty_items_are_passed_over_without_a_look_at_each(
    monkeypatch: pytest.MonkeyPatch, count: int, end: int | None
) -> None:
    monkeypatch.setattr(scan_module, "MAX_ELEMENTS", 1100)
    items = implicit(ITEM) * count
    closed = items + implicit(SEQUENCE_END) if end else items
    found = values(explicit(SEQUENCE, b"SQ", closed, end) + explicit(ID, b"LO", b"x "))
    assert found == {SEQUENCE: closed, ID: b"x "}


def test_a_byte_order_knows_how_an_item_begins() -> None:
    assert ByteOrder(">").item == b"\xff\xfe\xe0\x00"
