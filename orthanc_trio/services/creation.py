"""Make instances of tags and content, and store them. Source: the Orthanc Book, `/tools/create-dicom`."""

from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from typing import Final

import trio

from ..dicom.create import CreateOptions, Parent, create_files
from ..dicom.create_request import CreateRequest
from ..dicom.dictionary import Dictionary
from ..index.index import Index
from ..model.errors import BadFileFormat, BadParent, OrthancError, ParentIsInstance
from ..model.resource import ResourceLevel
from ..storage.area import Storage, StorageArea
from ..workers import Workers
from .exemplar import exemplar_of
from .ingest import Entry, Ingest, Origin, StoreResult, StoringBatch
from .spool import Collected
from .switches import Switches
from .tags import TagReader

_PICTURE_REQUESTS: Final = 2
"""Requests with images that are dealt with at the same time."""
_PICTURES_S: Final = 60.0
"""What the images of one request may take to be decoded."""


class Creation:
    """Creates instances. All of a request are stored, or none."""

    def __init__(
        self,
        index: Index,
        storage: Storage,
        workers: Workers,
        *,
        tags: TagReader,
        ingest: Ingest,
        dictionary: Dictionary,
        switches: Switches,
        now: Callable[[], datetime],
    ) -> None:
        self._index = index
        self._storage = storage
        self._workers = workers
        self._tags = tags
        self._ingest = ingest
        self._dictionary = dictionary
        self._switches = switches
        self._now = now
        # Images take memory in a worker process, and then here.
        self._pictures = trio.CapacityLimiter(_PICTURE_REQUESTS)

    async def create(self, request: CreateRequest, origin: Origin) -> list[StoreResult]:
        """Create and store the instances of a request, in order.

        Raises BadParent, ParentIsInstance; what `create_files` raises for the request, and `Ingest.store`.
        """
        parent = None if request.parent is None else await self._parent(request.parent)
        if not request.has_pictures:
            return await self._create(request, parent, origin)
        async with self._pictures:
            return await self._create(request, parent, origin)

    async def _create(
        self, request: CreateRequest, parent: Parent | None, origin: Origin
    ) -> list[StoreResult]:
        files = [await self._ingest.transcoded(file) for file in await self._files(request, parent)]
        return await self._ingest.store_in_batch(partial(_store, files=files), origin)

    async def _files(self, request: CreateRequest, parent: Parent | None) -> list[bytes]:
        options = CreateOptions(
            dictionary=self._dictionary,
            default_encoding=self._switches.default_encoding,
            now=self._now(),
        )
        if not request.has_pictures:
            return await self._storage.run_long(lambda _: create_files(request, parent, options))
        # A cancel kills the process.
        with trio.move_on_after(_PICTURES_S):
            return await self._workers.run(create_files, request, parent, options)
        raise BadFileFormat("The images take too long to be decoded")

    async def _parent(self, id: str) -> Parent:
        found = await exemplar_of(self._index, self._tags, id)
        if found is None:
            raise BadParent
        if found.level is ResourceLevel.INSTANCE:
            raise ParentIsInstance
        return Parent(found.level, found.tags)


def _store(area: StorageArea, batch: StoringBatch, files: Sequence[Collected]) -> list[StoreResult]:
    entries = [Entry(batch.write(area, file), {}) for file in files]
    stored: list[StoreResult] = []
    for outcome in batch.register(entries):
        if isinstance(outcome, OrthancError):
            # All have the same ancestors, whose identifiers are those of other resources: none is stored.
            raise outcome
        stored.append(outcome)
    return stored
