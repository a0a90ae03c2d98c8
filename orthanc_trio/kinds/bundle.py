"""What the kinds of jobs are made of."""

from collections.abc import Callable
from datetime import datetime

from msgspec import Struct, field

from ..dicom.dictionary import STANDARD, Dictionary
from ..index.index import Index
from ..remote.client import HttpClient
from ..services.rewriting import RewritingServices
from ..services.webhook_handover import Hooks
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
    lossy_quality: int = 90
    """1 to 100: the quality of lossy transcoding unless a job says otherwise."""
    dictionary: Dictionary = STANDARD
    rewriting: RewritingServices | None = None
    """None where no instances are made of others."""
    hooks: Hooks = field(default_factory=lambda: Hooks(()))
    http: HttpClient | None = None
    """None where the configuration names nobody to call."""
