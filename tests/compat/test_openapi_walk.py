"""Every GET of the OpenAPI document, called with everything that a server with many files has.

None fails, and what is answered as JSON is what the document says.
"""

import json
from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any
from urllib.parse import quote

import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from orthanc_trio.model.resource import ResourceLevel
from tests.support.server import Reply, Server

LEVELS = {level.collection for level in ResourceLevel}
SAMPLE = 12
"""About how many resources of each level are asked for."""
UNKNOWN = "00000000-00000000-00000000-00000000-00000000"
VALUES = {
    "label": ["urgent", "none"],
    "path": ["0010-0010", "0008-1140/0/0008-1150", "7fe0-0010/0", "app", "index.html", "nothing/x"],
    "key": ["archive", "events"],
    "frame": ["0", "1000000"],
    "index": ["0"],
}
NAMES = {"metadata": ["LastUpdate", "none", "9999"], "attachments": ["dicom", "none", "9999"]}
PUSHED = {"/events", "/jobs/{id}/events"}
"""What does not end by itself."""
EXPECTED_CODES = {2, 27, 2040}
"""What Orthanc answers with 500 to a request that it understands: not implemented, unknown DICOM tag, slices
that cannot be ordered."""


class Walker:
    """Fills the paths of a document with the resources of a server, and calls them on one connection."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._connection = server.connect()
        self._ids: dict[str, list[str]] = {}

    def ids(self, collection: str) -> list[str]:
        if collection not in self._ids:
            reply = self.get(f"/{collection}")
            known = reply.json() if reply.status == 200 else []
            self._ids[collection] = [*known[:: max(1, len(known) // SAMPLE)], UNKNOWN]
        return self._ids[collection]

    def urls(self, path: str, endings: Sequence[str]) -> Iterator[str]:
        """All paths that a path with parameters stands for, with each of the endings."""
        parts = path.strip("/").split("/")
        choices = [self._values(parts, place) for place in range(len(parts))]
        yield from ("/" + "/".join(chosen) + end for chosen in product(*choices) for end in endings)

    def _values(self, parts: list[str], place: int) -> list[str]:
        part = parts[place]
        if not part.startswith("{"):
            return [part]
        name = part.strip("{}")
        if name == "id":
            return self.ids(parts[0])
        if name == "name":
            return NAMES.get(parts[place - 1], ["none"])
        return VALUES.get(name, ["1"])

    def get(self, path: str) -> Reply:
        return self._server.request("GET", quote(path, safe="/?="), connection=self._connection)

    def close(self) -> None:
        self._connection.close()


def answer_schemas(document: dict[str, Any]) -> dict[str, Draft202012Validator]:
    """The schemas of what GET answers, by path, where that is always JSON. No more members than they have."""
    components = document["components"]["schemas"]
    for schema in components.values():
        schema.setdefault("additionalProperties", False)
    within = {"components": {"schemas": components}}  # where references lead to
    contents = {
        path: operations["get"]["responses"]["200"]["content"]
        for path, operations in document["paths"].items()
        if "get" in operations
    }
    return {
        path: Draft202012Validator(content["application/json"].get("schema", {}) | within)
        for path, content in contents.items()
        if list(content) == ["application/json"]
    }


def test_no_get_of_the_document_fails(
    filled: tuple[Server, dict[str, Any]], request: pytest.FixtureRequest
) -> None:
    server, _ = filled
    archive = server.post("/tools/create-archive", {"Resources": [], "Asynchronous": True})
    server.wait_for_job(archive.json()["ID"])
    walker = Walker(server)
    request.addfinalizer(walker.close)
    document = json.loads(server.get("/openapi.json").body)
    paths = document["paths"]
    asked = 0
    schema_of = answer_schemas(document)
    for path, operations in paths.items():
        if "get" not in operations or path in PUSHED:
            continue
        is_list = any(parameter["name"] == "expand" for parameter in operations["get"]["parameters"])
        for url in walker.urls(path, ("", "?expand", "?expand=false") if is_list else ("",)):
            reply = walker.get(url)
            asked += 1
            is_fine = reply.status < 500 or reply.json()["OrthancStatus"] in EXPECTED_CODES
            assert is_fine, (url, reply.body)
            if reply.status == 200 and path in schema_of:
                schema_of[path].validate(reply.json())
    assert asked > len(paths)
