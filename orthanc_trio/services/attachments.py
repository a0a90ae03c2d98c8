"""Attachments of resources: their names, and the files that users attach, replace and recode.

Storing one is a hop to a storage thread, which also writes to the index; the file that it replaces follows
later. Each change of what belongs to a user is logged. Source: the Orthanc Book, "Attachments", "Revisions".
"""

import hashlib
import math
from collections.abc import AsyncIterable, Callable, Mapping
from datetime import datetime
from functools import partial

from msgspec import Struct
from msgspec.structs import replace

from ..bus import EventBus
from ..config.settings import UserNumber
from ..index.index import Index
from ..index.transaction import ReadTransaction, Transaction
from ..model.errors import BadRevision, CorruptedFile, InexistentFile, InexistentItem, UnknownResource
from ..model.event import ChangeEvent, ChangeType, Event, ResourceDeleted, ResourcesTouched
from ..model.resource import Attachment, AttachmentType, Compression, ResourceLevel
from ..storage.area import Blob, Storage, StorageArea
from ..storage.content import open_content
from ..storage.key import new_key
from .collecting import Chunk, Collector
from .file_writer import FileWriter
from .limits import StorageLimits, make_room
from .numbered_names import USER_NUMBERS, NumberedNames
from .revision import Revision, check_revision
from .settling import Settling
from .spool import Received, owned

_NAMES: dict[int, str] = {
    AttachmentType.DICOM: "dicom",
    AttachmentType.DICOM_AS_JSON: "dicom-as-json",
    AttachmentType.DICOM_UNTIL_PIXEL_DATA: "dicom-until-pixel-data",
}
_DICOM = "application/dicom"
_BINARY = "application/octet-stream"
_MEMORY_BYTES = 16 << 20
_PIECE = 1 << 20


