"""The services that store and remove instances, on real backends, with a clock that the test sets."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import trio
from msgspec import Struct

from orthanc_trio.bus import EventBus
from orthanc_trio.config.choice import IndexBackend, StorageBackend
from orthanc_trio.index.index import Index
from orthanc_trio.index.opening import open_index
from orthanc_trio.model.event import Event
from orthanc_trio.model.resource import Attachment, Facts, ResourceLevel
from orthanc_trio.services.ingest import Ingest, IngestOptions, Origin, OriginName
from orthanc_trio.services.removal import Removal
from orthanc_trio.services.settling import Settling
from orthanc_trio.services.stability import Stability
from orthanc_trio.services.upload import Upload, UploadLimits
from orthanc_trio.storage.area import Storage
from orthanc_trio.storage.opening import open_storage

REST = Origin(name=OriginName.REST_API, remote_ip="127.0.0.1", username="")
START = datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)


class Services(Struct, kw_only=True):
    """All services; `time` is what their clock says, `events` all that was published."""

    index: Index
    storage: Storage
    settling: Settling
    stability: Stability
    ingest: Ingest
    upload: Upload
    removal: Removal
    events: list[Event] = []
    time: datetime = START

    async def facts(self, level: ResourceLevel) -> list[Facts]:
        """Return the facts of all resources of a level."""
        return await self.index.read(lambda tx: tx.facts_of(tx.ids(level)))

    async def fact(self, level: ResourceLevel) -> Facts:
        """Return the facts of the only resource of a level."""
        (facts,) = await self.facts(level)
        return facts

    async def changes(self) -> list[str]:
        """Return the names of all changes in the log, in order."""
        page = await self.index.read(lambda tx: tx.changes(limit=10_000))
        return [change.type.wire_name for change in page.changes]

    async def content(self, attachment: Attachment) -> bytes:
        """Return the bytes of a file."""
        return await self.storage.run(lambda area: area.open(attachment.uuid, attachment.size).read())

    async def check_files(self, folder: Path) -> None:
        """Assert that, once all is settled, the files of the folder are those that the index knows."""
        await self.settling.idle()
        known = {facts.dicom.uuid for facts in await self.facts(ResourceLevel.INSTANCE) if facts.dicom}
        present = {path.name for path in (folder / "storage").rglob("*") if path.is_file()}
        assert present == known
        assert await self.storage.run(lambda area: area.unsettled()) == []


@asynccontextmanager
async def open_services(
    folder: Path | None = None,
    *,
    options: IngestOptions | None = None,
    limits: UploadLimits | None = None,
    adapt: Callable[[Index, Storage], tuple[Index, Storage]] = lambda index, storage: (index, storage),
) -> AsyncIterator[Services]:
    """Run all services: in memory, or with SQLite and files in `folder`."""
    storage_kind = StorageBackend.FILESYSTEM if folder else StorageBackend.MEMORY
    index_kind = IndexBackend.SQLITE if folder else IndexBackend.MEMORY
    place = folder or Path()
    bus, events = EventBus(), list[Event]()
    async with (
        open_storage(storage_kind, place / "storage", is_synchronous=False, threads=4) as storage,
        open_index(index_kind, place, is_synchronous=False) as index,
        trio.open_nursery() as nursery,
    ):
        index, storage = adapt(index, storage)
        services = _build(index, storage, bus, options or IngestOptions(), limits or UploadLimits())
        services.events = events
        await nursery.start(services.settling.run)
        await nursery.start(services.stability.run)
        with bus.subscribed(events.append):
            yield services
        nursery.cancel_scope.cancel()


def _build(
    index: Index, storage: Storage, bus: EventBus, options: IngestOptions, limits: UploadLimits
) -> Services:
    def now() -> datetime:
        return services.time

    settling = Settling(index, storage, linger_s=0)
    stability = Stability(index, bus, stable_age_s=60, now=now)
    ingest = Ingest(index, storage, bus, settling=settling, stability=stability, options=options, now=now)
    services = Services(
        index=index,
        storage=storage,
        settling=settling,
        stability=stability,
        ingest=ingest,
        upload=Upload(ingest, storage, limits),
        removal=Removal(index, bus, settling=settling, now=now),
    )
    return services
