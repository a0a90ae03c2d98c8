"""Keep the storage area and the index in step, in the background.

A file is settled when its row is committed, and deleted when its row is gone or never came. Nothing here is
urgent, so the work of many instances is joined. What a crash leaves undone is done at the next start.
"""

import logging
from collections.abc import Collection, Iterable, Sequence
from functools import partial

import trio

from ..index.index import Index
from ..index.transaction import Transaction
from ..model.errors import OrthancError
from ..storage.area import Storage, StorageArea

_BATCH = 500
_RETRY_S = 5.0

logger = logging.getLogger(__name__)


class Settling:
    """Settles and deletes files after the fact. The methods that hand in work never wait.

    `linger_s` is how long work is gathered before it is done.
    """

    def __init__(self, index: Index, storage: Storage, *, linger_s: float = 0.1) -> None:
        self._index = index
        self._storage = storage
        self._linger_s = linger_s
        self._committed: list[str] = []
        self._doubtful: list[str] = []
        self._has_forgotten = False
        self._wanted = trio.Event()
        self._idle = trio.Event()
        self._idle.set()

    def settle(self, key: str) -> None:
        """Hand in a file whose row is committed."""
        self._committed.append(key)
        self._want()

    def review(self, key: str) -> None:
        """Hand in a file of which nobody knows whether its row is committed: the index decides."""
        self._doubtful.append(key)
        self._want()

    def collect(self) -> None:
        """Say that the index has forgotten files, which are to be deleted."""
        self._has_forgotten = True
        self._want()

    def _want(self) -> None:
        self._wanted.set()
        if self._idle.is_set():
            self._idle = trio.Event()

    async def idle(self) -> None:
        """Return when all that was handed in is done."""
        while not self._idle.is_set():
            await self._idle.wait()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Recover from the last stop, become ready, and work until cancelled.

        Raises the errors of the recovery; later ones are logged, and the work is tried again.
        """
        await self._review(await self._storage.run(lambda area: area.unsettled()))
        await self._delete_forgotten()
        task_status.started()
        while True:
            await self._wanted.wait()
            await trio.sleep(self._linger_s)
            self._wanted = trio.Event()
            await self._work_until_done()
            if not self._wanted.is_set():
                self._idle.set()

    async def _work_until_done(self) -> None:
        is_reported = False
        while True:
            try:
                await self._work()
            except OrthancError as exc:
                if not is_reported:
                    logger.error("Cannot settle files: %s %s", exc.code.description, exc.details)
                is_reported = True
                await trio.sleep(_RETRY_S)
            else:
                return

    async def _work(self) -> None:
        while self._committed:
            batch = self._committed[:_BATCH]
            await self._storage.run(partial(_settle_all, keys=batch))
            del self._committed[: len(batch)]
        while self._doubtful:
            batch = self._doubtful[:_BATCH]
            await self._review(batch)
            del self._doubtful[: len(batch)]
        if self._has_forgotten:
            await self._delete_forgotten()

    async def _review(self, keys: list[str]) -> None:
        for start in range(0, len(keys), _BATCH):
            batch = keys[start : start + _BATCH]
            known = await self._known(batch)
            await self._storage.run(partial(_settle_or_delete, keys=batch, known=known))

    async def _known(self, keys: list[str]) -> set[str]:
        # A write, because it comes after all that was waiting: a row whose writer was cancelled included.
        return await self._index.write(lambda tx: tx.known_files(keys))

    async def _delete_forgotten(self) -> None:
        self._has_forgotten = False
        try:
            while keys := await self._index.read(lambda tx: tx.forgotten_files(_BATCH)):
                await self._storage.run(partial(_delete_all, keys=keys))
                await self._index.write(partial(_note_deleted, keys=keys))
        except OrthancError:
            self._has_forgotten = True
            raise


def _settle_all(area: StorageArea, keys: Iterable[str]) -> None:
    area.settle(keys)


def _note_deleted(tx: Transaction, keys: Sequence[str]) -> None:
    tx.files_deleted(keys)


def _settle_or_delete(area: StorageArea, keys: Iterable[str], known: Collection[str]) -> None:
    area.settle(key for key in keys if key in known)
    _delete_all(area, (key for key in keys if key not in known))


def _delete_all(area: StorageArea, keys: Iterable[str]) -> None:
    for key in keys:
        area.delete(key)
