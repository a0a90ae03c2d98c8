"""Planning while the archive is begun already: the first members need not wait for the last names.

All pages are of one view of the index, so that no member is left out or named twice. None is held back: the
view would last as long as the reader of the archive, and the log of the index grow meanwhile.
"""

import threading
from collections import deque
from collections.abc import Awaitable, Callable, Iterator

import trio

from ..index.index import Index
from ..index.transaction import ReadTransaction
from .archive_plan import ArchivePlan

_HEAD_START_S = 0.05

PagesOfView = Callable[[ReadTransaction], Iterator[ArchivePlan]]


async def take_pages(
    index: Index, pages: PagesOfView, take: Callable[[ArchivePlan], Awaitable[None]]
) -> None:
    """Have `take` take page after page, in order, while the index makes the next ones.

    Raises the first error of either.
    """
    made = _Pages()
    failure: Exception | None = None
    async with trio.open_nursery() as nursery:
        nursery.start_soon(made.make, index, pages)
        try:
            while (page := await made.next()) is not None:
                await take(page)
                made.is_begun.set()
        except Exception as error:
            failure = error
            nursery.cancel_scope.cancel()
        finally:
            made.is_wanted = False
            made.is_begun.set()
    if failure is not None:
        raise failure


class _Pages:
    """The pages that are made and not taken yet."""

    def __init__(self) -> None:
        self._token = trio.lowlevel.current_trio_token()
        self._pages: deque[ArchivePlan | None] = deque()
        self._failure: Exception | None = None
        self.is_wanted = True
        self._news = trio.Event()
        self.is_begun = threading.Event()
        """Whether the first page was taken."""

    async def make(self, index: Index, pages: PagesOfView) -> None:
        """Make all pages, then the end."""
        try:
            await index.read(lambda tx: self._make_here(pages(tx)))
        except Exception as error:
            self._failure = error
        self._token.run_sync_soon(self._put, None)  # as the pages before it, which may be on their way

    def _make_here(self, pages: Iterator[ArchivePlan]) -> None:
        for number, page in enumerate(pages):
            if not self.is_wanted:
                return
            self._token.run_sync_soon(self._put, page)
            if number == 0 and not trio.lowlevel.in_trio_run():
                # Until then the reader of the archive waits, and should not wait for the interpreter too.
                self.is_begun.wait(_HEAD_START_S)

    def _put(self, page: ArchivePlan | None) -> None:
        self._pages.append(page)
        self._news.set()

    async def next(self) -> ArchivePlan | None:
        """Return the next page, None after the last one. Raises what the making raised."""
        while not self._pages:
            await self._news.wait()
            self._news = trio.Event()
        page = self._pages.popleft()
        if page is None and self._failure is not None:
            raise self._failure
        return page
