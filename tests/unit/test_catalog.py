"""The catalog of jobs: two orders, whatever comes and goes."""

from hypothesis import given
from hypothesis import strategies as st

from orthanc_trio.jobs.catalog import Catalog
from tests.support.jobs import make_record

IDS = st.text("abc", max_size=4)
JOBS = st.dictionaries(IDS.filter(bool), st.integers(1, 1000), max_size=30)
"""Ids and orders of submission, which may be equal here."""


@given(JOBS, st.sets(IDS), IDS, st.integers(0, 1000), st.integers(0, 10), st.booleans())
def test_pages_are_in_order_whatever_comes_and_goes(
    jobs: dict[str, int], gone: set[str], after: str, sequence: int, limit: int, is_at_once: bool
) -> None:
    catalog = Catalog()
    records = [make_record(id=id, sequence=number) for id, number in jobs.items()]
    if is_at_once:
        catalog.add_all(records)
    else:
        for record in records:
            catalog.add(record)
    for record in records:
        if record.id in gone:
            catalog.remove(record)
    left = {id: number for id, number in jobs.items() if id not in gone}
    assert catalog.ids() == sorted(left)
    assert catalog.ids_after(after, limit) == [id for id in sorted(left) if id > after][:limit]
    later = sorted(number for number in left.values() if number > sequence)
    assert [left[id] for id in catalog.submitted_after(sequence, limit)] == later[:limit]
    earlier = sorted((number for number in left.values() if number < sequence), reverse=True)
    assert [left[id] for id in catalog.submitted_before(sequence, limit)] == earlier[:limit]
    assert [left[id] for id in catalog.submitted_before(None, limit)] == sorted(left.values())[::-1][:limit]
