"""Metadata of resources: their names, and what users change with revisions.

Each change by a user is logged. Source: the Orthanc Book, "Metadata", "Revisions"; `/{level}/{id}/metadata`.
"""

import hashlib
from collections.abc import Callable, Mapping
from datetime import datetime

from ..bus import EventBus
from ..index.index import Index
from ..index.transaction import MetadataItem, ReadTransaction, Transaction
from ..model.errors import UnknownResource
from ..model.event import Change, ChangeEvent, ChangeType
from ..model.resource import Metadata, ResourceLevel
from .numbered_names import NumberedNames
from .revision import Revision, check_revision

_NAMES = {
    Metadata.INDEX_IN_SERIES: "IndexInSeries",
    Metadata.RECEPTION_DATE: "ReceptionDate",
    Metadata.REMOTE_AET: "RemoteAET",
    Metadata.EXPECTED_NUMBER_OF_INSTANCES: "ExpectedNumberOfInstances",
    Metadata.MODIFIED_FROM: "ModifiedFrom",
    Metadata.ANONYMIZED_FROM: "AnonymizedFrom",
    Metadata.LAST_UPDATE: "LastUpdate",
    Metadata.ORIGIN: "Origin",
    Metadata.TRANSFER_SYNTAX: "TransferSyntax",
    Metadata.SOP_CLASS_UID: "SopClassUid",
    Metadata.REMOTE_IP: "RemoteIP",
    Metadata.CALLED_AET: "CalledAET",
    Metadata.HTTP_USERNAME: "HttpUsername",
    Metadata.PIXEL_DATA_OFFSET: "PixelDataOffset",
    Metadata.MAIN_DICOM_TAGS_SIGNATURE: "MainDicomTagsSignature",
    Metadata.MAIN_DICOM_SEQUENCES: "MainDicomSequences",
    Metadata.PIXEL_DATA_VR: "PixelDataVR",
    # Known names that no resource ever shows: their facts are in the resource itself.
    18: "IsProtected",
    19: "PatientRecyclingOrder",
}


class MetadataNames(NumberedNames):
    """The names of metadata."""

    def __init__(self, user: Mapping[str, int]) -> None:
        super().__init__(_NAMES, user)


def revision_of(item: MetadataItem) -> Revision:
    """Return the revision that one metadata is in."""
    return Revision(item.revision, hashlib.md5(item.value.encode(), usedforsecurity=False).hexdigest())


class MetadataEditor:
    """Reads one metadata with its revision, and changes those of the users."""

    def __init__(
        self, index: Index, bus: EventBus, *, now: Callable[[], datetime], checks_revisions: bool
    ) -> None:
        self._index = index
        self._bus = bus
        self._now = now
        self._checks_revisions = checks_revisions

    async def read(self, level: ResourceLevel, id: str, number: int) -> MetadataItem | None:
        """Return one metadata. Raises UnknownResource, also for a resource of another level."""

        def read(tx: ReadTransaction) -> MetadataItem | None:
            found = tx.find(id)
            if found is None or found.level is not level:
                raise UnknownResource
            return tx.metadata_item(found.row, number)

        return await self._index.read(read)

    async def write(self, id: str, number: int, value: str, expected: Revision | None) -> Revision:
        """Set one metadata of a user and return its new revision.

        Raises UnknownResource; BadRevision if it exists and is not as `expected`, or if the server checks
        revisions and nothing is expected.
        """

        def write(tx: Transaction) -> tuple[int, Change]:
            row, item = self._find(tx, id, number)
            if item is not None:
                self._check(item, expected)
            revision = tx.revise_metadata(row, number, value)
            return revision, tx.log_change(ChangeType.UPDATED_METADATA, row, self._now())

        revision, change = await self._index.write(write)
        self._bus.publish(ChangeEvent(change))
        return revision_of(MetadataItem(value, revision))

    async def remove(self, id: str, number: int, expected: Revision | None) -> None:
        """Remove one metadata of a user. Raises as `write`, and UnknownResource if it does not exist."""

        def write(tx: Transaction) -> Change:
            row, item = self._find(tx, id, number)
            if item is None:
                raise UnknownResource
            self._check(item, expected)
            tx.remove_metadata(row, number)
            return tx.log_change(ChangeType.UPDATED_METADATA, row, self._now())

        self._bus.publish(ChangeEvent(await self._index.write(write)))

    def _find(self, tx: Transaction, id: str, number: int) -> tuple[int, MetadataItem | None]:
        found = tx.find(id)
        if found is None:
            raise UnknownResource
        return found.row, tx.metadata_item(found.row, number)

    def _check(self, item: MetadataItem, expected: Revision | None) -> None:
        check_revision(revision_of(item), expected, is_required=self._checks_revisions)
