"""Make instances of others and store them: what modification, anonymisation, split and merge have in common.

The head of each file is rewritten in a storage thread, and what follows is copied, not parsed. Files that
only pydicom can rewrite, or that are transcoded, go through worker processes. All is derived from the sources
and the recipe, so a repetition gives the same instances, which are then stored already.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from ..config.choice import OverwriteInstances
from ..dicom.dictionary import STANDARD, Dictionary
from ..dicom.identity import IdentityMap, Original
from ..dicom.modification import Modification
from ..dicom.rewrite import Rewriter, Rewritten
from ..index.transaction import Transaction
from ..model.errors import (
    BadFileFormat,
    CannotStoreInstance,
    InexistentItem,
    InternalError,
    NotImplementedYet,
    OrthancError,
)
from ..model.resource import Metadata, ResourceLevel
from ..storage.area import Storage, StorageArea
from ..storage.content import open_content
from .ingest import Entry, Ingest, StoringBatch
from .registration import (
    MetadataByLevel,
    Origin,
    Registered,
    Registrar,
    ResourceIds,
    StoredFile,
    StoreResult,
    StoreStatus,
)
from .removal import Removal
from .rewriting_item import Item, Outcome, Source, make_file, rewrite_head
from .spool import Received
from .switches import Switches
from .transcoding import CPU_LIMIT_S, MAX_FILE_BYTES, InWorker, dying_after, transcode_files

__all__ = [
    "Note",
    "Outcome",
    "Recipe",
    "Rewriting",
    "RewritingOptions",
    "RewritingServices",
    "Source",
    "Transcoding",
]

_ANCESTORS: Final = (ResourceLevel.PATIENT, ResourceLevel.STUDY, ResourceLevel.SERIES)

Note = Callable[[Sequence[tuple[Source, StoreResult]]], None]
"""Is told what will be stored, or is there, before the commit. Blocks: called in a storage thread."""


class Transcoding(Struct, frozen=True):
    """The transfer syntax that the results are to have; `quality`, 1 to 100, is that of a lossy one."""

    syntax: str
    quality: int


class Recipe(Struct, frozen=True, kw_only=True):
    """How the instances of one job are made of others."""

    modification: Modification
    key: bytes
    """The secret that the new identities are derived from: of this job, or of a pseudonym."""
    given: Mapping[Original, bytes] = {}
    """Identifiers that the user chose, for those of all sources: references to them follow."""
    origin: Origin
    relation: Metadata | None = None
    """The metadata that names the source: of an instance, and of its ancestors that are not the source's."""
    keeps_labels: bool = False
    """Whether patient, study and series get the labels of those of the source."""
    transcoding: Transcoding | None = None


class RewritingOptions(Struct, frozen=True, kw_only=True):
    """The options of the configuration that matter here, with their defaults."""

    stores_md5: bool = True
    default_encoding: str = "Latin1"
    dictionary: Dictionary = STANDARD


class RewritingServices(Struct, frozen=True, kw_only=True):
    """The parts of the server that making instances of others needs."""

    ingest: Ingest
    storage: Storage
    removal: Removal
    options: RewritingOptions
    switches: Switches
    threads: Mapping[str, int]
    """How many batches one job handles at the same time, by type of job."""
    pseudonym_keys: Mapping[str, str]
    """Secrets by name, see docs/modification.md."""
    overwrite: OverwriteInstances = OverwriteInstances.NEVER
    checks_patients: bool = True
    """Whether a modified study has to agree with the patient that it goes to."""

    def begin(self, recipe: Recipe, in_worker: InWorker, note: Note | None = None) -> "Rewriting":
        """Return what rewrites and stores by a recipe."""
        return Rewriting(self.ingest, self.storage, in_worker, recipe, self.present_options, note=note)

    @property
    def present_options(self) -> RewritingOptions:
        """The options as they are now."""
        return replace(self.options, default_encoding=self.switches.default_encoding.value)

    def key(self, modification: Modification, job_key: bytes) -> bytes:
        """Return the secret of the identities: of a pseudonym, or else of the job. Raises InexistentItem."""
        if modification.pseudonym is None:
            return job_key
        secret = self.pseudonym_keys.get(modification.pseudonym)
        if secret is None:
            raise InexistentItem(f"No pseudonym key with this name: {modification.pseudonym}")
        return secret.encode()


