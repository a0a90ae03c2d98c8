"""Every argument of the URL that a handler of GET reads is in the OpenAPI document, so that it cannot drift.

The handlers are called with a request that writes down what they ask it for, on a server in memory.
"""

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import pytest
import trio

from orthanc_trio.config.choice import IndexBackend, StorageBackend
from orthanc_trio.config.settings import Settings
from orthanc_trio.model.errors import OrthancError
from orthanc_trio.model.resource import ResourceLevel
from orthanc_trio.rest.auth import AccessOptions, access_policy
from orthanc_trio.rest.routes import collect, discover
from orthanc_trio.rest.routing import Route, components
from orthanc_trio.rest.sending import discard
from orthanc_trio.server import open_context
from orthanc_trio.services.context import ServerContext
from tests.support.dicom import make_instance
from tests.support.services import REST

PUSHED = {"/events"}
VALUES = {"path": "0010-0010", "name": "dicom", "label": "x", "key": "archive", "index": "0", "frame": "0"}
BY_DOOR = {"_method"}


class Arguments(Mapping[str, str]):
    """Arguments of a URL that remember which of them were asked for."""

    def __init__(self, given: Mapping[str, str]) -> None:
        self._given = given
        self.asked: set[str] = set()

    def __getitem__(self, name: str) -> str:
        self.asked.add(name)
        return self._given[name]

    def __contains__(self, name: object) -> bool:
        self.asked.add(str(name))
        return name in self._given

    def __iter__(self) -> Iterator[str]:
        return iter(self._given)

    def __len__(self) -> int:
        return len(self._given)


class Asking:
    """A request of GET without a client; see `wire.Request`."""

    method = "GET"
    client = "127.0.0.1"
    user = ""

    def __init__(self, path: str, given: Mapping[str, str]) -> None:
        self.path = path
        self.query = Arguments(given)
        self.headers: Mapping[str, str] = {}

    async def body(self) -> bytes:
        return b""

    async def _no_chunks(self) -> AsyncIterator[bytes]:
        return
        yield

    def chunks(self) -> AsyncIterator[bytes]:
        return self._no_chunks()

    async def wait_gone(self) -> None:
        await trio.sleep_forever()


def parameters(route: Route, ids: Mapping[str, str]) -> dict[str, str]:
    parts = components(route.pattern)
    names = [part.strip("{}").removesuffix(":path") for part in parts if part.startswith("{")]
    return {name: ids.get(parts[0], "x") if name == "id" else VALUES.get(name, "x") for name in names}


async def asked_by(route: Route, context: ServerContext, ids: Mapping[str, str]) -> set[str]:
    """Return what a handler asks for, without arguments and with each that it declares."""
    declared = [argument.name for argument in route.doc.query]
    tries: list[dict[str, str]] = [{}, *({name: ""} for name in declared), dict.fromkeys(declared, "1")]
    asked: set[str] = set()
    for given in tries:
        request = Asking(route.pattern, given)
        with suppress(OrthancError, ExceptionGroup):
            await discard(await route.handler(context, request, **parameters(route, ids)))
        asked |= request.query.asked
    return asked


@pytest.mark.time_limit(60)
async def test_every_argument_that_is_read_is_declared(tmp_path: Path) -> None:
    settings = Settings(
        storage_directory=tmp_path,
        storage_backend=StorageBackend.MEMORY,
        index_backend=IndexBackend.MEMORY,
    )
    undeclared = {}
    async with open_context(settings, access_policy(AccessOptions())) as context:
        stored = await context.ingest.store(make_instance(), REST)
        ids = {level.collection: stored.ids.of(level) for level in ResourceLevel}
        for route in collect(discover(), "routes"):
            if route.method == "GET" and route.pattern not in PUSHED:
                declared = {argument.name for argument in route.doc.query}
                if missing := await asked_by(route, context, ids) - declared - BY_DOOR:
                    undeclared[route.pattern] = sorted(missing)
        await context.jobs.stop(0)
    assert undeclared == {}
