"""The OpenAPI document, made of the routes as they are mounted, so that it cannot drift from them.

Source: the OpenAPI Specification 3.1.0; the schemas are JSON Schema 2020-12.
"""

import inspect
import re
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from .routing import METHODS, Argument, Doc, Route, components

_REF = "#/components/schemas/{name}"
_TITLE = "orthanc_trio"
_BODY_METHODS = ("POST", "PUT")
_ERROR = {
    "description": "The error as JSON; the body is empty where that of Orthanc is.",
    "content": {"text/plain": {"schema": {"type": "string"}}},
}
_IDENTIFIER = re.compile(r"[^A-Za-z0-9]+")


def document(routes: Iterable[Route], version: str) -> dict[str, Any]:
    """Return the OpenAPI document of all routes with methods of the API, as values of JSON."""
    documented = sorted((r for r in routes if r.method in METHODS), key=lambda route: route.pattern)
    schemas, components_ = _schemas(documented)
    paths: dict[str, dict[str, Any]] = {}
    for route in documented:
        paths.setdefault(openapi_path(route.pattern), {})[route.method.lower()] = _operation(route, schemas)
    return {
        "openapi": "3.1.0",
        "info": {"title": _TITLE, "version": version, "description": "The REST API of a DICOM server."},
        "servers": [{"url": "/"}],
        "security": [{}, {"basic": []}],
        "paths": paths,
        "components": {
            "schemas": components_,
            "securitySchemes": {"basic": {"type": "http", "scheme": "basic"}},
        },
    }


def openapi_path(pattern: str) -> str:
    """Return a pattern with its parameters as OpenAPI writes them."""
    return "/" + "/".join(part.replace(":path}", "}") for part in components(pattern))


def _operation(route: Route, schemas: "_Schemas") -> dict[str, Any]:
    summary, description = _texts(route)
    doc = route.doc
    operation: dict[str, Any] = {
        "operationId": _IDENTIFIER.sub("_", f"{route.method.lower()}{route.pattern}").strip("_"),
        "summary": summary,
        "tags": [_tag(route.pattern)],
        "parameters": [*_path_parameters(route.pattern), *_parameters(doc, schemas)],
        "responses": {"200": _answer(doc, schemas), "default": _ERROR},
    }
    if description:
        operation["description"] = description
    if route.method in _BODY_METHODS:
        operation["requestBody"] = {"required": False, "content": _content(doc.body or "*/*", schemas)}
    return operation


def _texts(route: Route) -> tuple[str, str]:
    """Return the summary and the description of a route."""
    text = inspect.getdoc(route.handler)
    if not text:
        return route.handler.__name__.strip("_").replace("_", " ").capitalize(), ""
    summary, _, description = text.partition("\n\n")
    return " ".join(summary.split()), " ".join(description.split())


def _tag(pattern: str) -> str:
    return next(iter(components(pattern)), "root")


def _path_parameters(pattern: str) -> list[dict[str, Any]]:
    parameters = []
    for part in components(pattern):
        if part.startswith("{"):
            name = part.strip("{}").removesuffix(":path")
            text = "All that remains of the path, with its slashes." if part.endswith(":path}") else ""
            parameters.append(_parameter(Argument(name, str, text, True), "path", {"type": "string"}))
    return parameters


def _parameters(doc: Doc, schemas: "_Schemas") -> list[dict[str, Any]]:
    return [
        _parameter(argument, place, schemas[argument.type])
        for place, arguments in (("query", doc.query), ("header", doc.headers))
        for argument in arguments
    ]


def _parameter(argument: Argument, place: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    text = {"description": argument.text} if argument.text else {}
    return {
        "name": argument.name,
        "in": place,
        "required": argument.is_required,
        "schema": schema,
        **text,
    }


def _answer(doc: Doc, schemas: "_Schemas") -> dict[str, Any]:
    return {"description": "Success.", "content": _content(doc.answer or "*/*", schemas)}


def _content(value: Any, schemas: "_Schemas") -> dict[str, Any]:
    """Return bodies by media type: a type is JSON, texts are media types."""
    if isinstance(value, str):
        value = (value,)
    if isinstance(value, tuple):
        return {media_type: {} for media_type in value}
    return {"application/json": {"schema": schemas[value]}}


class _Schemas:
    """JSON schemas by type."""

    def __init__(self, types: list[Any], schemas: Iterable[dict[str, Any]]) -> None:
        self._known = list(zip(types, schemas, strict=True))

    def __getitem__(self, type_: Any) -> dict[str, Any]:
        return next(schema for known, schema in self._known if known == type_)


def _schemas(routes: Iterable[Route]) -> tuple[_Schemas, dict[str, Any]]:
    """Return the schemas of all types that the routes name, and those that others refer to."""
    types: list[Any] = []
    for route in routes:
        doc = route.doc
        named = [argument.type for argument in (*doc.query, *doc.headers)]
        named += [value for value in (doc.body, doc.answer) if not isinstance(value, str | tuple | None)]
        types += [type_ for type_ in named if type_ not in types]
    schemas, referred = msgspec.json.schema_components(types, ref_template=_REF)
    return _Schemas(types, schemas), referred
