"""The composition root: opens the backends, builds the services, owns the nurseries, orders the stop.

    storage > index > workers > background (settling, stability, webhooks) > jobs > doors

Each part is opened after, and closed before, what it stands on. Jobs outlive doors.
"""

import logging
import os
import resource
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, closing, contextmanager
from datetime import UTC, datetime
from functools import partial
from typing import Any, Protocol

import trio
from msgspec import Struct

from . import options
from .bus import EventBus
from .config.settings import Settings
from .dicom.dictionary import Dictionary
from .httpd.listener import serve as serve_http
from .index.index import Index
from .index.opening import open_index
from .jobs.engine import JobsEngine
from .jobs.journal import UnsavedStore
from .jobs.outputs import Outputs
from .kinds import KindServices, discover
from .metrics import Metrics
from .model.event import Event
from .remote.client import HttpClient
from .rest.app import make_app
from .rest.auth import AccessPolicy, access_policy
from .rest.request_meter import RequestMeter
from .services.annotations import Annotations
from .services.attachments import AttachmentNames, Attachments
from .services.child_files import ChildFiles
from .services.context import ServerContext
from .services.creation import Creation
from .services.ending import Ending
from .services.explorer import Explorer, load_explorer
from .services.feed import Feed
from .services.finder import Finder
from .services.ingest import Ingest
from .services.ingest_transcoding import IngestTranscoder
from .services.job_statistics import JobMeter
from .services.job_view import JobViews
from .services.jobs_store import IndexJobsStore
from .services.library import Library
from .services.limits import apply_limits
from .services.measurements import counted_log
from .services.metadata import MetadataEditor, MetadataNames
from .services.reconstruction import Reconstruction
from .services.removal import Removal
from .services.requested_tags import RequestedTags
from .services.settling import Settling
from .services.stability import Stability
from .services.switches import Switches
from .services.tags import TagReader
from .services.upload import Upload
from .services.webhook_handover import Hooks
from .services.webhooks import Webhooks
from .storage.area import Storage
from .storage.opening import open_storage
from .workers import Workers, open_workers

_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)
_RESTART_SIGNAL = signal.SIGHUP
_OUTPUTS_FOLDER = "jobs"

_logger = logging.getLogger(__name__)


class _Base(Struct, frozen=True, kw_only=True):
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


async def serve(
    settings: Settings,
    *,
    load_jobs: bool = True,
    task_status: trio.TaskStatus[ServerContext] = trio.TASK_STATUS_IGNORED,
) -> bool:
    """Run a server until a signal or a client stops it; ready, with its context, at `started`.

    Returns whether it shall begin anew, with the configuration read again. `load_jobs` False forgets the jobs
    of an earlier run. Raises an OrthancError before anything is served if the configuration contradicts
    itself, or a port, a folder or the database cannot be used.
    """
    _raise_file_limit()
    policy = access_policy(options.access_options(settings))
    async with open_context(settings, policy, load_jobs=load_jobs) as context, trio.open_nursery() as watch:
        await watch.start(_end_on_signal, context.ending)
        async with trio.open_nursery() as doors:
            if settings.http_server_enabled:
                await doors.start(_open_http_door, context, policy)
            task_status.started(context)
            await context.stop_requested.wait()
            # Let go of everybody who waits for news or for a job, so that the doors can close.
            context.feed.close()
            await context.jobs.stop(settings.jobs_shutdown_grace_period)
        watch.cancel_scope.cancel()
    _logger.warning("The server has stopped")
    return context.ending.restarts


