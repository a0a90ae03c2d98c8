"""The services of one server, made of its open backends: what depends on what is decided here alone."""

import os
from datetime import UTC, datetime
from typing import Any

from msgspec import Struct

from . import options
from .bus import EventBus
from .config.settings import Settings
from .dicom.dictionary import Dictionary
from .dicom.main_tags import IndexedTags
from .index.index import Index
from .jobs.engine import JobsEngine
from .jobs.journal import UnsavedStore
from .jobs.outputs import Outputs
from .kinds import KindServices, discover
from .metrics import Metrics
from .remote.client import HttpClient
from .rest.auth import AccessPolicy
from .services.annotations import Annotations
from .services.attachments import AttachmentNames, Attachments
from .services.child_files import ChildFiles
from .services.context import ServerContext
from .services.creation import Creation
from .services.ending import Ending
from .services.explorer import Explorer
from .services.feed import Feed
from .services.finder import Finder
from .services.ingest import Ingest
from .services.ingest_transcoding import IngestTranscoder
from .services.job_statistics import JobMeter
from .services.job_view import JobViews
from .services.jobs_store import IndexJobsStore
from .services.library import Library
from .services.metadata import MetadataEditor, MetadataNames
from .services.reconstruction import Reconstruction
from .services.removal import Removal
from .services.requested_tags import RequestedTags
from .services.rewriting import RewritingServices
from .services.settling import Settling
from .services.stability import Stability
from .services.switches import Switches
from .services.tags import TagReader
from .services.upload import Upload
from .services.webhook_handover import Hooks
from .storage.area import Storage
from .workers import Workers

_OUTPUTS_FOLDER = "jobs"
_BATCHES_OF_JOB = 4
"""A job handles at least so many batches at the same time: most of them wait for the disk."""


class Base(Struct, frozen=True, kw_only=True):
    """What the services of one server are made of."""

    settings: Settings
    dictionary: Dictionary
    switches: Switches
    metrics: Metrics
    index: Index
    storage: Storage
    workers: Workers
    bus: EventBus
    settling: Settling
    stability: Stability
    explorer: Explorer | None


_CONTEXT_FIELDS = frozenset(ServerContext.__struct_fields__)


def make_rewriting(base: Base) -> RewritingServices:
    """Return what makes instances of others."""
    settings = base.settings
    return RewritingServices(
        ingest=_make_ingest(base, _make_transcoder(base)),
        storage=base.storage,
        removal=Removal(
            base.index,
            base.bus,
            settling=base.settling,
            now=utc_now,
            is_read_only=base.settings.read_only,
        ),
        options=options.rewriting_options(settings, base.dictionary),
        switches=base.switches,
        threads={
            kind: count or max(cores(), _BATCHES_OF_JOB)
            for kind, count in settings.jobs_engine_threads_count.items()
        },
        pseudonym_keys=settings.pseudonym_keys,
        overwrite=settings.overwrite_instances,
        checks_patients=settings.patient_level_enabled,
    )


def make_kind_services(base: Base, rewriting: RewritingServices, http: HttpClient | None) -> KindServices:
    """Return what the kinds of jobs are made of."""
    settings = base.settings
    return KindServices(
        index=base.index,
        storage=base.storage,
        is_synchronous=settings.sync_storage_area,
        cores=cores(),
        now=utc_now,
        lossy_quality=settings.dicom_lossy_transcoding_quality,
        dictionary=base.dictionary,
        rewriting=rewriting,
        hooks=Hooks(settings.webhooks),
        http=http,
    )


def make_engine(base: Base, services: KindServices, store: IndexJobsStore, *, load_jobs: bool) -> JobsEngine:
    """Return the jobs engine, not yet running."""
    settings = base.settings
    return JobsEngine(
        discover(services),
        store if settings.save_jobs and not settings.read_only else UnsavedStore(store),
        Outputs(
            settings.storage_directory / _OUTPUTS_FOLDER,
            max_files=settings.media_archive_size,
            max_bytes=settings.media_archive_maximum_size << 20,
            max_age_s=settings.media_archive_time_to_live,
        ),
        base.bus.publish,
        options.engine_options(settings),
        now=utc_now,
        in_worker=base.workers.run,
        restores=load_jobs,
    )