class Rewriting:
    """Rewrites and stores instances by one recipe. Safe to call from several tasks of one job."""

    def __init__(
        self,
        ingest: Ingest,
        storage: Storage,
        in_worker: InWorker,
        recipe: Recipe,
        options: RewritingOptions,
        *,
        note: Note | None = None,
    ) -> None:
        self._ingest = ingest
        self._storage = storage
        self._in_worker = in_worker
        self._recipe = recipe
        self._options = options
        self._note = note
        self._rewriter = make_rewriter(recipe.modification, recipe.key, recipe.given, options)
        self._refreshed: set[tuple[str, str]] = set()
        """Pairs of a source's series and a result's, whose ancestors are up to date."""

    async def store(self, sources: Sequence[Source]) -> list[Outcome]:
        """Rewrite and store some instances, in one hop to a thread if nothing hinders; in the same order.

        What fails for one instance is in its outcome. Safe to repeat, and to cancel: each instance is then
        stored or not there. Raises DatabaseError, FullStorage, FileStorageCannotWrite.
        """
        items = [Item(source) for source in sources]
        if self._recipe.transcoding is not None:
            await self._transcode(items, self._recipe.transcoding)
        elif self._ingest.is_transcoding:
            await self._transcode_as_new(items)
        await self._store(items)
        whole = [item for item in items if item.needs_whole]
        if whole:
            await self._edit(whole)
            await self._store(whole)
        return [item.outcome() for item in items]

    async def make(self, source: Source) -> tuple[bytes, int | None]:
        """Rewrite one instance and store nothing.

        Return the first bytes of the result, and from where on the content of the source follows: None if
        nothing does. Raises InexistentFile, CorruptedFile, BadFileFormat, what a wrong value raises, and
        NotImplementedYet if it cannot be transcoded.
        """
        item, to = Item(source), self._recipe.transcoding
        if to is not None:
            await self._transcode([item], to)
            if not item.is_transcoded:
                raise NotImplementedYet(f"Cannot transcode to transfer syntax: {to.syntax}")
        rewritten = await self._storage.run(lambda area: rewrite_head(item.content(area), self._rewriter))
        if rewritten is None:
            await self._edit([item])
            if item.edited is None:
                raise item.error or InternalError
            return item.edited.head, None
        if item.given is not None:
            return rewritten.whole(item.given), None
        return rewritten.head, rewritten.tail_offset

    async def _store(self, items: Sequence[Item]) -> None:
        """Set the result or the error of each item without one, unless it needs to be edited as a whole."""
        ready = [item for item in items if item.error is None]
        if ready:
            await self._ingest.store_in_batch(
                lambda area, batch: self._store_here(area, batch, ready), self._recipe.origin
            )

    def _store_here(self, area: StorageArea, batch: StoringBatch, items: Sequence[Item]) -> None:
        made = self._make_files(area, items)
        written: list[tuple[Item, StoredFile]] = []
        files = batch.write_all(area, [received for _, received in made])
        for (item, _), file in zip(made, files, strict=True):
            if isinstance(file, OrthancError):
                item.error = file
            else:
                written.append((item, file))
        entries = [Entry(file, self._metadata(item.source.ids, file.ids)) for item, file in written]
        fresh = self._fresh(written)
        results = batch.register(entries, lambda *done: self._complete(*done, written=written, fresh=fresh))
        self._refreshed.update(fresh)
        for (item, _), result in zip(written, results, strict=True):
            if isinstance(result, OrthancError):
                item.error = _refused(item.source)
            else:
                item.result, item.is_new = result.ids, result.status is StoreStatus.SUCCESS

    def _make_files(self, area: StorageArea, items: Sequence[Item]) -> list[tuple[Item, Received]]:
        made: list[tuple[Item, Received]] = []
        is_complete = False
        try:
            for item in items:
                received = make_file(area, item, self._rewriter, stores_md5=self._options.stores_md5)
                if received is not None:
                    made.append((item, received))
            is_complete = True
        finally:
            if not is_complete:
                for _, received in made:
                    received.discard()
        return made

    def _metadata(self, source: ResourceIds, result: ResourceIds) -> MetadataByLevel:
        relation = self._recipe.relation
        if relation is None:
            return {}
        changed = [level for level in _ANCESTORS if result.of(level) != source.of(level)]
        return {level: {relation: source.of(level)} for level in (*changed, ResourceLevel.INSTANCE)}

    def _fresh(self, written: Sequence[tuple[Item, StoredFile]]) -> dict[tuple[str, str], int]:
        """Return the positions of the first files of series that were not refreshed yet."""
        fresh: dict[tuple[str, str], int] = {}
        for position, (item, file) in enumerate(written):
            pair = item.source.ids.series, file.ids.series
            if pair not in self._refreshed:
                fresh.setdefault(pair, position)
        return fresh

    def _complete(
        self,
        tx: Transaction,
        registrar: Registrar,
        results: Sequence[Registered | OrthancError],
        *,
        written: Sequence[tuple[Item, StoredFile]],
        fresh: dict[tuple[str, str], int],
    ) -> None:
        """Do what belongs into the commit that enters the results into the index."""
        for position in fresh.values():
            item, file = written[position]
            if isinstance(results[position], Registered):
                registrar.refresh(tx, file)
                if self._recipe.keeps_labels:
                    _copy_labels(tx, item.source.ids, file.ids)
        if self._note is not None:
            self._note(
                [
                    (item.source, done.result)
                    for (item, _), done in zip(written, results, strict=True)
                    if isinstance(done, Registered)
                ]
            )

    async def _transcode(self, items: Sequence[Item], to: Transcoding) -> None:
        """Give each item its file in the other transfer syntax; what cannot be transcoded stays."""
        await self._read(items)
        small = [item for item in items if item.given is not None]
        files = [item.given for item in small if item.given is not None]
        made = await transcode_files(self._in_worker, files, to.syntax, to.quality, keeps_uid=True)
        for item, data in zip(small, made, strict=True):
            item.given = data
        for item in items:
            item.is_transcoded = item.given is not None

    async def _transcode_as_new(self, items: Sequence[Item]) -> None:
        """Give each item the file that IngestTranscoding makes of it, if it makes one."""
        for item in items:
            await self._read([item])
            if item.given is not None:
                try:
                    item.given = await self._ingest.transcoding_of(item.given, keeps_uid=True)
                except OrthancError as error:
                    item.error = error

    async def _edit(self, items: Sequence[Item]) -> None:
        """Have worker processes rewrite what only a parse of all of it can."""
        await self._read(items)
        for item in items:
            item.needs_whole = False
            if item.given is None:
                item.error = item.error or BadFileFormat("The file is too large for what it needs")
        readable = [item for item in items if item.given is not None]
        recipe, options = self._recipe, self._options
        for item in readable:
            try:
                item.edited = await self._in_worker(
                    rewrite_whole, item.given, recipe.modification, recipe.key, recipe.given, options
                )
            except OrthancError as error:
                item.error = error
            item.given = None

    async def _read(self, items: Sequence[Item]) -> None:
        """Read the files of items that have none in memory, but for the very large ones."""

        def read(area: StorageArea) -> None:
            for item in items:
                if item.given is None and item.source.file.uncompressed_size <= MAX_FILE_BYTES:
                    try:
                        item.given = open_content(area, item.source.file).read()
                    except OrthancError as error:
                        item.error = error

        await self._storage.run_long(read)


