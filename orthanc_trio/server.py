"""The life of one server: opens the backends, has the services made, owns the nurseries, orders the stop.

    storage > index > workers > background (settling, stability, webhooks, ...) > jobs > doors

Each part is opened after, and closed before, what it stands on. Jobs outlive doors.
"""

import gc
import logging
import resource
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, closing, contextmanager
from functools import partial
from typing import Protocol

import trio

from . import options
from .bus import EventBus
from .composition import Base, cores, make_context, make_engine, make_kind_services, make_rewriting, utc_now
from .config.choice import IndexBackend
from .config.settings import Settings
from .httpd.listener import serve as serve_http
from .index.opening import open_index
from .jobs.submission_log import SubmissionLog
from .metrics import Metrics
from .model.event import Event
from .remote.client import HttpClient
from .rest.app import make_app
from .rest.auth import AccessPolicy, access_policy
from .rest.request_meter import RequestMeter
from .services.context import ServerContext
from .services.ending import Ending
from .services.explorer import Explorer, load_explorer
from .services.huge_pages import HugePages
from .services.jobs_store import IndexJobsStore
from .services.limits import apply_limits
from .services.measurements import counted_log
from .services.settling import Settling
from .services.stability import Stability
from .services.switches import Switches
from .services.trimming import Trimming
from .services.webhooks import Webhooks
from .storage.opening import open_storage
from .workers import open_workers

_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)
_RESTART_SIGNAL = signal.SIGHUP
_SUBMISSION_LOG = "submissions"
"""The file of new jobs, in the folder of the index."""

_logger = logging.getLogger(__name__)


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
            with _start_unscanned():
                await context.stop_requested.wait()
            # Let go of everybody who waits for news or for a job, so that the doors can close.
            context.feed.close()
            await context.jobs.stop(settings.shutdown_grace_period)
        watch.cancel_scope.cancel()
    _logger.warning("The server has stopped")
    return context.ending.restarts


@contextmanager
def _start_unscanned() -> Iterator[None]:
    """Let the garbage collector pass over what the start has made: it lives as long as the server does.

    A full collection would look at all of it, and every answer would wait meanwhile.
    """
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


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
    async with (
        _open_base(settings) as base,
        _open_http_client(settings) as http,
        _open_submission_log(settings) as log,
    ):
        rewriting = make_rewriting(base)
        kind_services = make_kind_services(base, rewriting, http)
        store = IndexJobsStore(base.index, log)
        jobs = make_engine(base, kind_services, store, load_jobs=load_jobs)
        context = make_context(base, policy, rewriting, jobs)
        webhooks = Webhooks(kind_services.hooks, jobs, base.index, store, now=utc_now)
        await webhooks.load(loads_jobs=load_jobs)
        told = (context.library, context.feed, context.job_meter, webhooks)
        with counted_log(base.metrics), closing(context.library), _all_told(base.bus, *told):
            async with trio.open_nursery() as background:
                await background.start(base.settling.run)
                await background.start(base.stability.run)
                background.start_soon(context.feed.run)
                background.start_soon(Trimming(base.metrics).run)
                background.start_soon(HugePages().run)
                async with trio.open_nursery() as engine:
                    await engine.start(jobs.run)
                    background.start_soon(webhooks.run)
                    yield context
                background.cancel_scope.cancel()


@asynccontextmanager
async def _open_base(settings: Settings) -> AsyncIterator[Base]:
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
        open_workers(cores()) as workers,
    ):
        await apply_limits(index, options.storage_limits(settings))
        bus = EventBus()
        yield Base(
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


async def _load_explorer(settings: Settings) -> Explorer | None:
    load = partial(load_explorer, settings.orthanc_explorer2, is_read_only=settings.read_only)
    return await trio.to_thread.run_sync(load, limiter=trio.CapacityLimiter(1))


@asynccontextmanager
async def _open_submission_log(settings: Settings) -> AsyncIterator[SubmissionLog | None]:
    """Open the log of new jobs beside the index; an index in memory has none."""
    if settings.index_backend is IndexBackend.MEMORY:
        yield None
        return
    path, limiter = settings.index_folder / _SUBMISSION_LOG, trio.CapacityLimiter(1)
    open_log = partial(SubmissionLog.open, path, syncs=settings.sync_storage_area)
    log = await trio.to_thread.run_sync(open_log, limiter=limiter)
    try:
        yield log
    finally:
        log.close()


class _Listener(Protocol):
    @property
    def hears(self) -> tuple[type[Event], ...]: ...

    def notice(self, event: Event) -> None: ...


@contextmanager
def _all_told(bus: EventBus, *listeners: _Listener) -> Iterator[None]:
    with ExitStack() as stack:
        for listener in listeners:
            stack.enter_context(bus.subscribed(listener.notice, listener.hears))
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
