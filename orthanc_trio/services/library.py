"""Read the library: resources, changes, files.

What a resource looks like is asked far more often than it changes, so its facts and their encodings are kept
until an event says that they are no longer true.
"""

from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from functools import partial
from typing import Final

from ..index.index import Index
from ..index.transaction import ChangesPage
from ..model.errors import UnknownResource
from ..model.event import ChangeEvent, ChangeType, Event, ResourceDeleted, ResourcesTouched
from ..model.resource import Attachment, Facts, ResourceLevel, Statistics
from ..storage.area import Blob, Storage, StorageArea
from ..storage.content import open_content
from .open_files import OpenFiles

_CACHED_RESOURCES = 8192
_BATCH = 1000  # resources whose facts are read at once
_PIECE = 1 << 20
_CACHED_CHILDREN = 1000  # a resource with more children is cheap to ask for, compared with keeping it


class Description:
    """The facts of a resource, with room for the encodings that the doors make of them."""

    __slots__ = ("encodings", "facts", "is_stable")

    def __init__(self, facts: Facts, *, is_stable: bool) -> None:
        self.facts = facts
        self.is_stable = is_stable
        self.encodings: dict[str, bytes] = {}


class Library:
    """Answers what is stored. Safe to call at any time; never changes anything.

    Subscribe `notice` to the bus, for the events that it `hears`.
    """

    hears: Final = (ChangeEvent, ResourceDeleted, ResourcesTouched)

    def __init__(self, index: Index, storage: Storage, is_stable: Callable[[str], bool]) -> None:
        self._index = index
        self._storage = storage
        self._is_stable = is_stable
        self._cache: OrderedDict[str, Description] = OrderedDict()
        self.files = OpenFiles()
        self._generation = 0

    def notice(self, event: Event) -> None:
        """Forget what `event` makes untrue."""
        match event:
            case ChangeEvent(change):
                self._forget((change.id,))
            case ResourceDeleted(id=id):
                self._forget((id,))
            case ResourcesTouched(ids):
                self._forget(ids)
            case _:
                pass

    def _forget(self, ids: Iterable[str]) -> None:
        # A read that began before this moment must not bring the old facts back.
        self._generation += 1
        for id in ids:
            self._cache.pop(id, None)
            self.files.forget(id)

    @property
    def generation(self) -> int:
        """A number that is another one after each change of anything."""
        return self._generation

    def close(self) -> None:
        """Close the files that are kept open. Safe to repeat."""
        self.files.close()

    def cached(self, level: ResourceLevel, id: str) -> Description | None:
        """Return the description of a resource if it is at hand."""
        found = self._cache.get(id)
        if found is None or found.facts.level is not level:
            return None
        self._cache.move_to_end(id)
        return found

    async def describe(self, level: ResourceLevel, id: str) -> Description | None:
        """Return the description of a resource of `level`, None if there is none."""
        found = self.cached(level, id)
        if found is not None:
            return found
        generation = self._generation
        facts = await self._index.read(lambda tx: tx.facts(id, level), is_quick=True)
        return None if facts is None else self._keep(facts, generation)

    async def describe_level(
        self, level: ResourceLevel, since: int = 0, limit: int | None = None
    ) -> list[Description]:
        """Return a page of a level, in ascending order of the identifiers."""
        return await self.describe_all(await self.ids(level, since, limit))

    async def describe_descendants(self, id: str, level: ResourceLevel) -> list[Description]:
        """Return all descendants of `id` at `level`, in ascending order of the identifiers."""
        return await self.describe_all(await self.descendants(id, level))

    async def describe_all(self, ids: Sequence[str]) -> list[Description]:
        """Return the descriptions of resources of any level, in the order of `ids`, without the unknown."""
        known = self._cache
        missing = [id for id in ids if id not in known]
        if not missing:
            return [known[id] for id in ids]
        found = {id: known[id] for id in ids if id in known}
        for start in range(0, len(missing), _BATCH):
            batch, generation = missing[start : start + _BATCH], self._generation
            for facts in await self._index.read(lambda tx, batch=batch: tx.facts_of(batch)):  # type: ignore[misc]
                found[facts.id] = self._keep(facts, generation)
        return [found[id] for id in ids if id in found]

    def _keep(self, facts: Facts, generation: int) -> Description:
        description = Description(facts, is_stable=self._is_stable(facts.id))
        if generation == self._generation and len(facts.children) <= _CACHED_CHILDREN:
            self._cache[facts.id] = description
            if len(self._cache) > _CACHED_RESOURCES:
                self._cache.popitem(last=False)
        return description

    async def ids(self, level: ResourceLevel, since: int = 0, limit: int | None = None) -> list[str]:
        """Return a page of the identifiers of a level, ascending."""
        return await self._index.read(lambda tx: tx.ids(level, since, limit), is_quick=True)

    async def descendants(self, id: str, level: ResourceLevel) -> list[str]:
        """Return the identifiers of all descendants of `id` at `level`, ascending."""
        return await self._index.read(lambda tx: tx.descendants(id, level), is_quick=True)

    async def ancestor(self, id: str, level: ResourceLevel) -> Description | None:
        """Return the ancestor of `id` at `level`."""
        chain = await self._index.read(lambda tx: tx.ancestors(id), is_quick=True)
        found = next((ref for ref in chain if ref.level is level), None)
        return None if found is None else await self.describe(level, found.id)

    async def statistics(self) -> Statistics:
        """Return counts and sizes over all that is stored."""
        return await self._index.read(lambda tx: tx.statistics())

    async def statistics_of(self, id: str, attachment_type: int | None = None) -> Statistics:
        """Return counts and sizes below a resource, see `ReadTransaction`. Raises UnknownResource."""
        found = await self._index.read(lambda tx: tx.statistics_of(id, attachment_type))
        if found is None:
            raise UnknownResource
        return found

    async def changes(
        self,
        *,
        since: int,
        to: int | None,
        types: tuple[ChangeType, ...],
        limit: int,
        from_end: bool,
    ) -> ChangesPage:
        """Return a page of the log of changes, see `ReadTransaction.changes`."""
        return await self._index.read(
            lambda tx: tx.changes(since=since, to=to, types=types, limit=limit, from_end=from_end)
        )

    async def clear_changes(self) -> None:
        """Empty the log of changes; the numbering goes on."""
        await self._index.write(lambda tx: tx.clear_changes())

    async def open_file(self, id: str, attachment: Attachment) -> tuple[int, int] | bytes:
        """Open what is stored of an attachment of a resource: (descriptor, offset), which the caller closes.

        Where it is in no local file, return it. Raises InexistentFile.
        """
        known = self.files.borrow(id, attachment.uuid)
        if known is not None:
            return known, 0
        generation = self._generation
        opened = await self._storage.run(partial(_open_blob, attachment=attachment))
        if isinstance(opened, tuple) and opened[1] == 0 and generation == self._generation:
            self.files.keep(id, attachment.uuid, opened[0])
        return opened

    async def read_content(self, attachment: Attachment) -> bytes:
        """Return the content of an attachment, however it is stored. Raises InexistentFile, CorruptedFile."""
        return await self._storage.run(lambda area: open_content(area, attachment).read())

    async def stream_content(
        self, attachment: Attachment, offset: int = 0, size: int | None = None
    ) -> AsyncGenerator[bytes, None]:
        """Yield the content of an attachment, or `size` bytes of it, in pieces.

        Raises InexistentFile, CorruptedFile.
        """
        blob = await self._storage.run(lambda area: open_content(area, attachment))
        end = blob.size if size is None else offset + size
        for start in range(offset, end, _PIECE):
            yield await self._storage.run(partial(_read_piece, blob=blob, start=start, end=end))


def _read_piece(_area: StorageArea, blob: Blob, start: int, end: int) -> bytes:
    return blob.read(start, min(_PIECE, end - start))


def _open_blob(area: StorageArea, attachment: Attachment) -> tuple[int, int] | bytes:
    blob = area.open(attachment.uuid, attachment.size)
    return blob.descriptor() or blob.read()
