"""The composition root: opens the backends, builds the services, owns the nurseries, orders the stop.

    storage > index > workers > background (settling, stability, webhooks) > jobs > doors

Each part is opened after, and closed before, what it stands on. Jobs outlive doors.
"""

import logging
import os
import resource
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from datetime import UTC, datetime
from functools import partial

import trio

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
from .remote.client import HttpClient
from .rest.app import make_app
from .rest.auth import AccessPolicy, access_policy
from .services.annotations import Annotations
from .services.attachments import AttachmentNames, Attachments
from .services.context import ServerContext
from .services.feed import Feed
from .services.ingest import Ingest
from .services.job_statistics import JobMeter
from .services.job_view import JobViews
from .services.jobs_store import IndexJobsStore
from .services.library import Library
from .services.metadata import MetadataEditor
from .services.removal import Removal
from .services.settling import Settling
from .services.stability import Stability
from .services.tags import TagReader
from .services.upload import Upload
from .services.webhook_handover import Hooks
from .services.webhooks import Webhooks
from .storage.area import Storage
from .storage.opening import open_storage
from .workers import Workers, open_workers

_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)
_OUTPUTS_FOLDER = "jobs"

_logger = logging.getLogger(__name__)


async def serve(
    settings: Settings,
    *,
    load_jobs: bool = True,
    task_status: trio.TaskStatus[ServerContext] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Run a server until a signal or a client stops it; ready, with its context, at `started`.

    `load_jobs` False forgets the jobs of an earlier run. Raises an OrthancError before anything is served if
    the configuration contradicts itself, or a port, a folder or the database cannot be used.
    """
    _raise_file_limit()
    policy = access_policy(options.access_options(settings))
    async with open_context(settings, policy, load_jobs=load_jobs) as context, trio.open_nursery() as watch:
        await watch.start(_stop_on_signal, context.stop_requested)
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


def _raise_file_limit() -> None:
    """Allow as many open files as the system lets us: each connection is one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (OSError, ValueError):
        _logger.warning("The limit of open files stays at %d", soft)


async def _stop_on_signal(
    stop_requested: trio.Event, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    with trio.open_signal_receiver(*_STOP_SIGNALS) as signals:
        task_status.started()
        async for number in signals:
            _logger.warning("%s: the server stops", signal.Signals(number).name)
            stop_requested.set()


async def _open_http_door(
    context: ServerContext,
    policy: AccessPolicy,
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    app = make_app(context, access=policy, options=options.door_options(context.settings))
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
    is_synchronous = settings.sync_storage_area
    async with (
        open_storage(
            settings.storage_backend,
            settings.storage_directory,
            is_synchronous=is_synchronous,
            threads=settings.storage_loader_threads_count,
        ) as storage,
        open_index(settings.index_backend, settings.index_folder, is_synchronous=is_synchronous) as index,
        open_workers(_cores()) as workers,
        _open_http_client(settings) as http,
    ):
        bus = EventBus()
        settling = Settling(index, storage)
        stability = Stability(index, bus, stable_age_s=settings.stable_age, now=utc_now)
        kind_services = _kind_services(settings, storage, index, http)
        jobs = _make_engine(settings, kind_services, workers, bus, load_jobs=load_jobs)
        context = _make_context(settings, policy, kind_services, bus, settling, stability, workers, jobs)
        webhooks = Webhooks(kind_services.hooks, jobs, index, now=utc_now)
        await webhooks.load(loads_jobs=load_jobs)
        with (
            closing(context.library),
            bus.subscribed(context.library.notice),
            bus.subscribed(context.feed.notice),
            bus.subscribed(context.job_meter.notice),
            bus.subscribed(webhooks.notice),
        ):
            async with trio.open_nursery() as background:
                await background.start(settling.run)
                await background.start(stability.run)
                async with trio.open_nursery() as engine:
                    await engine.start(jobs.run)
                    background.start_soon(webhooks.run)
                    yield context
                background.cancel_scope.cancel()


@asynccontextmanager
async def _open_http_client(settings: Settings) -> AsyncIterator[HttpClient | None]:
    """Open the client for webhooks; without any, its library is not even imported."""
    if not settings.webhooks:
        yield None
        return
    from .remote.http import open_http_client

    async with open_http_client(options.http_client_options(settings)) as http:
        yield http


def _kind_services(
    settings: Settings, storage: Storage, index: Index, http: HttpClient | None
) -> KindServices:
    return KindServices(
        index=index,
        storage=storage,
        is_synchronous=settings.sync_storage_area,
        cores=_cores(),
        now=utc_now,
        lossy_quality=settings.dicom_lossy_transcoding_quality,
        dictionary=options.dictionary(settings),
        hooks=Hooks(settings.webhooks),
        http=http,
    )


def _make_engine(
    settings: Settings, services: KindServices, workers: Workers, bus: EventBus, *, load_jobs: bool
) -> JobsEngine:
    store = IndexJobsStore(services.index)
    return JobsEngine(
        discover(services),
        store if settings.save_jobs else UnsavedStore(store),
        Outputs(
            settings.storage_directory / _OUTPUTS_FOLDER,
            max_files=settings.media_archive_size,
            max_bytes=settings.media_archive_maximum_size << 20,
            max_age_s=settings.media_archive_time_to_live,
        ),
        bus.publish,
        options.engine_options(settings),
        now=utc_now,
        in_worker=workers.run,
        restores=load_jobs,
    )


def _make_context(
    settings: Settings,
    policy: AccessPolicy,
    parts: KindServices,
    bus: EventBus,
    settling: Settling,
    stability: Stability,
    workers: Workers,
    jobs: JobsEngine,
) -> ServerContext:
    index, storage, dictionary = parts.index, parts.storage, parts.dictionary
    ingest = _make_ingest(settings, dictionary, storage, index, bus, settling, stability)
    job_views = JobViews(show_retry_as_pending=settings.show_retry_as_pending)
    return ServerContext(
        settings=settings,
        about=options.about(settings, policy),
        dictionary=dictionary,
        index=index,
        storage=storage,
        bus=bus,
        workers=workers,
        jobs=jobs,
        job_views=job_views,
        job_meter=JobMeter(utc_now),
        feed=Feed(jobs, job_views, utc_now),
        ingest=ingest,
        upload=Upload(ingest, storage, options.upload_limits(settings)),
        library=Library(index, storage, stability.is_stable),
        removal=Removal(index, bus, settling=settling, now=utc_now),
        annotations=Annotations(index, bus),
        tags=TagReader(storage, default_encoding=settings.default_encoding.value, dictionary=dictionary),
        attachments=_make_attachments(settings, storage, index, bus, settling),
        attachment_names=AttachmentNames(options.content_types(settings)),
        metadata=MetadataEditor(index, bus, now=utc_now, checks_revisions=settings.check_revisions),
        now=utc_now,
        stop_requested=trio.Event(),
    )


def _make_attachments(
    settings: Settings, storage: Storage, index: Index, bus: EventBus, settling: Settling
) -> Attachments:
    return Attachments(
        index, storage, bus, settling=settling, options=options.attachment_options(settings), now=utc_now
    )


def _make_ingest(
    settings: Settings,
    dictionary: Dictionary,
    storage: Storage,
    index: Index,
    bus: EventBus,
    settling: Settling,
    stability: Stability,
) -> Ingest:
    return Ingest(
        index,
        storage,
        bus,
        settling=settling,
        stability=stability,
        options=options.ingest_options(settings, dictionary),
        now=utc_now,
    )


def _cores() -> int:
    return len(os.sched_getaffinity(0))


def utc_now() -> datetime:
    """Return the time in UTC: the one clock of the server."""
    return datetime.now(UTC)
