"""What storing one instance means in the index: sync, inside one write, all or nothing.

The resources that are missing are created from the top down; what an ancestor says of itself comes from the
first instance below it. Source: the Orthanc Book, "Metadata", "Tracking changes".
"""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum

from msgspec import Struct

from ..config.choice import OverwriteInstances
from ..dicom.parse import ParsedInstance
from ..index.transaction import Row, Transaction
from ..model.errors import BadFileFormat
from ..model.event import Change, ChangeType
from ..model.resource import Attachment, AttachmentType, Metadata, ResourceLevel, ResourceRef
from ..model.tags import MainDicomTags
from .computed_metadata import ComputedMetadata
from .limits import StorageLimits, make_room
from .series import CompletionWatch, SeriesStatus, series_status

PATIENT, STUDY, SERIES, INSTANCE = _LEVELS = tuple(ResourceLevel)
_PARENT = {STUDY: PATIENT, SERIES: STUDY, INSTANCE: SERIES}
_NEW = {
    PATIENT: ChangeType.NEW_PATIENT,
    STUDY: ChangeType.NEW_STUDY,
    SERIES: ChangeType.NEW_SERIES,
    INSTANCE: ChangeType.NEW_INSTANCE,
}
MetadataByLevel = Mapping[ResourceLevel, Mapping[int, str]]


class OriginName(StrEnum):
    """The door through which an instance came: the metadata Origin."""

    REST_API = "RestApi"
    DICOM_PROTOCOL = "DicomProtocol"
    LUA = "Lua"
    PLUGINS = "Plugins"
    WEB_DAV = "WebDav"
    UNKNOWN = "Unknown"


class Origin(Struct, frozen=True, kw_only=True):
    """Where an instance comes from; None is what its door does not know."""

    name: OriginName
    remote_ip: str | None = None
    username: str | None = None
    """HTTP only; empty without authentication."""
    remote_aet: str = ""
    called_aet: str | None = None

    def metadata(self) -> dict[int, str]:
        """Return what an instance remembers of its origin."""
        values = {
            Metadata.REMOTE_AET: self.remote_aet,
            Metadata.ORIGIN: self.name.value,
            Metadata.REMOTE_IP: self.remote_ip,
            Metadata.CALLED_AET: self.called_aet,
            Metadata.HTTP_USERNAME: self.username,
        }
        return {number: value for number, value in values.items() if value is not None}


class StoreStatus(StrEnum):
    """What became of an instance, in the words of the API."""

    SUCCESS = "Success"
    ALREADY_STORED = "AlreadyStored"
    FILTERED_OUT = "FilteredOut"


class ResourceIds(Struct, frozen=True):
    """The Orthanc identifiers of an instance and of its ancestors."""

    patient: str
    study: str
    series: str
    instance: str

    def of(self, level: ResourceLevel) -> str:
        """Return the identifier of a level."""
        return (self.patient, self.study, self.series, self.instance)[level - 1]


class StoreResult(Struct, frozen=True):
    """What became of one instance."""

    status: StoreStatus
    ids: ResourceIds


class StoredFile(Struct, frozen=True):
    """An instance whose file is in the storage area, unsettled, and not yet in the index."""

    parsed: ParsedInstance
    ids: ResourceIds
    attachment: Attachment


class Registered(Struct, frozen=True, kw_only=True):
    """What a registration did, to be told when it is committed."""

    result: StoreResult
    removed: tuple[ResourceRef, ...] = ()
    changes: tuple[Change, ...] = ()