def make_rewriter(
    modification: Modification, key: bytes, given: Mapping[Original, bytes], options: RewritingOptions
) -> Rewriter:
    """Return what rewrites files by a modification, with identities that are given or derived from `key`."""
    return Rewriter(
        modification,
        IdentityMap(key, given),
        default_encoding=options.default_encoding,
        dictionary=options.dictionary,
    )


def rewrite_whole(
    data: bytes,
    modification: Modification,
    key: bytes,
    given: Mapping[Original, bytes],
    options: RewritingOptions,
) -> Rewritten:
    """Rewrite a file that is in memory, in a worker process, which dies if that takes too long."""
    with dying_after(CPU_LIMIT_S):
        rewritten = make_rewriter(modification, key, given, options).rewrite(data)
    return rewritten._replace(head=rewritten.whole(data), tail_offset=0)


def _refused(source: Source) -> OrthancError:
    return CannotStoreInstance(f"Error while storing a modified instance {source.ids.instance}")


def _copy_labels(tx: Transaction, source: ResourceIds, result: ResourceIds) -> None:
    for level in _ANCESTORS:
        facts, row = tx.facts(source.of(level), level), tx.find(result.of(level))
        if facts is not None and row is not None:
            for label in facts.labels:
                tx.add_label(row.row, label)