class ContentType(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A type of attachments that the configuration declares: `[number, "media type"]`."""

    number: UserNumber
    media_type: str = _BINARY


class AttachmentNames(NumberedNames):
    """The names and media types of attachments."""

    def __init__(self, user: Mapping[str, ContentType]) -> None:
        super().__init__(_NAMES, {name: declared.number for name, declared in user.items()})
        self._media_types = {declared.number: declared.media_type for declared in user.values()}

    def media_type(self, number: int) -> str:
        """Return the media type of the content."""
        return _DICOM if number == AttachmentType.DICOM else self._media_types.get(number, _BINARY)


class AttachmentOptions(Struct, frozen=True, kw_only=True):
    """The options of the configuration that matter here."""

    stores_md5: bool = True
    compresses: bool = False
    checks_revisions: bool = False
    limits: StorageLimits = StorageLimits()
    body_bytes: int = 0
    """The largest body of an upload; 0 is no limit."""


class Entered(Struct, frozen=True):
    """An attachment that is in the index, and what is to be told when that is committed."""

    attachment: Attachment
    events: tuple[Event, ...]


def revision_of(attachment: Attachment) -> Revision:
    """Return the revision that an attachment is in."""
    return Revision(attachment.revision, attachment.uncompressed_md5)


class Attachments:
    """Reads and changes the attachments of resources."""

    def __init__(
        self,
        index: Index,
        storage: Storage,
        bus: EventBus,
        *,
        settling: Settling,
        options: AttachmentOptions,
        now: Callable[[], datetime],
    ) -> None:
        self._index = index
        self._storage = storage
        self._bus = bus
        self._settling = settling
        self._options = options
        self._now = now
        self._writer = FileWriter(storage, stores_md5=options.stores_md5)
        self._collector = Collector(
            storage, limit_bytes=options.body_bytes or math.inf, memory_bytes=_MEMORY_BYTES
        )

    async def all_of(self, level: ResourceLevel, id: str) -> list[Attachment]:
        """Return the attachments of a resource of `level`, by number. Raises UnknownResource."""

        def read(tx: ReadTransaction) -> list[Attachment]:
            found = tx.find(id)
            if found is None or found.level is not level:
                raise UnknownResource
            return tx.attachments(found.row)

        return await self._index.read(read)

    async def one_of(self, level: ResourceLevel, id: str, number: int) -> Attachment:
        """Return one attachment of a resource. Raises UnknownResource, also if it is not there."""
        found = next((each for each in await self.all_of(level, id) if each.type == number), None)
        if found is None:
            raise UnknownResource
        return found

    async def store(
        self,
        id: str,
        number: int,
        chunks: AsyncIterable[Chunk],
        *,
        content_length: int | None,
        expected: Revision | None,
    ) -> Revision:
        """Attach the content that arrives in pieces, or replace what is attached; return its revision.

        It is durable on return. Raises InexistentItem without such a resource; BadRevision if the attachment
        exists and is not as `expected`, or if the server checks revisions and nothing is expected;
        FullStorage beyond the limits.
        """
        data = await self._collector.collect(chunks, content_length)
        async with owned(self._storage, data):
            deflates = self._options.compresses
            key = data.key if isinstance(data, Received) and not deflates else new_key()

            def write(area: StorageArea) -> Entered:
                written = self._writer.write(area, key, data, number, deflates=deflates)
                return self._index.write_here(lambda tx: self._replace(tx, id, written, expected))

            return revision_of(await self._settled(key, write))

    def _replace(self, tx: Transaction, id: str, new: Attachment, expected: Revision | None) -> Entered:
        found = tx.find(id)
        if found is None:
            raise InexistentItem
        old = _attachment(tx, found.row, new.type)
        if old is not None:
            self._check(old, expected)
            tx.detach(found.row, old.type)
            new = replace(new, revision=old.revision + 1)
        patient = next((ref.id for ref in tx.ancestors(id)[-1:]), id)
        removed = make_room(tx, self._options.limits, size=new.size, spared=patient)
        tx.attach(found.row, new)
        gone = tuple(ResourceDeleted(ref.level, ref.id) for ref in removed)
        return Entered(new, (*gone, self._log(tx, id, found.row, new.type)))

    async def remove(self, id: str, number: int, expected: Revision | None) -> None:
        """Remove an attachment. Raises UnknownResource if it is not there, BadRevision as `store`."""

        def write(tx: Transaction) -> Event:
            found = tx.find(id)
            old = None if found is None else _attachment(tx, found.row, number)
            if found is None or old is None:
                raise UnknownResource
            self._check(old, expected)
            tx.detach(found.row, number)
            return self._log(tx, id, found.row, number)

        self._tell(await self._index.write(write))

    async def recode(self, level: ResourceLevel, id: str, number: int, compression: Compression) -> None:
        """Store an attachment in another form, under a new key; its content stays. Safe to repeat.

        Raises UnknownResource; BadRevision if somebody else replaces it meanwhile.
        """
        old = await self.one_of(level, id, number)
        if old.compression == compression:
            return
        await self.swap(id, old, lambda area, key: self._writer.rewrite(area, key, old, compression))

    async def swap(self, id: str, old: Attachment, make: Callable[[StorageArea, str], Attachment]) -> None:
        """Replace an attachment by what `make` writes under a new key. Raises BadRevision as `recode`."""
        key = new_key()

        def write(area: StorageArea) -> Entered:
            new = replace(make(area, key), revision=old.revision + 1)
            return self._index.write_here(lambda tx: self._swapped(tx, id, old, new))

        await self._settled(key, write)

    def _swapped(self, tx: Transaction, id: str, old: Attachment, new: Attachment) -> Entered:
        found = tx.find(id)
        if found is None or _attachment(tx, found.row, old.type) != old:
            raise BadRevision
        tx.detach(found.row, old.type)
        tx.attach(found.row, new)
        return Entered(new, (self._log(tx, id, found.row, new.type),))

    async def _settled(self, key: str, write: Callable[[StorageArea], Entered]) -> Attachment:
        """Run what writes the file `key` and enters it into the index; see to the file, then tell."""
        is_entered = False
        try:
            entered = await self._storage.run_long(write)
            is_entered = True
        finally:
            if not is_entered:
                self._settling.review(key)
        self._settling.settle(key)
        self._tell(*entered.events)
        return entered.attachment

    async def is_intact(self, level: ResourceLevel, id: str, number: int) -> bool:
        """Return whether what is stored, and its content, have the MD5s that they had when they came.

        False if these are not known, or the attachment is not there. Raises UnknownResource.
        """
        found = next((each for each in await self.all_of(level, id) if each.type == number), None)
        if found is None or not found.md5:
            return False
        return await self._storage.run_long(partial(_is_intact, attachment=found))

    def _check(self, old: Attachment, expected: Revision | None) -> None:
        check_revision(revision_of(old), expected, is_required=self._options.checks_revisions)

    def _log(self, tx: Transaction, id: str, row: int, number: int) -> Event:
        if number in USER_NUMBERS:
            return ChangeEvent(tx.log_change(ChangeType.UPDATED_ATTACHMENT, row, self._now()))
        return ResourcesTouched((id,))

    def _tell(self, *events: Event) -> None:
        self._settling.collect()
        for event in events:
            self._bus.publish(event)


def _attachment(tx: ReadTransaction, row: int, number: int) -> Attachment | None:
    return next((each for each in tx.attachments(row) if each.type == number), None)


def _is_intact(area: StorageArea, attachment: Attachment) -> bool:
    try:
        if _md5_of(area.open(attachment.uuid, attachment.size)) != attachment.md5:
            return False
        if attachment.compression == Compression.NONE:
            return True
        return _md5_of(open_content(area, attachment)) == attachment.uncompressed_md5
    except (InexistentFile, CorruptedFile):
        return False


def _md5_of(blob: Blob) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    for offset in range(0, blob.size, _PIECE):
        digest.update(blob.read(offset, _PIECE))
    return digest.hexdigest()