def _shared(base: Base) -> dict[str, Any]:
    """Return what the context has in common with what it is made of."""
    return {name: getattr(base, name) for name in Base.__struct_fields__ if name in _CONTEXT_FIELDS}


def make_context(
    base: Base, policy: AccessPolicy, rewriting: RewritingServices, jobs: JobsEngine
) -> ServerContext:
    """Return the services that the doors get."""
    settings, index, storage, bus = base.settings, base.index, base.storage, base.bus
    transcoder = _make_transcoder(base)
    ingest = rewriting.ingest
    attachments = _make_attachments(base)
    library = Library(index, storage, base.stability.is_stable)
    tags = TagReader(storage, switches=base.switches, dictionary=base.dictionary)
    indexed_tags = IndexedTags(options.main_tags(settings, base.dictionary), base.dictionary)
    requested_tags, finder = _make_search(base, library, tags, indexed_tags)
    job_views = JobViews(show_retry_as_pending=settings.show_retry_as_pending)
    return ServerContext(
        **_shared(base),
        about=options.about(settings, policy),
        jobs=jobs,
        job_views=job_views,
        job_meter=JobMeter(utc_now),
        feed=Feed(jobs, job_views, utc_now),
        ingest=ingest,
        upload=Upload(ingest, storage, options.upload_limits(settings)),
        library=library,
        rewriting=rewriting,
        removal=rewriting.removal,
        annotations=Annotations(index, bus),
        attachments=attachments,
        reconstruction=_make_reconstruction(base, attachments, transcoder),
        attachment_names=AttachmentNames(options.content_types(settings)),
        tags=tags,
        indexed_tags=indexed_tags,
        requested_tags=requested_tags,
        finder=finder,
        metadata_names=MetadataNames(settings.user_metadata),
        creation=_make_creation(base, tags, ingest),
        metadata=MetadataEditor(index, bus, now=utc_now, checks_revisions=settings.check_revisions),
        now=utc_now,
        ending=Ending(),
    )


def _make_search(
    base: Base, library: Library, tags: TagReader, indexed_tags: IndexedTags
) -> tuple[RequestedTags, Finder]:
    settings, files = base.settings, ChildFiles(library, tags)
    may_read = options.may_read_files(settings)
    requested_tags = RequestedTags(
        base.index, library, files, indexed_tags.table, may_read=may_read, warnings=settings.warnings
    )
    finder = Finder(
        base.index,
        library,
        files,
        requested_tags,
        tags=indexed_tags,
        limits=options.find_limits(settings),
        may_read=may_read,
    )
    return requested_tags, finder


def _make_creation(base: Base, tags: TagReader, ingest: Ingest) -> Creation:
    return Creation(
        base.index,
        base.storage,
        base.workers,
        tags=tags,
        ingest=ingest,
        dictionary=base.dictionary,
        switches=base.switches,
        now=utc_now,
    )


def _make_attachments(base: Base) -> Attachments:
    return Attachments(
        base.index,
        base.storage,
        base.bus,
        settling=base.settling,
        options=options.attachment_options(base.settings),
        now=utc_now,
    )


def _make_transcoder(base: Base) -> IngestTranscoder | None:
    rules = options.transcoding_rules(base.settings)
    return IngestTranscoder(rules, base.workers.run) if rules else None


def _make_reconstruction(
    base: Base, attachments: Attachments, transcoder: IngestTranscoder | None
) -> Reconstruction:
    return Reconstruction(
        base.index,
        base.storage,
        base.bus,
        attachments=attachments,
        options=options.ingest_options(base.settings, base.dictionary),
        switches=base.switches,
        transcoder=transcoder,
    )


def _make_ingest(base: Base, transcoder: IngestTranscoder | None) -> Ingest:
    return Ingest(
        base.index,
        base.storage,
        base.bus,
        settling=base.settling,
        stability=base.stability,
        options=options.ingest_options(base.settings, base.dictionary),
        now=utc_now,
        switches=base.switches,
        metrics=base.metrics,
        transcoder=transcoder,
    )


def cores() -> int:
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0))


def utc_now() -> datetime:
    """Return the time in UTC: the one clock of the server."""
    return datetime.now(UTC)
