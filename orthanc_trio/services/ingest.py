"""Receive one instance: parse and write its file, enter it into the index, tell everybody.

One hop to a storage thread, which also writes to the index. The file is unsettled until its row is committed;
if that does not happen, whatever the reason, settling asks the index and removes the file.
"""

from collections.abc import Callable
from datetime import datetime
from functools import partial

from msgspec import Struct, field

from ..bus import EventBus
from ..config.settings import OverwriteInstances
from ..dicom.dictionary import STANDARD, Dictionary
from ..dicom.parse import NeedMoreData, ParsedInstance, ParsePlan, parse_instance
from ..dicom.part10 import DEFLATED, NATIVE
from ..index.index import Index
from ..model.errors import BadFileFormat
from ..model.event import ChangeEvent, ResourceDeleted, ResourcesTouched
from ..model.resource import AttachmentType, ResourceLevel
from ..model.tags import MAIN_DICOM_TAGS, MainDicomTags
from ..storage.area import Storage, StorageArea
from ..storage.key import new_key
from .file_writer import FileWriter
from .registration import (
    MetadataByLevel,
    Origin,
    OriginName,
    Registered,
    Registrar,
    ResourceIds,
    StoredFile,
    StoreResult,
    StoreStatus,
)
from .settling import Settling
from .spool import Collected, Received, piece_of, size_of
from .stability import Stability

__all__ = [
    "Ingest",
    "IngestOptions",
    "Origin",
    "OriginName",
    "Received",
    "ResourceIds",
    "StoreResult",
    "StoreStatus",
]

_HEAD = 16 << 10
"""Most headers are shorter; what is parsed is copied."""
_LONGEST_HEAD = 1 << 30
_PLAIN = NATIVE - DEFLATED
"""Transfer syntaxes that leave something to compress."""


class IngestOptions(Struct, frozen=True, kw_only=True):
    """The options of the configuration that matter here, with their defaults."""

    overwrite: OverwriteInstances = OverwriteInstances.NEVER
    stores_md5: bool = True
    compresses: bool = False
    """Whether files are stored deflated, unless their pixels are compressed already."""
    default_encoding: str = "Latin1"
    main_dicom_tags: MainDicomTags = field(default_factory=lambda: MAIN_DICOM_TAGS)
    dictionary: Dictionary = STANDARD


class Ingest:
    """Stores instances, whichever door they came through. Safe to call from many tasks."""

    def __init__(
        self,
        index: Index,
        storage: Storage,
        bus: EventBus,
        *,
        settling: Settling,
        stability: Stability,
        options: IngestOptions,
        now: Callable[[], datetime],
    ) -> None:
        self._index = index
        self._storage = storage
        self._bus = bus
        self._settling = settling
        self._stability = stability
        self._options = options
        self._now = now
        self._writer = FileWriter(storage, stores_md5=options.stores_md5)
        self._registrar = Registrar(options.overwrite, options.main_dicom_tags)
        self._plan = ParsePlan(options.main_dicom_tags, options.dictionary)

    async def store(
        self, data: Collected, origin: Origin, *, metadata: MetadataByLevel | None = None
    ) -> StoreResult:
        """Store one instance. `data` is a Part 10 file; it is durable and indexed on return, or not there.

        A `Received` is committed, or discarded unless the call is cancelled before it has begun. `metadata`
        is set on the resources of the given levels in the same commit. Safe to repeat: the same instance
        gives AlreadyStored or replaces itself, as `OverwriteInstances` says.
        Raises BadFileFormat, InexistentTag for what is no instance; FullStorage, FileStorageCannotWrite,
        DatabaseError if it cannot be kept. Source: the Orthanc Book, "Configuration of Orthanc".
        """
        if size_of(data) == 0:
            raise BadFileFormat("Received an empty DICOM file")
        written: list[str] = []
        registered: Registered | None = None
        try:
            registered = await self._storage.run(
                partial(self._store, data, origin, metadata or {}, written=written)
            )
        finally:
            if registered is None or registered.result.status is not StoreStatus.SUCCESS:
                for key in written:
                    self._settling.review(key)
        if registered.result.status is StoreStatus.SUCCESS:
            self._settling.settle(written[0])
            self._tell(registered)
        return registered.result

    def _store(
        self,
        data: Collected,
        origin: Origin,
        metadata: MetadataByLevel,
        area: StorageArea,
        *,
        written: list[str],
    ) -> Registered:
        """Store and register the instance; the key of its file is in `written` before there is one."""
        try:
            parsed = self._parse(data)
            deflates = self._options.compresses and parsed.transfer_syntax in _PLAIN
            key = data.key if isinstance(data, Received) and not deflates else new_key()
            written.append(key)
            attachment = self._writer.write(area, key, data, AttachmentType.DICOM, deflates=deflates)
        finally:
            if isinstance(data, Received):
                data.discard()  # does nothing after a commit
        ids = ResourceIds(*(parsed.identifiers.orthanc_id(level) for level in ResourceLevel))
        file = StoredFile(parsed, ids, attachment)
        return self._index.write_here(
            lambda tx: self._registrar.register(tx, file, origin, self._now(), metadata)
        )

    def _parse(self, data: Collected) -> ParsedInstance:
        total = size_of(data)
        size = min(_HEAD, total)
        while True:
            try:
                return parse_instance(
                    memoryview(piece_of(data, 0, size)),
                    default_encoding=self._options.default_encoding,
                    total_size=total,
                    plan=self._plan,
                )
            except NeedMoreData as exc:
                size = min(max(exc.needed, 8 * size), total)
                if size > _LONGEST_HEAD:
                    raise BadFileFormat("The file has no pixels, and too many bytes of other data") from exc

    def _tell(self, registered: Registered) -> None:
        ids = registered.result.ids
        # Before the events: who reads the resource because of one must see that it is not stable.
        self._stability.touch(ids)
        if registered.removed:
            self._settling.collect()
        for ref in registered.removed:
            self._bus.publish(ResourceDeleted(ref.level, ref.id))
        for change in registered.changes:
            self._bus.publish(ChangeEvent(change))
        self._bus.publish(ResourcesTouched((ids.series, ids.study, ids.patient)))
