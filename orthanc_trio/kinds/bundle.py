"""What the kinds of jobs are made of."""

from collections.abc import Callable
from datetime import datetime

from msgspec import Struct

from ..index.index import Index
from ..storage.area import Storage


class KindServices(Struct, frozen=True, kw_only=True):
    """The parts of the server that a kind of job may use. Whoever opened them closes them."""

    index: Index
    storage: Storage
    is_synchronous: bool
    """Whether files are on the disk before a job says that it is further on."""
    cores: int
    """How many processors there are: threads that compress at the same time."""
    now: Callable[[], datetime]
    """The time in UTC."""
