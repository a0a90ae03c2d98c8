"""Receive one instance: parse and write its file, enter it into the index, tell everybody.

One hop to a storage thread, which also writes to the index. The file is unsettled until its row is committed;
if that does not happen, whatever the reason, settling asks the index and removes the file.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from time import perf_counter
from typing import TypeVar

from msgspec import Struct, field

from ..bus import EventBus
from ..config.choice import OverwriteInstances
from ..dicom.dictionary import STANDARD, Dictionary
from ..dicom.parse import ParsedInstance, ParsePlan
from ..dicom.part10 import DEFLATED, NATIVE
from ..index.index import Index
from ..index.transaction import Transaction
from ..metrics import Metrics
from ..model.errors import BadFileFormat, OrthancError, ReadOnlyServer
from ..model.event import ChangeEvent, ResourceDeleted, ResourcesTouched
from ..model.resource import AttachmentType, ResourceLevel
from ..model.tags import MAIN_DICOM_TAGS, MainDicomTags
from ..storage.area import Storage, StorageArea
from ..storage.key import new_key
from .file_writer import FileWriter
from .ingest_transcoding import IngestTranscoder
from .instance_parser import InstanceParser
from .limits import StorageLimits
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
from .spool import Collected, Received, discard, piece_of, size_of
from .stability import Stability
from .switches import Switches

__all__ = [
    "Entry",
    "Ingest",
    "IngestOptions",
    "Origin",
    "OriginName",
    "Received",
    "ResourceIds",
    "StoreResult",
    "StoreStatus",
    "StoringBatch",
]

T = TypeVar("T")

PLAIN_SYNTAXES = NATIVE - DEFLATED
"""Transfer syntaxes that leave something to compress."""


class IngestOptions(Struct, frozen=True, kw_only=True):
    """The options of the configuration that matter here, with their defaults."""

    overwrite: OverwriteInstances = OverwriteInstances.NEVER
    stores_md5: bool = True
    compresses: bool = False
    """Whether files are stored deflated, unless their pixels are compressed already."""
    stores_dicom: bool = True
    """Whether the files are kept at all; else only what the index says of them."""
    is_read_only: bool = False
    limits: StorageLimits = StorageLimits()
    main_dicom_tags: MainDicomTags = field(default_factory=lambda: MAIN_DICOM_TAGS)
    dictionary: Dictionary = STANDARD

    @property
    def parse_plan(self) -> ParsePlan:
        """What to look for in a file."""
        return ParsePlan(self.main_dicom_tags, self.dictionary)


class _Draft(Struct, frozen=True):
    """An instance that was parsed, and how its file is to be written."""

    data: Collected
    parsed: ParsedInstance
    key: str
    deflates: bool


class Entry(Struct, frozen=True):
    """A file that is to enter the index, with metadata for its resources, new or not."""

    file: StoredFile
    metadata: MetadataByLevel


Also = Callable[[Transaction, Registrar, Sequence[Registered | OrthancError]], None]
"""What else is to be done in the commit that enters files into the index, given what became of each."""


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
        switches: Switches | None = None,
        metrics: Metrics | None = None,
        transcoder: IngestTranscoder | None = None,
    ) -> None:
        self._index = index
        self._storage = storage
        self._bus = bus
        self._settling = settling
        self._stability = stability
        self._options = options
        self._now = now
        self._switches = switches or Switches()
        self._duration_ms = (metrics or Metrics()).largest("orthanc_store_dicom_duration_ms")
        self._writer = FileWriter(storage, stores_md5=options.stores_md5)
        self._transcoder = transcoder
        self._registrar = Registrar(options.overwrite, options.main_dicom_tags, options.limits)
        self._parser = InstanceParser(options.parse_plan)

    async def store(
        self,
        data: Collected,
        origin: Origin,
        *,
        metadata: MetadataByLevel | None = None,
        transcodes: bool = True,
    ) -> StoreResult:
        """Store one instance. `data` is a Part 10 file; it is durable and indexed on return, or not there.

        A `Received` is committed, or discarded unless the call is cancelled before it has begun. `metadata`
        is set on the resources of the given levels in the same commit. `transcodes` False leaves out
        `IngestTranscoding`. Safe to repeat: the same instance gives AlreadyStored or replaces itself, as
        `OverwriteInstances` says.
        Raises BadFileFormat, InexistentTag for what is no instance; FullStorage, FileStorageCannotWrite,
        DatabaseError, ReadOnlyServer if it cannot be kept. Source: the Orthanc Book, "Configuration".
        """
        started_s = perf_counter()
        if transcodes:
            data = await self.transcoded(data)
        batch = StoringBatch(self, origin)
        try:
            return await self._storage.run(partial(batch.store, data=data, metadata=metadata or {}))
        finally:
            self._follow_up(batch)
            self._duration_ms.see_since(started_s)

    async def transcoded(self, data: Collected) -> Collected:
        """Return what is to be stored of a file: itself, or what IngestTranscoding makes of it."""
        result = await self.transcoding_of(data)
        if result is None:
            return data
        if isinstance(data, Received):
            await discard(self._storage, data)
        return result

    @property
    def is_transcoding(self) -> bool:
        """Whether `IngestTranscoding` is in force."""
        return self._transcoder is not None

    async def transcoding_of(self, data: Collected, *, keeps_uid: bool = False) -> bytes | None:
        """Return what IngestTranscoding makes of a file; None if it has nothing to do or cannot.

        `keeps_uid` as in `IngestTranscoder.transcode`. Raises BadFileFormat, InexistentTag for what is no
        instance.
        """
        transcoder = self._transcoder
        if transcoder is None:
            return None
        wanted = await self._storage.run(lambda _: self._to_transcode(transcoder, data))
        return None if wanted is None else await transcoder.transcode(wanted, keeps_uid=keeps_uid)

    def _to_transcode(self, transcoder: IngestTranscoder, data: Collected) -> bytes | None:
        """Return the file if it is to be transcoded."""
        size = size_of(data)
        return bytes(piece_of(data, 0, size)) if transcoder.applies_to(self._parse(data), size) else None

    async def store_in_batch(self, work: "Callable[[StorageArea, StoringBatch], T]", origin: Origin) -> T:
        """Run `work` in one hop to a storage thread and return its result; the batch given to it stores.

        What the batch has registered when `work` ends, one way or the other, is stored; of what it has only
        written nothing stays. Not abandoned on cancel.
        """
        batch = StoringBatch(self, origin)
        try:
            return await self._storage.run_long(lambda area: work(area, batch))
        finally:
            self._follow_up(batch)

    def _follow_up(self, batch: "StoringBatch") -> None:
        """Have the files of a batch settled or reviewed, and tell what it has registered."""
        for key in batch.written:
            if key in batch.kept:
                self._settling.settle(key)
            else:
                self._settling.review(key)
        for registered in batch.registered:
            self._tell(registered)

    def write(self, area: StorageArea, data: Collected, written: list[str]) -> StoredFile:
        """Parse and write an instance, in a storage thread; its key is in `written` before there is a file.

        A `Received` is committed or discarded. Raises as `store`.
        """
        try:
            return self._write_draft(area, self._draft(data, written))
        finally:
            if isinstance(data, Received):
                data.discard()  # does nothing after a commit

    def write_all(
        self, area: StorageArea, files: Sequence[Received], written: list[str]
    ) -> list[StoredFile | OrthancError]:
        """Do the same with several, and wait once for the disk. What is no instance disturbs no other."""
        try:
            drafts = [self._draft_or_error(data, written) for data in files]
            area.commit_all(
                [
                    draft.data.receiver
                    for draft in drafts
                    if isinstance(draft, _Draft) and isinstance(draft.data, Received) and not draft.deflates
                ]
            )
            return [
                self._write_draft(area, draft) if isinstance(draft, _Draft) else draft for draft in drafts
            ]
        finally:
            for data in files:
                data.discard()

    def _draft_or_error(self, data: Received, written: list[str]) -> _Draft | OrthancError:
        try:
            return self._draft(data, written)
        except OrthancError as error:
            return error

    def _draft(self, data: Collected, written: list[str]) -> _Draft:
        if self._options.is_read_only:
            raise ReadOnlyServer
        parsed = self._parse(data)
        deflates = self._options.compresses and parsed.transfer_syntax in PLAIN_SYNTAXES
        key = data.key if isinstance(data, Received) and not deflates else new_key()
        written.append(key)
        return _Draft(data, parsed, key, deflates)

    def _write_draft(self, area: StorageArea, draft: _Draft) -> StoredFile:
        type = AttachmentType.DICOM
        if self._options.stores_dicom:
            attachment = self._writer.write(area, draft.key, draft.data, type, deflates=draft.deflates)
        else:
            attachment = self._writer.describe(draft.key, draft.data, type)
        identifiers = draft.parsed.identifiers
        ids = ResourceIds(*(identifiers.orthanc_id(level) for level in ResourceLevel))
        return StoredFile(draft.parsed, ids, attachment)

    def register(
        self, entries: Sequence[Entry], origin: Origin, also: Also | None = None
    ) -> list[Registered | OrthancError]:
        """Enter files into the index in one commit, in a storage thread. Raises DatabaseError, FullStorage.

        An instance that the index refuses does not disturb the others. `also` is done in the same commit.
        """

        def write(tx: Transaction) -> list[Registered | OrthancError]:
            date = self._now()
            results = [self._register_one(tx, entry, origin, date) for entry in entries]
            if also is not None:
                also(tx, self._registrar, results)
            return results

        return self._index.write_here(write)

    def _register_one(
        self, tx: Transaction, entry: Entry, origin: Origin, date: datetime
    ) -> Registered | OrthancError:
        try:
            return self._registrar.register(tx, entry.file, origin, date, entry.metadata)
        except BadFileFormat as error:  # raised before anything is changed
            return error

    def _parse(self, data: Collected) -> ParsedInstance:
        if size_of(data) == 0:
            raise BadFileFormat("Received an empty DICOM file")
        return self._parser.parse(partial(piece_of, data), size_of(data), self._switches.default_encoding)

    def _tell(self, registered: Registered) -> None:
        if registered.result.status is not StoreStatus.SUCCESS:
            return
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


class StoringBatch:
    """What one hop to a storage thread stores. Its methods block; they are called in that thread."""

    def __init__(self, ingest: Ingest, origin: Origin) -> None:
        self._ingest = ingest
        self._origin = origin
        self.written: list[str] = []
        """Keys of the files that were written, or may have been."""
        self.kept: set[str] = set()
        """Those that the index knows."""
        self.registered: list[Registered] = []

    def store(self, area: StorageArea, data: Collected, metadata: MetadataByLevel) -> StoreResult:
        """Store one instance. Raises as `Ingest.store`."""
        [result] = self.register([Entry(self.write(area, data), metadata)])
        if isinstance(result, OrthancError):
            raise result
        return result

    def write(self, area: StorageArea, data: Collected) -> StoredFile:
        """Parse an instance and write its file. Raises as `Ingest.store`."""
        return self._ingest.write(area, data, self.written)

    def write_all(self, area: StorageArea, files: Sequence[Received]) -> list[StoredFile | OrthancError]:
        """Parse instances and write their files together, see `Ingest.write_all`."""
        return self._ingest.write_all(area, files, self.written)

    def register(
        self, entries: Sequence[Entry], also: Also | None = None
    ) -> list[StoreResult | OrthancError]:
        """Enter written files into the index in one commit, see `Ingest.register`."""
        results: list[StoreResult | OrthancError] = []
        for entry, outcome in zip(entries, self._ingest.register(entries, self._origin, also), strict=True):
            if isinstance(outcome, OrthancError):
                results.append(outcome)
                continue
            self.registered.append(outcome)
            results.append(outcome.result)
            if outcome.result.status is StoreStatus.SUCCESS:
                self.kept.add(entry.file.attachment.uuid)
        return results
