"""The number in the name that an anonymised patient gets: `Anonymized1`, `Anonymized2`, ...

Source: the Orthanc Book, "Anonymization and modification of DICOM files".
"""

from typing import Final

from ..dicom.modification import Modification, named_patient
from ..index.index import Index
from ..index.transaction import ReadTransaction, Transaction

_PROPERTY: Final = "anonymized_patients"


async def with_patient_name(
    index: Index, modification: Modification, *, is_dry_run: bool = False
) -> Modification:
    """Return an anonymisation that names the patient, with a number that no other request gets.

    A modification that is none, or that needs no such name, takes no number; nor does a dry run.
    """
    if named_patient(modification, 0) is modification:
        return modification
    number = await (index.read(_next) if is_dry_run else index.write(_take))
    return named_patient(modification, number)


def _next(tx: ReadTransaction) -> int:
    return int(tx.get_property(_PROPERTY) or 0) + 1


def _take(tx: Transaction) -> int:
    number = _next(tx)
    tx.set_property(_PROPERTY, str(number))
    return number
