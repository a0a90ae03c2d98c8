"""The routes of jobs and of the feed over real sockets, with jobs that the test controls."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import trio
from msgspec import Struct

from orthanc_trio.jobs.attempt import AnyKind
from orthanc_trio.model.event import ChangeEvent
from orthanc_trio.model.job import JobRecord, SubmitOptions
from orthanc_trio.rest.app import mount
from orthanc_trio.rest.auth import AccessOptions, access_policy
from orthanc_trio.rest.front import DoorOptions
from orthanc_trio.rest.routes import feed as feed_routes
from orthanc_trio.rest.routes import job_lists, jobs
from orthanc_trio.services.feed import Feed
from orthanc_trio.services.job_statistics import JobMeter
from orthanc_trio.services.job_view import JobViews
from orthanc_trio.services.library import Library
from tests.support.dicom import make_instance
from tests.support.http import RawClient, Reply, Served, serving
from tests.support.jobs import CountArgs, Rig, now, running_engine
from tests.support.services import REST, Services, open_services


class JobsDoor(Struct):
    """A server of jobs; `services` hold the log of changes, of which the feed hears when the test says so."""

    server: Served
    rig: Rig
    feed: Feed
    services: Services
    stop_requested: trio.Event

    async def get(self, path: str, *headers: str) -> Reply:
        async with self.server.client() as client:
            return await client.get(path, *headers)

    async def json(self, path: str) -> Any:
        reply = await self.get(path)
        assert reply.status == 200, reply
        return json.loads(reply.body)

    async def post(self, path: str, body: Mapping[str, Any] | bytes = b"") -> Reply:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        async with self.server.client() as client:
            return await client.post(path, data)

    async def submit(self, steps: int = 1, *, priority: int = 0, label: str = "", **args: Any) -> JobRecord:
        count = CountArgs(steps, label, **args)
        return await self.rig.engine.submit("Count", count, SubmitOptions(priority=priority))

    async def store(self, number: int) -> list[ChangeEvent]:
        """Store an instance of a series of its own, and return the changes, which the feed has not heard."""
        before = len(self.services.events)
        await self.services.ingest.store(make_instance(series=number), REST)
        events = self.services.events[before:]
        return [event for event in events if isinstance(event, ChangeEvent)]


@asynccontextmanager
async def jobs_door(*kinds: AnyKind, **engine: Any) -> AsyncIterator[JobsDoor]:
    """Serve jobs on a free port; `engine` are arguments of `running_engine`."""
    async with open_services() as services, running_engine(*kinds, **engine) as rig:
        views, meter = JobViews(), JobMeter(now)
        feed = Feed(rig.engine, views, now)
        stop_requested = trio.Event()
        context = SimpleNamespace(
            jobs=rig.engine,
            job_views=views,
            job_meter=meter,
            feed=feed,
            library=Library(services.index, services.storage, lambda _: False),
            now=now,
            stop_requested=stop_requested,
        )
        access = access_policy(AccessOptions())
        app = mount(context, [feed_routes, job_lists, jobs], access=access, options=DoorOptions())
        with rig.bus.subscribed(feed.notice), rig.bus.subscribed(meter.notice):
            async with trio.open_nursery() as nursery, serving(app) as server:
                nursery.start_soon(feed.run)
                yield JobsDoor(server, rig, feed, services, stop_requested)
                nursery.cancel_scope.cancel()


async def read_chunk(client: RawClient) -> bytes:
    """Return the next part of an answer that comes in chunks; empty at its end."""
    size = int(await client.read_line(), 16)
    data = await client.read_exactly(size)
    assert await client.read_line() == b""
    return data
