"""Files that were asked for lately stay open, so that asking again costs no trip to a storage thread.

Their bytes are in the page cache of the system as long as there is room, which is the best cache there is.
"""

import os
import resource
from collections import OrderedDict

_MOST = 512
_SHARE = 8
"""At most one in so many of the files that the process may open."""


class OpenFiles:
    """Descriptors of stored files, each under the resource that it belongs to; the least recently used go."""

    def __init__(self) -> None:
        limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        self._most = _MOST if limit == resource.RLIM_INFINITY else min(_MOST, limit // _SHARE)
        self._files: OrderedDict[str, tuple[str, int]] = OrderedDict()
        self.hits = 0
        """How often an open file was asked for, since the start."""
        self.misses = 0

    @property
    def count(self) -> int:
        """How many files are open."""
        return len(self._files)

    def borrow(self, id: str, key: str) -> int | None:
        """Return a descriptor of the file `key` of resource `id`, which the caller closes, if one is open."""
        found = self._files.get(id)
        if found is None or found[0] != key:
            self.misses += 1
            return None
        self.hits += 1
        self._files.move_to_end(id)
        return os.dup(found[1])

    def keep(self, id: str, key: str, descriptor: int) -> None:
        """Keep a duplicate of `descriptor`."""
        self.forget(id)
        self._files[id] = key, os.dup(descriptor)
        if len(self._files) > self._most:
            _, (_, oldest) = self._files.popitem(last=False)
            os.close(oldest)

    def forget(self, id: str) -> None:
        """Close the file of a resource, which may be gone: its space on the disk is free only then."""
        found = self._files.pop(id, None)
        if found is not None:
            os.close(found[1])

    def close(self) -> None:
        """Close all. Safe to repeat."""
        for id in tuple(self._files):
            self.forget(id)
