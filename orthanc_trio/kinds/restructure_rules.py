"""What may be split off a study, and merged into one; functions of a read transaction.

Source: the Orthanc Book, `/studies/{id}/split` and `/studies/{id}/merge`; the texts are those of the server.
"""

from collections.abc import Iterable

from ..index.transaction import ReadTransaction
from ..model.errors import UnknownResource
from ..model.resource import ResourceLevel


def check_split(tx: ReadTransaction, study: str, series: Iterable[str], instances: Iterable[str]) -> None:
    """Raise UnknownResource unless series and instances are of the study."""
    if not _is_study(tx, study):
        raise UnknownResource(f"Cannot split unknown study {study}")
    for level, ids in ((ResourceLevel.SERIES, series), (ResourceLevel.INSTANCE, instances)):
        for id in ids:
            row = tx.find(id)
            if row is None or row.level is not level or _study_of(tx, id) != study:
                name = level.type_name.lower()
                raise UnknownResource(f"This {name} does not belong to the study to be split: {id}")


def check_merge(tx: ReadTransaction, study: str, sources: Iterable[str]) -> None:
    """Raise UnknownResource unless the sources are studies, series and instances of other studies."""
    if not _is_study(tx, study):
        raise UnknownResource(f"Cannot merge into an unknown study: {study}")
    for id in sources:
        row = tx.find(id)
        if row is None:
            raise UnknownResource(f"Cannot find this resource: {id}")
        if row.level is ResourceLevel.PATIENT:
            raise UnknownResource(
                f"This resource is neither a study, nor a series, nor an instance: {id} is a Patient"
            )
        if row.level is ResourceLevel.STUDY:
            if id == study:
                raise UnknownResource(f"Cannot merge a study into the same study: {id}")
        elif _study_of(tx, id) == study:
            name = row.level.type_name.lower()
            raise UnknownResource(f"Cannot merge {name} {id} into its parent study {study}")


def _is_study(tx: ReadTransaction, id: str) -> bool:
    row = tx.find(id)
    return row is not None and row.level is ResourceLevel.STUDY


def _study_of(tx: ReadTransaction, id: str) -> str | None:
    return next((ref.id for ref in tx.ancestors(id) if ref.level is ResourceLevel.STUDY), None)
