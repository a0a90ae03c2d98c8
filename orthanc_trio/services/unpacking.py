"""Store the members of one archive: one task unpacks, a few store."""

import trio
from msgspec import Struct

from ..model.errors import BadFileFormat, InexistentTag, OrthancError
from ..storage.area import Storage
from .ingest import Ingest, Origin, StoreResult
from .spool import Received, discard, owned
from .zip_reader import ArchiveReader, Member

_CONCURRENCY = 4


class Rejected(Struct, frozen=True):
    """A member that was not stored, and why. Its name may identify a patient: not for logs."""

    name: str
    details: str


class Unpacking:
    """The upload of one archive. `stored` and `rejected` are by the number of the member."""

    def __init__(self, ingest: Ingest, storage: Storage, reader: ArchiveReader, origin: Origin) -> None:
        self._ingest = ingest
        self._storage = storage
        self._reader = reader
        self._origin = origin
        self._failure: OrthancError | None = None
        self.stored: dict[int, StoreResult] = {}
        self.rejected: dict[int, Rejected] = {}

    async def run(self) -> None:
        """Store all members that are instances; pass over the others.

        Raises what prevents storing, such as FullStorage; what was stored until then stays.
        """
        send, receive = trio.open_memory_channel[Member](0)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._unpack_all, send, nursery.cancel_scope)
            async with receive:
                for _ in range(_CONCURRENCY):
                    nursery.start_soon(self._store_all, receive.clone(), nursery.cancel_scope)
        if self._failure is not None:
            raise self._failure

    async def _unpack_all(self, send: trio.MemorySendChannel[Member], scope: trio.CancelScope) -> None:
        async with send:
            try:
                while batch := await self._storage.run_long(self._reader.next_batch):
                    for member in batch:
                        await self._hand_over(send, member)
            except OrthancError as exc:
                self._fail(exc, scope)

    async def _hand_over(self, send: trio.MemorySendChannel[Member], member: Member) -> None:
        is_taken = False
        try:
            await send.send(member)
            is_taken = True
        finally:
            if not is_taken and isinstance(member.content, Received):
                await discard(self._storage, member.content)

    async def _store_all(self, receive: trio.MemoryReceiveChannel[Member], scope: trio.CancelScope) -> None:
        async with receive:
            async for member in receive:
                try:
                    await self._store(member)
                except OrthancError as exc:
                    self._fail(exc, scope)

    async def _store(self, member: Member) -> None:
        if member.problem:
            self.rejected[member.number] = Rejected(member.name, member.problem)
            return
        try:
            async with owned(self._storage, member.content):
                self.stored[member.number] = await self._ingest.store(member.content, self._origin)
        except (BadFileFormat, InexistentTag) as exc:
            self.rejected[member.number] = Rejected(member.name, exc.details or exc.code.description)

    def _fail(self, exc: OrthancError, scope: trio.CancelScope) -> None:
        self._failure = self._failure or exc
        scope.cancel()