def _raise_file_limit() -> None:
    """Allow as many open files as the system lets us: each connection is one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (OSError, ValueError):
        _logger.warning("The limit of open files stays at %d", soft)


async def _end_on_signal(
    ending: Ending, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    with trio.open_signal_receiver(*_STOP_SIGNALS, _RESTART_SIGNAL) as signals:
        task_status.started()
        async for number in signals:
            _logger.warning("%s: the server stops", signal.Signals(number).name)
            if number == _RESTART_SIGNAL:
                ending.restart()
            else:
                ending.stop()


async def _open_http_door(
    context: ServerContext,
    policy: AccessPolicy,
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    meter = RequestMeter(context.metrics, context.settings.http_threads_count)
    app = make_app(context, access=policy, options=options.door_options(context.settings), meter=meter)
    http_options = options.http_options(context.settings)
    async with trio.open_nursery() as http:
        serving = partial(serve_http, app, http_options, stop=context.stop_requested)
        for address, port in await http.start(serving):
            _logger.warning("HTTP server listening on %s, port %d", address, port)
        task_status.started()


@asynccontextmanager
async def open_context(
    settings: Settings, policy: AccessPolicy, *, load_jobs: bool = True
) -> AsyncIterator[ServerContext]:
    """Open all that the doors need, with the jobs running; leaving closes it in reverse."""
    async with _open_base(settings) as base, _open_http_client(settings) as http:
        kind_services = _kind_services(base, http)
        jobs = _make_engine(base, kind_services, load_jobs=load_jobs)
        context = _make_context(base, policy, jobs)
        webhooks = Webhooks(kind_services.hooks, jobs, base.index, now=utc_now)
        await webhooks.load(loads_jobs=load_jobs)
        told = (context.library, context.feed, context.job_meter, webhooks)
        with counted_log(base.metrics), closing(context.library), _all_told(base.bus, *told):
            async with trio.open_nursery() as background:
                await background.start(base.settling.run)
                await background.start(base.stability.run)
                async with trio.open_nursery() as engine:
                    await engine.start(jobs.run)
                    background.start_soon(webhooks.run)
                    yield context
                background.cancel_scope.cancel()


@asynccontextmanager
async def _open_base(settings: Settings) -> AsyncIterator[_Base]:
    is_synchronous = settings.sync_storage_area
    metrics = Metrics(is_enabled=settings.metrics_enabled)
    async with (
        open_storage(
            settings.storage_backend,
            settings.storage_directory,
            is_synchronous=is_synchronous,
            threads=settings.storage_loader_threads_count,
            metrics=metrics,
        ) as storage,
        open_index(settings.index_backend, settings.index_folder, is_synchronous=is_synchronous) as index,
        open_workers(_cores()) as workers,
    ):
        await apply_limits(index, options.storage_limits(settings))
        bus = EventBus()
        yield _Base(
            settings=settings,
            dictionary=options.dictionary(settings),
            switches=Switches(settings),
            metrics=metrics,
            index=index,
            storage=storage,
            workers=workers,
            bus=bus,
            settling=Settling(index, storage),
            stability=Stability(index, bus, stable_age_s=settings.stable_age, now=utc_now),
            explorer=await _load_explorer(settings),
        )


class _Listener(Protocol):
    def notice(self, event: Event) -> None: ...


@contextmanager
def _all_told(bus: EventBus, *listeners: _Listener) -> Iterator[None]:
    with ExitStack() as stack:
        for listener in listeners:
            stack.enter_context(bus.subscribed(listener.notice))
        yield


@asynccontextmanager
async def _open_http_client(settings: Settings) -> AsyncIterator[HttpClient | None]:
    """Open the client for webhooks; without any, its library is not even imported."""
    if not settings.webhooks:
        yield None
        return
    from .remote.http import open_http_client

    async with open_http_client(options.http_client_options(settings)) as http:
        yield http


def _kind_services(base: _Base, http: HttpClient | None) -> KindServices:
    settings = base.settings
    return KindServices(
        index=base.index,
        storage=base.storage,
        is_synchronous=settings.sync_storage_area,
        cores=_cores(),
        now=utc_now,
        lossy_quality=settings.dicom_lossy_transcoding_quality,
        dictionary=base.dictionary,
        hooks=Hooks(settings.webhooks),
        http=http,
    )


def _make_engine(base: _Base, services: KindServices, *, load_jobs: bool) -> JobsEngine:
    settings = base.settings
    store = IndexJobsStore(services.index)
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


def _shared(base: _Base) -> dict[str, Any]:
    """Return what the context has in common with what it is made of."""
    return {name: getattr(base, name) for name in _Base.__struct_fields__ if name in _CONTEXT_FIELDS}


async def _load_explorer(settings: Settings) -> Explorer | None:
    load = partial(load_explorer, settings.orthanc_explorer2, is_read_only=settings.read_only)
    return await trio.to_thread.run_sync(load, limiter=trio.CapacityLimiter(1))


def _make_context(base: _Base, policy: AccessPolicy, jobs: JobsEngine) -> ServerContext:
    settings, index, storage, bus = base.settings, base.index, base.storage, base.bus
    transcoder = _make_transcoder(base)
    ingest = _make_ingest(base, transcoder)
    attachments = _make_attachments(base)
    library = Library(index, storage, base.stability.is_stable)
    tags = TagReader(storage, switches=base.switches, dictionary=base.dictionary)
    requested_tags, finder = _make_search(base, library, tags)
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
        removal=Removal(index, bus, settling=base.settling, now=utc_now),
        annotations=Annotations(index, bus),
        attachments=attachments,
        reconstruction=_make_reconstruction(base, attachments, transcoder),
        attachment_names=AttachmentNames(options.content_types(settings)),
        tags=tags,
        main_dicom_tags=options.main_tags(settings, base.dictionary),
        requested_tags=requested_tags,
        finder=finder,
        metadata_names=MetadataNames(settings.user_metadata),
        creation=_make_creation(base, tags, ingest),
        metadata=MetadataEditor(index, bus, now=utc_now, checks_revisions=settings.check_revisions),
        now=utc_now,
        ending=Ending(),
    )


def _make_search(base: _Base, library: Library, tags: TagReader) -> tuple[RequestedTags, Finder]:
    settings, files = base.settings, ChildFiles(library, tags)
    table, may_read = options.main_tags(settings, base.dictionary), options.may_read_files(settings)
    requested_tags = RequestedTags(
        base.index, library, files, table, may_read=may_read, warnings=settings.warnings
    )
    finder = Finder(
        base.index,
        library,
        files,
        requested_tags,
        table=table,
        dictionary=base.dictionary,
        limits=options.find_limits(settings),
        may_read=may_read,
    )
    return requested_tags, finder


def _make_creation(base: _Base, tags: TagReader, ingest: Ingest) -> Creation:
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


def _make_attachments(base: _Base) -> Attachments:
    return Attachments(
        base.index,
        base.storage,
        base.bus,
        settling=base.settling,
        options=options.attachment_options(base.settings),
        now=utc_now,
    )


def _make_transcoder(base: _Base) -> IngestTranscoder | None:
    rules = options.transcoding_rules(base.settings)
    return IngestTranscoder(rules, base.workers.run) if rules else None


def _make_reconstruction(
    base: _Base, attachments: Attachments, transcoder: IngestTranscoder | None
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


def _make_ingest(base: _Base, transcoder: IngestTranscoder | None) -> Ingest:
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


def _cores() -> int:
    return len(os.sched_getaffinity(0))


def utc_now() -> datetime:
    """Return the time in UTC: the one clock of the server."""
    return datetime.now(UTC)
