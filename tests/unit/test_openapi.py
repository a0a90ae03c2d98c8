"""The OpenAPI document: made of the routes, complete, valid."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from orthanc_trio.cli import main
from orthanc_trio.rest.bodies import BulkContentBody, declared
from orthanc_trio.rest.openapi import document, openapi_path
from orthanc_trio.rest.routes import collect, discover
from orthanc_trio.rest.routes.openapi import encoded_document
from orthanc_trio.rest.routing import METHODS, Argument, Doc, Routes


class Wanted(msgspec.Struct):
    name: str
    size: int = 0


def described(**options: Any) -> dict[str, Any]:
    """The operation of one route, `POST /things/{id}`."""
    routes = Routes()

    @routes.post("/things/{id}", **options)
    async def make_thing(context: object, request: object, *, id: str) -> None:
        """Make a thing.

        It is made
        once.
        """

    operation: dict[str, Any] = document(routes.all, "1")["paths"]["/things/{id}"]["post"]
    return operation


def test_the_docstring_is_summary_and_description() -> None:
    operation = described()
    assert operation["summary"] == "Make a thing."
    assert operation["description"] == "It is made once."
    assert operation["operationId"] == "post_things_id"


def test_without_a_docstring_the_name_is_the_summary() -> None:
    routes = Routes()

    @routes.get("/a")
    async def list_things(context: object, request: object) -> None: ...

    assert document(routes.all, "1")["paths"]["/a"]["get"]["summary"] == "List things"


def test_parameters_come_from_the_pattern_and_the_declaration() -> None:
    doc = Doc(query=(Argument("limit", int),), headers=(Argument("If-Match", text="The revision."),))
    shown = [(p["name"], p["in"], p["required"]) for p in described(doc=doc)["parameters"]]
    assert shown == [("id", "path", True), ("limit", "query", False), ("If-Match", "header", False)]


def test_a_struct_becomes_a_schema_that_is_referred_to() -> None:
    routes = Routes()
    routes.put("/a", doc=Doc(body=Wanted, answer=list[Wanted]))(object)  # type: ignore[type-var]
    result = document(routes.all, "1")
    operation = result["paths"]["/a"]["put"]
    reference = {"$ref": "#/components/schemas/Wanted"}
    assert operation["requestBody"]["content"]["application/json"]["schema"] == reference
    answer = operation["responses"]["200"]["content"]["application/json"]["schema"]
    assert answer == {"type": "array", "items": reference}
    assert result["components"]["schemas"]["Wanted"]["required"] == ["name"]


def test_media_types_stand_for_themselves() -> None:
    operation = described(doc=Doc(body="text/plain", answer=("application/json", "application/zip")))
    assert operation["requestBody"]["content"] == {"text/plain": {}}
    assert list(operation["responses"]["200"]["content"]) == ["application/json", "application/zip"]


def test_every_json_body_says_its_members() -> None:
    paths = json.loads(encoded_document())["paths"]
    for path, operations in paths.items():
        for operation in operations.values():
            content = operation.get("requestBody", {}).get("content", {})
            schema = content.get("application/json", {}).get("schema", {"$ref": ""})
            assert "$ref" in json.dumps(schema), path


def test_what_is_not_declared_is_not_read() -> None:
    given = {"Resources": ["a"], "Level": "Study", "resources": [], "Expand": True}
    assert declared(given, BulkContentBody) == {"Resources": ["a"], "Level": "Study"}


def test_every_route_of_the_server_is_in_a_valid_document() -> None:
    result = json.loads(encoded_document())
    OpenAPIV31SpecValidator(result).validate()
    shown = {(method.upper(), path) for path, item in result["paths"].items() for method in item}
    routes = collect(discover(), "routes")
    assert shown == {(r.method, openapi_path(r.pattern)) for r in routes if r.method in METHODS}


def test_the_command_writes_the_document(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--openapi", str(tmp_path / "o.json")]) == 0
    assert main(["--openapi=-"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads((tmp_path / "o.json").read_text())
