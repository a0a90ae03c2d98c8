"""New identities, derived with a key."""

import re
from itertools import product

import pytest

from orthanc_trio.dicom.identity import IdentityMap
from orthanc_trio.model.resource import ResourceLevel

KEY = b"a key of sixteen"
TABLES = [ResourceLevel.STUDY, ResourceLevel.SERIES, ResourceLevel.INSTANCE]


def test_the_same_key_gives_the_same_identities_each_time() -> None:
    first, second = IdentityMap(KEY), IdentityMap(KEY)

    assert first.uid(TABLES[0], b"1.2.3") == second.uid(TABLES[0], b"1.2.3")
    assert first.patient_id(b"P") == second.patient_id(b"P")
    assert first.days(b"P") == second.days(b"P")


def test_keys_tables_and_originals_tell_identities_apart() -> None:
    found = {
        IdentityMap(key).uid(table, original)
        for key, table, original in product([KEY, KEY[::-1]], TABLES, [b"", b"1.2", b"1.3"])
    }

    assert len(found) == 18


@pytest.mark.parametrize("padded", [b"1.2.3\0", b" 1.2.3 ", b"1.2.3"])
def test_padding_does_not_count(padded: bytes) -> None:
    identities = IdentityMap(KEY, {(ResourceLevel.SERIES, b"1.2.3"): b"9"})

    assert identities.uid(ResourceLevel.STUDY, padded) == identities.uid(ResourceLevel.STUDY, b"1.2.3")
    assert identities.uid(ResourceLevel.SERIES, padded) == b"9"


def test_identities_are_well_formed() -> None:
    identities = IdentityMap(KEY)
    for number in range(300):
        uid = identities.uid(TABLES[0], b"%d" % number)
        assert re.fullmatch(rb"2\.25\.[1-9][0-9]{0,38}", uid)
        assert (int(uid[5:]) >> 76 & 0xF, int(uid[5:]) >> 62 & 3) == (4, 2)
        identifier = identities.patient_id(b"%d" % number)
        assert re.fullmatch(
            rb"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", identifier
        )


def test_a_patient_is_moved_into_the_past_by_up_to_ten_years() -> None:
    days = {IdentityMap(KEY).days(b"%d" % number) for number in range(300)}

    assert len(days) > 200
    assert min(days) >= -3650
    assert max(days) <= -1
