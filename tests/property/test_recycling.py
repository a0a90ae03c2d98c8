"""Recycling against a model: a list of patients, the one that received something last at its end."""

import tempfile
from functools import partial
from pathlib import Path

import pytest
import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orthanc_trio.config.choice import IndexBackend, MaximumStorageMode
from orthanc_trio.index.opening import open_index
from orthanc_trio.index.transaction import ReadTransaction, Transaction
from orthanc_trio.model.errors import FullStorage
from orthanc_trio.model.resource import Attachment, ResourceLevel
from orthanc_trio.services.limits import StorageLimits, make_room

PATIENT = ResourceLevel.PATIENT


class Model:
    """What is stored, in the order in which it is recycled."""

    def __init__(self, limits: StorageLimits) -> None:
        self.limits = limits
        self.sizes: dict[str, int] = {}
        self.is_protected: dict[str, bool] = {}

    def store(self, patient: str, size: int) -> bool:
        """Store a file; False, and nothing is changed, if there is no room."""
        kept = dict(self.sizes)
        while self._is_beyond(kept, patient, size):
            victims = [id for id in kept if id != patient and not self.is_protected[id]]
            if not victims or self.limits.mode is MaximumStorageMode.REJECT:
                return False
            del kept[victims[0]]
        was_protected = self.is_protected.get(patient, False)
        kept[patient] = kept.pop(patient, 0) + size if not was_protected else kept[patient] + size
        self.sizes = kept
        self.is_protected[patient] = was_protected
        self.is_protected = {id: self.is_protected[id] for id in kept}
        return True

    def _is_beyond(self, kept: dict[str, int], patient: str, size: int) -> bool:
        is_too_large = 0 < self.limits.bytes < sum(kept.values()) + size
        return is_too_large or 0 < self.limits.patients < len(kept.keys() | {patient})

    def protect(self, patient: str, is_protected: bool) -> None:
        if patient in self.sizes:
            self.is_protected[patient] = is_protected
            if not is_protected:
                self.sizes[patient] = self.sizes.pop(patient)


def store(tx: Transaction, limits: StorageLimits, patient: str, key: str, size: int) -> None:
    found = tx.find(patient)
    make_room(tx, limits, size=size, patients=int(found is None), spared=patient)
    row = tx.create(PATIENT, patient, None, {}) if found is None else found.row
    tx.attach(row, Attachment(type=len(tx.attachments(row)), uuid=key, size=size, uncompressed_size=size))
    tx.renew(row)


def protect(tx: Transaction, patient: str, is_protected: bool) -> None:
    found = tx.find(patient)
    if found is not None:
        tx.set_protected(found.row, is_protected)


def disk_sizes(tx: ReadTransaction) -> dict[str, int]:
    found = {id: tx.statistics_of(id) for id in tx.ids(PATIENT)}
    return {id: statistics.disk_size for id, statistics in found.items() if statistics}


STEPS = st.lists(
    st.tuples(st.sampled_from("abcd"), st.integers(1, 6) | st.booleans()), min_size=1, max_size=25
)
LIMITS = st.builds(
    StorageLimits,
    bytes=st.integers(0, 15),
    patients=st.integers(0, 3),
    mode=st.sampled_from(MaximumStorageMode),
)


@pytest.mark.parametrize("backend", list(IndexBackend))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(limits=LIMITS, steps=STEPS)
def test_the_patient_goes_that_received_nothing_for_the_longest_time(
    backend: IndexBackend, limits: StorageLimits, steps: list[tuple[str, int | bool]]
) -> None:
    model = Model(limits)

    async def main() -> None:
        with tempfile.TemporaryDirectory() as folder:
            async with open_index(backend, Path(folder), is_synchronous=False, readers=1) as index:
                for number, (patient, step) in enumerate(steps):
                    if isinstance(step, bool):
                        model.protect(patient, step)
                        await index.write(partial(protect, patient=patient, is_protected=step))
                        continue
                    add = partial(store, limits=limits, patient=patient, key=f"{number}", size=step)
                    is_stored = True
                    try:
                        await index.write(add)
                    except FullStorage:
                        is_stored = False
                    assert is_stored == model.store(patient, step)
                    sizes = await index.read(disk_sizes)
                    assert sizes == model.sizes

    trio.run(main)
