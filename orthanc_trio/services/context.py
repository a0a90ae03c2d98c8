"""What every door gets: the services of one running server, in one frozen bundle."""

from collections.abc import Callable
from datetime import datetime

import trio
from msgspec import Struct

from ..bus import EventBus
from ..config.settings import Settings
from ..dicom.dictionary import Dictionary
from ..dicom.main_tags import IndexedTags
from ..index.index import Index
from ..jobs.engine import JobsEngine
from ..metrics import Metrics
from ..storage.area import Storage
from ..workers import Workers
from .annotations import Annotations
from .attachments import AttachmentNames, Attachments
from .creation import Creation
from .ending import Ending
from .explorer import Explorer
from .feed import Feed
from .finder import Finder
from .ingest import Ingest
from .job_statistics import JobMeter
from .job_view import JobViews
from .library import Library
from .metadata import MetadataEditor, MetadataNames
from .reconstruction import Reconstruction
from .removal import Removal
from .requested_tags import RequestedTags
from .rewriting import RewritingServices
from .switches import Switches
from .tags import TagReader
from .upload import Upload


class About(Struct, frozen=True, kw_only=True):
    """What the server says of itself and finds out at its start."""

    identifier: str
    """`DatabaseServerIdentifier`: given, or a hash of this host and the ports."""
    is_http_secure: bool
    third_party_versions: dict[str, str]


class ServerContext(Struct, frozen=True, kw_only=True):
    """The parts of a running server. Whoever opened the context closes them, in reverse."""

    settings: Settings
    about: About
    dictionary: Dictionary
    index: Index
    storage: Storage
    bus: EventBus
    workers: Workers
    jobs: JobsEngine
    job_views: JobViews
    job_meter: JobMeter
    feed: Feed
    ingest: Ingest
    upload: Upload
    rewriting: RewritingServices
    library: Library
    removal: Removal
    reconstruction: Reconstruction
    annotations: Annotations
    attachments: Attachments
    attachment_names: AttachmentNames
    metadata: MetadataEditor
    metadata_names: MetadataNames
    finder: Finder
    requested_tags: RequestedTags
    indexed_tags: IndexedTags
    tags: TagReader
    creation: Creation
    now: Callable[[], datetime]
    """The time in UTC."""
    ending: Ending
    switches: Switches
    metrics: Metrics
    explorer: Explorer | None = None
    """The web page, if there is one."""

    @property
    def stop_requested(self) -> trio.Event:
        """Set when the server stops."""
        return self.ending.requested
