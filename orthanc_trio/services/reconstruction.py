"""Read stored files once more, and let the index say what they say.

Source: the Orthanc Book, `/{level}/{id}/reconstruct`. Safe to repeat; when cancelled it has
done a part.
"""

from collections.abc import Collection, Iterable, Sequence
from functools import partial

from msgspec import Struct

from ..bus import EventBus
from ..dicom.parse import ParsedInstance
from ..index.index import Index
from ..index.transaction import ReadTransaction, Row, Transaction
from ..model.errors import UnknownResource
from ..model.event import ResourcesTouched
from ..model.resource import (
    Attachment,
    AttachmentType,
    Compression,
    LeafInstance,
    ResourceLevel,
    ResourceRef,
)
from ..storage.area import Storage, StorageArea
from ..storage.content import open_content
from .attachments import Attachments
from .computed_metadata import ComputedMetadata
from .file_writer import FileWriter
from .ingest import PLAIN_SYNTAXES, IngestOptions
from .ingest_transcoding import IngestTranscoder
from .instance_parser import InstanceParser
from .spool import piece_of
from .switches import Switches

_BATCH = 50
"""So many instances are read in one hop, and share a commit."""


class Scope(Struct, frozen=True, kw_only=True):
    """What is reconstructed of a resource."""

    has_files: bool = False
    """Also the files: with the present transcoding and compression."""
    is_one_level: bool = False
    """Only the main tags of the resource itself, from one instance below it."""


class Reconstruction:
    """Reconstructs resources. Safe to call at any time."""

    def __init__(
        self,
        index: Index,
        storage: Storage,
        bus: EventBus,
        *,
        attachments: Attachments,
        options: IngestOptions,
        switches: Switches,
        transcoder: IngestTranscoder | None,
    ) -> None:
        self._index = index
        self._storage = storage
        self._bus = bus
        self._attachments = attachments
        self._compresses = options.compresses
        self._transcoder = transcoder
        self._parser = InstanceParser(options.parse_plan)
        self._switches = switches
        self._computed = ComputedMetadata(options.main_dicom_tags)
        self._writer = FileWriter(storage, stores_md5=options.stores_md5)

    async def run(self, level: ResourceLevel, id: str, scope: Scope) -> None:
        """Reconstruct a resource, all below it and its ancestors, which follow the last instance.

        Raises UnknownResource; InexistentFile or CorruptedFile if a file cannot be read.
        """
        leaves = await self._index.read(partial(_leaves, level=level, id=id))
        if scope.has_files:
            for leaf in leaves:
                await self._renew_file(leaf)
            leaves = await self._index.read(partial(_leaves, level=level, id=id))
        if scope.is_one_level:
            await self._describe(leaves[:1], (level,))
            return
        for start in range(0, len(leaves), _BATCH):
            await self._describe(leaves[start : start + _BATCH], tuple(ResourceLevel))

    async def run_all(self, scope: Scope) -> None:
        """Reconstruct every study."""
        for id in await self._index.read(lambda tx: tx.ids(ResourceLevel.STUDY)):
            try:
                await self.run(ResourceLevel.STUDY, id, scope)
            except UnknownResource:
                continue  # it was deleted meanwhile

    async def _describe(self, leaves: Sequence[LeafInstance], levels: Collection[ResourceLevel]) -> None:
        def write(area: StorageArea) -> tuple[str, ...]:
            read = [(leaf.id, self._parse(area, leaf.attachment)) for leaf in leaves]
            return self._index.write_here(lambda tx: self._enter(tx, read, levels))

        self._bus.publish(ResourcesTouched(await self._storage.run_long(write)))

    def _parse(self, area: StorageArea, attachment: Attachment) -> ParsedInstance:
        content = open_content(area, attachment)
        return self._parser.parse(content.read, content.size, self._switches.default_encoding)

    def _enter(
        self, tx: Transaction, read: Iterable[tuple[str, ParsedInstance]], levels: Collection[ResourceLevel]
    ) -> tuple[str, ...]:
        """Enter what instances say of themselves and of their ancestors of `levels`; return whose it is."""
        # Of several instances below an ancestor, the last decides.
        last = {
            ref: parsed
            for id, parsed in read
            for ref in (ResourceRef(ResourceLevel.INSTANCE, id), *tx.ancestors(id))
            if ref.level in levels
        }
        for ref, parsed in last.items():
            found = tx.find(ref.id)
            if found is not None:  # else it was deleted meanwhile
                self._enter_one(tx, found, parsed)
        return tuple(ref.id for ref in last)

    def _enter_one(self, tx: Transaction, found: Row, parsed: ParsedInstance) -> None:
        is_study = found.level is ResourceLevel.STUDY
        patient_tags = parsed.tags.get(ResourceLevel.PATIENT, {}) if is_study else None
        tx.set_tags(found.row, parsed.tags.get(found.level, {}), patient_tags)
        values = self._computed.of(found.level, parsed)
        for number in self._computed.NUMBERS - values.keys():
            tx.remove_metadata(found.row, number)
        tx.set_metadata(found.row, values)

    async def _renew_file(self, leaf: LeafInstance) -> None:
        """Give the file of an instance the form that a new one would have."""
        old = leaf.attachment
        parsed = await self._storage.run_long(partial(self._parse, attachment=old))
        if self._transcoder is not None and self._transcoder.applies_to(parsed, old.uncompressed_size):
            data = await self._storage.run_long(lambda area: open_content(area, old).read())
            transcoded = await self._transcoder.transcode(data)
            if transcoded is not None:
                await self._attachments.swap(leaf.id, old, partial(self._write, data=transcoded))
                return
        wanted = Compression.DEFLATE if self._deflates(parsed) else Compression.NONE
        if old.compression != wanted:
            await self._attachments.recode(ResourceLevel.INSTANCE, leaf.id, AttachmentType.DICOM, wanted)

    def _write(self, area: StorageArea, key: str, *, data: bytes) -> Attachment:
        read, encoding = partial(piece_of, data), self._switches.default_encoding
        deflates = self._deflates(self._parser.parse(read, len(data), encoding))
        return self._writer.write(area, key, data, AttachmentType.DICOM, deflates=deflates)

    def _deflates(self, parsed: ParsedInstance) -> bool:
        return self._compresses and parsed.transfer_syntax in PLAIN_SYNTAXES


def _leaves(tx: ReadTransaction, level: ResourceLevel, id: str) -> list[LeafInstance]:
    found = tx.find(id)
    if found is None or found.level is not level:
        raise UnknownResource
    is_instance = level is ResourceLevel.INSTANCE
    return tx.leaves([id] if is_instance else tx.descendants(id, ResourceLevel.INSTANCE))