class Registrar:
    """Enters instances into the index. Used inside writes of one index only."""

    def __init__(
        self, overwrite: OverwriteInstances, main_dicom_tags: MainDicomTags, limits: StorageLimits
    ) -> None:
        self._overwrite = overwrite
        self._limits = limits
        self._computed = ComputedMetadata(main_dicom_tags)
        self._watch = CompletionWatch()

    def register(
        self, tx: Transaction, file: StoredFile, origin: Origin, date: datetime, extra: MetadataByLevel
    ) -> Registered:
        """Enter the instance, or find that it is there and stays.

        `extra` is metadata for the resources of the four levels, new or not.
        Raises BadFileFormat if identifiers collide with those of resources of other levels; FullStorage if
        it is beyond the limits, and nothing may make room for it.
        """
        removed: tuple[ResourceRef, ...] = ()
        found = _find(tx, file.ids)
        old = found.get(INSTANCE)
        if old is not None:
            if not self._replaces(tx, old, file.attachment):
                return Registered(result=StoreResult(StoreStatus.ALREADY_STORED, file.ids))
            deletion = tx.delete(file.ids.instance)
            assert deletion is not None
            removed = deletion.removed
            found = _find(tx, file.ids)
        removed += make_room(
            tx,
            self._limits,
            size=file.attachment.size,
            patients=int(PATIENT not in found),
            spared=file.ids.patient,
        )
        changes = self._insert(tx, file, found, origin, date, extra)
        return Registered(
            result=StoreResult(StoreStatus.SUCCESS, file.ids), removed=removed, changes=tuple(changes)
        )

    def refresh(self, tx: Transaction, file: StoredFile) -> None:
        """Give the patient, study and series of an instance the main tags that it says. Safe to repeat."""
        ids = (file.ids.patient, file.ids.study, file.ids.series)
        known, rows = tx.tags_of(ids), tx.find_all(ids)
        for level, id in zip((PATIENT, STUDY, SERIES), ids, strict=True):
            if id not in rows:
                continue
            row, tags = rows[id].row, file.parsed.tags.get(level, {})
            patient_tags = file.parsed.tags.get(PATIENT, {}) if level is STUDY else None
            if known[id].own != tags or (patient_tags is not None and known[id].patient != patient_tags):
                tx.set_tags(row, tags, patient_tags)
                tx.set_metadata(row, {Metadata.MAIN_DICOM_TAGS_SIGNATURE: self._computed.signatures[level]})
            self._refresh_sequences(tx, row, file.parsed.sequences.get(level))

    def _refresh_sequences(self, tx: Transaction, row: int, sequences: str | None) -> None:
        item = tx.metadata_item(row, Metadata.MAIN_DICOM_SEQUENCES)
        if sequences is None:
            tx.remove_metadata(row, Metadata.MAIN_DICOM_SEQUENCES)
        elif item is None or item.value != sequences:
            tx.set_metadata(row, {Metadata.MAIN_DICOM_SEQUENCES: sequences})

    def _replaces(self, tx: Transaction, old: Row, new: Attachment) -> bool:
        match self._overwrite:
            case OverwriteInstances.NEVER:
                return False
            case OverwriteInstances.ALWAYS:
                return True
            case OverwriteInstances.IF_CHANGED:
                kept = (a for a in tx.attachments(old.row) if a.type == AttachmentType.DICOM)
                return all(a.uncompressed_md5 != new.uncompressed_md5 or not a.uncompressed_md5 for a in kept)

    def _insert(
        self,
        tx: Transaction,
        file: StoredFile,
        found: Mapping[ResourceLevel, Row],
        origin: Origin,
        date: datetime,
        extra: MetadataByLevel,
    ) -> list[Change]:
        rows = {level: row.row for level, row in found.items()}
        created = [level for level in _LEVELS if level not in rows]
        for level in created:
            parent = rows[_PARENT[level]] if level in _PARENT else None
            tags = file.parsed.tags
            patient_tags = tags.get(PATIENT, {}) if level is STUDY else None
            rows[level] = tx.create(level, file.ids.of(level), parent, tags.get(level, {}), patient_tags)
        if SERIES in created:
            self._watch.begin(file.ids.series, file.parsed.expected_number_of_instances)
        time = f"{date:%Y%m%dT%H%M%S}"
        metadata: dict[int, dict[int, str]] = {}
        for level, row in rows.items():
            values = self._metadata(level, file.parsed, origin, time, is_new=level in created)
            metadata[row] = {**values, **extra.get(level, {})}
        tx.set_metadata_of(metadata)
        tx.attach(rows[INSTANCE], file.attachment)
        tx.renew(rows[PATIENT])
        changes = [tx.log_change(_NEW[level], rows[level], date) for level in reversed(created)]
        if self._completes_series(tx, file.ids.series):
            changes.append(tx.log_change(ChangeType.COMPLETED_SERIES, rows[SERIES], date))
        return changes

    def _metadata(
        self, level: ResourceLevel, parsed: ParsedInstance, origin: Origin, time: str, *, is_new: bool
    ) -> dict[int, str]:
        if not is_new:
            return {Metadata.LAST_UPDATE: time}
        values = self._computed.of(level, parsed)
        if level is INSTANCE:
            return values | {Metadata.RECEPTION_DATE: time} | origin.metadata()
        values[Metadata.LAST_UPDATE] = time
        if level is SERIES:
            values[Metadata.REMOTE_AET] = origin.remote_aet
        return values

    def _completes_series(self, tx: Transaction, series_id: str) -> bool:
        if not self._watch.is_due(series_id):
            return False
        facts = tx.facts(series_id, SERIES)
        assert facts is not None
        expected = facts.metadata.get(Metadata.EXPECTED_NUMBER_OF_INSTANCES)
        self._watch.looked(series_id, expected, len(facts.children))
        return series_status(expected, facts.indexes_in_series) is SeriesStatus.COMPLETE


def _find(tx: Transaction, ids: ResourceIds) -> dict[ResourceLevel, Row]:
    """Return what is there of the instance and its ancestors."""
    found = tx.find_all((ids.patient, ids.study, ids.series, ids.instance))
    rows = {level: found[ids.of(level)] for level in _LEVELS if ids.of(level) in found}
    if any(row.level is not level for level, row in rows.items()):
        # A PatientID with "|" in it can be made to hash like a study of another patient.
        raise BadFileFormat("The identifiers are those of another resource")
    return rows
